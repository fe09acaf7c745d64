//! Evaluation on photographs.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::{Eval, Summary, Tally};
use crate::asset::Asset;
use crate::cli::dataset;
use crate::cli::progress::Progress;
use crate::cli::shared::Shared;
use crate::cli::{Outcome, complain};
use crate::frame::{Decoder, Frame};
use crate::pipeline::{Answer, Classifier};

impl Eval {
    /// Answers every photograph and counts.
    pub(super) fn pictures(
        &self,
        dir: &Path,
        shared: &Shared,
    ) -> Result<(Tally, Summary, Outcome)> {
        let file = shared.asset_file()?;
        let asset = shared.asset(&file)?;
        let named = || file.name().to_owned();
        let mut classifier =
            Classifier::new(&file, shared.kernels()?, shared.threads()).with_context(named)?;
        if let Some(head) = self.head {
            let kind = head.kind().context(
                "--head auto chooses where heads are made: `tipcam build`, `tipcam fit`, or here with \
                 --features",
            )?;
            classifier = classifier.with_kind(kind).with_context(named)?;
        }
        let (split, classes) = (self.split.as_deref(), self.classes.as_deref());
        let folders = dataset::read(dir, split, &self.part, classes)?;
        let labels: Vec<String> = asset.classes().map(|class| class.label.to_owned()).collect();
        let mut tally = Tally::new(labels);
        let mut outcome = Outcome::Done;
        let (mut decoder, mut frame, mut answer) =
            (Decoder::default(), Frame::new(), Answer::default());
        let progress = Progress::new("evaluating", folders.iter().map(|f| f.photos.len()).sum());
        let mut report = |error: anyhow::Error| {
            progress.suspend(|| complain(&error));
            outcome = Outcome::Partly;
        };
        for folder in &folders {
            let Some(truth) = dataset::class_of(&asset, folder) else {
                report(anyhow!(
                    "{}: left out, {} has no class of that name; --classes FILE can give one",
                    dir.join(&folder.folder).display(),
                    file.name()
                ));
                continue;
            };
            for photo in &folder.photos {
                progress.step();
                if let Err(error) = decoder.read(&photo.path, &mut frame) {
                    report(error.into());
                    continue;
                }
                if let Err(error) = classifier.answer(&frame, 0, &mut answer) {
                    report(anyhow!(error).context(photo.path.display().to_string()));
                    continue;
                }
                tally.add(truth, classifier.probabilities());
            }
        }
        drop(progress);
        if tally.n() == 0 {
            bail!("{}: there is no photograph to evaluate", dir.display());
        }
        let summary = tally.summary(classifier.params(), mean_shots(&asset));
        Ok((tally, summary, outcome))
    }
}

/// Shots of the classes that have any.
fn mean_shots(asset: &Asset<'_>) -> f64 {
    let Some(cache) = asset.cache else { return 0.0 };
    let classes = cache.shots.iter().filter(|&&shots| shots > 0).count();
    cache.len as f64 / classes.max(1) as f64
}
