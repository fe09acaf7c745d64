//! `tipcam learn`: a few photographs of a class, from now on recognised.

use anyhow::{Result, ensure};
use clap::Args;

use super::classify::{Input, inputs};
use super::edit::Target;
use super::progress::Progress;
use super::shared::Shared;
use super::shots::{self, ShotEncoder};
use super::{Outcome, complain, note};
use crate::asset::{AssetFile, Space};
use crate::fit;
use crate::fit::projector;

/// Learn a class from a few photographs
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam learn mug mug1.jpg mug2.jpg --asset mine.tipcam
  tipcam learn \"my cat\" cat-photos/ --asset mine.tipcam

The first time, FILE is made from the asset inside this program; afterwards it is changed in one
step: a reader sees the old file or the new one, and several may learn into it at once. Photographs that
look like one that is known already are learned with a warning: different views teach more. `tipcam forget`
takes back.")]
pub(super) struct Learn {
    /// The class, new or known
    class: String,

    /// Photographs, folders or patterns
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
}

impl Learn {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let class = self.class.trim();
        ensure!(!class.is_empty(), "the class has no name: tipcam learn CLASS PATH...");
        // Others may learn while this takes its time to encode.
        let seen = Target::look(shared)?.file;
        let space = of_shots(&seen)?;
        let mut encoder = ShotEncoder::new(&seen, space, shared)?;
        let mut outcome = Outcome::Done;
        let mut shots = Vec::new();
        let all: Vec<_> = inputs(&self.paths).collect();
        let progress = Progress::new("encoding", all.len());
        for input in all {
            match input {
                Ok(Input::File(path)) => match encoder.encode(&path, &progress)? {
                    Some(feature) => shots.push((feature, shots::name(&path))),
                    None => outcome = Outcome::Partly,
                },
                Ok(Input::Stdin) => {
                    let error = anyhow::anyhow!("-: shots need names, give files");
                    progress.suspend(|| complain(&error));
                    outcome = Outcome::Partly;
                }
                Err(error) => {
                    progress.suspend(|| complain(&error.into()));
                    outcome = Outcome::Partly;
                }
            }
        }
        drop(progress);
        ensure!(!shots.is_empty(), "nothing was learned: none of the photographs could be read");
        let target = Target::open(shared)?;
        let asset = target.file.asset()?;
        ensure!(
            asset.container.encoder_id() == seen.container()?.encoder_id()
                && of_shots(&target.file)? == space,
            "{}: it got another encoder meanwhile: learn again",
            target.file.name()
        );
        let project = projector(&asset, shared.kernels()?)?;
        let project = project.as_ref().map(|project| project as &dyn fit::Projector);
        let workers = shared.workers()?;
        let change = fit::learn(&asset, class, &shots, project, workers)?;
        for duplicate in &change.duplicates {
            note(&format!(
                "Warning: {} looks like {} of {:?} (cosine {:.3}): another view would teach more",
                duplicate.name, duplicate.other, duplicate.other_class, duplicate.cosine
            ));
        }
        target.write(&asset, &change, shared)?;
        Ok(outcome)
    }
}

/// The feature that the shots of an asset are.
fn of_shots(file: &AssetFile) -> Result<Space> {
    Ok(file.asset()?.cache.map_or(Space::Trunk, |cache| cache.space))
}
