//! `tipcam fit`: the head of an asset, made again from the shots in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::head::{HeadName, Making};
use super::progress::Progress;
use super::shared::{Format, Shared};
use super::shots::ShotEncoder;
use super::{Outcome, complain, dataset};
use crate::asset::{Asset, AssetFile, Builder, Calibration, HeadKind, Metrics, Space, Tag};
use crate::fit::advice::{self, Confused};
use crate::fit::projector;
use crate::fit::search::MIN_SHOTS;
use crate::fit::unknown::{Seen, Unknown, with_negatives};
use crate::fit::{self, Built, Change, Ingredients, Method, Shot};
use crate::frame::{Decoder, Frame, source};
use crate::head::{Buffers, Head, Temperature, best, probabilities};
use crate::pipeline::Embedder;
use crate::state::FolderLock;

/// Confused classes that are named.
const NAMED: usize = 5;

/// Choose the head of an asset, and its hyper-parameters, by the shots in it
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam fit --asset mine.tipcam                          compare all heads, take the simplest good one
  tipcam fit --head gda --asset mine.tipcam -o gda.tipcam
  tipcam fit --asset mine.tipcam --negatives street/      photographs that show none of the classes
  tipcam fit --asset mine.tipcam --validation more/       choose by other photographs: more/cup/1.jpg ...

Shots are held out in up to four folds and classified by heads that have not seen them. Nothing else is
looked at: no test photographs, and no shots again, which the asset carries. auto takes the simplest head
within one standard error of the best. Temperature and the thresholds of \"unknown\" come from the same
held-out shots; with --negatives the thresholds part these from the negatives.

With --validation the head and its hyper-parameters are chosen by 32 or more photographs that are no shots.
Do not measure with them again: `tipcam eval` wants others.")]
pub(super) struct Fit {
    /// The head to make
    #[arg(long, value_enum, default_value_t = HeadName::Auto)]
    head: HeadName,

    /// Photographs that show none of the classes, in a folder
    #[arg(long, value_name = "DIR")]
    negatives: Option<PathBuf>,

    /// Photographs to choose by instead of the shots, a folder for each class
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,

    /// What shuffles and initial weights of trained heads come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// The asset to write [default: the one of --asset is changed, in one step]
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
}

impl Fit {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let output = self.output.as_deref().or(shared.asset.as_deref()).context(
            "the asset inside this program cannot be changed: say with --asset FILE where yours is, or \
             with -o OUT where the new one goes",
        )?;
        let file = shared.asset_file()?;
        file.check()?;
        let asset = file.asset()?;
        let kernels = shared.kernels()?;
        let workers = shared.workers()?;
        let ingredients = Ingredients::of(&asset)?;
        let project = projector(&asset, kernels).with_context(|| file.name().to_owned())?;
        let project = project.as_ref().map(|project| project as &dyn fit::Projector);
        let (mut outcome, mut validation) = (Outcome::Done, Vec::new());
        if let Some(folder) = &self.validation {
            (validation, outcome) = labelled(folder, &file, &asset, ingredients.space, shared)?;
        }
        let method = Method { validation: &validation, ..HeadKind::Tip.into() };
        let recipe = ingredients.recipe(method, project, workers);
        let mut built = Making { head: self.head, seed: self.seed, shared }.run(recipe)?;
        let mut change = fit::refit(&asset, &built)?;
        if let Some(folder) = &self.negatives {
            let bytes = change.apply(&asset.container).to_bytes()?;
            let (seen, done) = self.negatives(folder, &file, &Asset::open(&bytes)?, shared)?;
            if matches!(done, Outcome::Partly) {
                outcome = done;
            }
            let unknown = with_negatives(&built.known, &seen);
            built.calibration = Calibration {
                unknown_score: unknown.score,
                unknown_cosine: unknown.cosine,
                ..built.calibration
            };
            built.unknown = Some(unknown);
            change.replaced.retain(|(tag, _)| *tag != Tag::CALIBRATION);
            change.replaced.push((Tag::CALIBRATION, built.calibration.encode()));
        }
        let _lock = FolderLock::around(output)?;
        if self.output.is_none() {
            unchanged(&file, output)?;
        }
        write(&asset, &change, &built)?.write_atomic(output)?;
        let counts = asset.classes().map(|class| class.shots as usize).collect::<Vec<_>>();
        let labels: Vec<&str> = asset.classes().map(|class| class.label).collect();
        let text = match shared.format_or(Format::Table) {
            Format::Json => self.json(&built, &labels, &counts, &output.to_string_lossy()),
            Format::Table => self.text(&built, &labels, &counts, &output.to_string_lossy()),
        };
        super::print(&text)?;
        Ok(outcome)
    }

    /// What the new head says to pictures of nothing that it knows.
    fn negatives(
        &self,
        folder: &std::path::Path,
        file: &AssetFile,
        asset: &Asset<'_>,
        shared: &Shared,
    ) -> Result<(Vec<Seen>, Outcome)> {
        let photos = source::pictures(&folder.to_string_lossy())?;
        let mut embedder = Embedder::new(file, shared.kernels()?, shared.threads())?;
        let (mut decoder, mut frame) = (Decoder::default(), Frame::new());
        let head = Head::new(asset, shared.kernels()?)?;
        let temperature = Temperature::of(asset);
        let (mut buffers, mut p) = (Buffers::new(&head), vec![0.0; head.classes()]);
        let (mut seen, mut outcome) = (Vec::new(), Outcome::Done);
        let progress = Progress::new("looking at negatives", photos.len());
        for photo in &photos {
            progress.step();
            if let Err(error) = decoder.read(photo, &mut frame) {
                progress.suspend(|| complain(&error.into()));
                outcome = Outcome::Partly;
                continue;
            }
            let (embedding, _) = embedder.embed(&frame)?;
            let (trunk, projected) = (&embedding.trunk, &embedding.projected);
            let nearest = head.logits(trunk, projected, &mut buffers.workspace())?;
            probabilities(&buffers.logits, temperature, &mut p);
            let score = best(&p).map_or(0.0, |class| p[class]);
            seen.push((score, nearest.first().map_or(1.0, |nearest| nearest.cosine)));
        }
        Ok((seen, outcome))
    }

    fn text(&self, built: &Built, labels: &[&str], counts: &[usize], file: &str) -> String {
        let (choice, calibration) = (&built.choice, &built.calibration);
        let mut text = format!(
            "{file}: head {}, alpha {}, beta {}, temperature {}\n",
            built.kind.name(),
            choice.alpha,
            choice.beta,
            calibration.temperature()
        );
        text += &match choice.accuracy {
            Some(accuracy) => format!(
                "{:.2} % of {} held-out shots right, expected calibration error {:.4}\n",
                100.0 * accuracy,
                choice.held_out,
                calibration.ece
            ),
            None => "too few shots to measure: every class needs two\n".to_owned(),
        };
        if let Some(Unknown { known_pass, foreign_refused, .. }) = built.unknown {
            let whose =
                if self.negatives.is_some() { "of the negatives" } else { "of classes left out" };
            text += &format!(
                "unknown below probability {:.3} or cosine {:.3}: {:.1} % of known shots pass, {:.1} % \
                 {whose} are refused\n",
                calibration.unknown_score,
                calibration.unknown_cosine,
                100.0 * known_pass,
                100.0 * foreign_refused
            );
        }
        for Confused { truth, answer, taken, wrong, of } in
            advice::confused(&built.held).into_iter().take(NAMED)
        {
            text += &format!(
                "{}: {wrong} of {of} held-out shots go wrong, {taken} as {}: add shots of both in which \
                 they differ\n",
                labels[truth], labels[answer]
            );
        }
        for few in advice::few(counts).into_iter().take(NAMED) {
            text += &format!(
                "{}: {} shots, {} more would help\n",
                labels[few.class], few.shots, few.missing
            );
        }
        text
    }

    fn json(&self, built: &Built, labels: &[&str], counts: &[usize], file: &str) -> String {
        let (choice, calibration) = (&built.choice, &built.calibration);
        let confused = advice::confused(&built.held).into_iter().take(NAMED).map(|c| {
            json!({"label": labels[c.truth], "taken_for": labels[c.answer], "taken": c.taken,
                   "wrong": c.wrong, "of": c.of})
        });
        let few = advice::few(counts).into_iter().take(NAMED).map(
            |few| json!({"label": labels[few.class], "shots": few.shots, "missing": few.missing}),
        );
        let line = json!({
            "v": crate::report::SCHEMA,
            "file": file,
            "head": built.kind.name(),
            "alpha": choice.alpha,
            "beta": choice.beta,
            "temperature": calibration.temperature,
            "temperature_slope": calibration.temperature_slope,
            "unknown_score": calibration.unknown_score,
            "unknown_cosine": calibration.unknown_cosine,
            "known_pass": built.unknown.map(|unknown| unknown.known_pass),
            "foreign_refused": built.unknown.map(|unknown| unknown.foreign_refused),
            "held_out": choice.held_out,
            "held_out_top1": choice.accuracy.map(|accuracy| 100.0 * accuracy),
            "held_out_ece": calibration.ece,
            "confused": confused.collect::<Vec<_>>(),
            "few_shots": few.collect::<Vec<_>>(),
        });
        format!("{line}\n")
    }
}

/// Photographs of the asset's classes, a folder for each, as shots have them.
fn labelled(
    folder: &Path,
    file: &AssetFile,
    asset: &Asset<'_>,
    space: Space,
    shared: &Shared,
) -> Result<(Vec<Shot>, Outcome)> {
    let folders = dataset::read(folder, None, "", None)?;
    let mut encoder = ShotEncoder::new(file, space, shared)?;
    let progress =
        Progress::new("looking at photographs", folders.iter().map(|f| f.photos.len()).sum());
    let (mut shots, mut outcome) = (Vec::new(), Outcome::Done);
    for class in &folders {
        let label = dataset::class_of(asset, class).with_context(|| {
            format!(
                "{}: {} has no class of that name; name the folder as the class",
                folder.join(&class.folder).display(),
                file.name()
            )
        })?;
        for photo in &class.photos {
            match encoder.encode(&photo.path, &progress)? {
                Some(feature) => {
                    shots.push(Shot { class: label, feature, name: photo.name.clone() });
                }
                None => outcome = Outcome::Partly,
            }
        }
    }
    ensure!(
        shots.len() >= MIN_SHOTS,
        "{}: {} photographs; it takes {MIN_SHOTS} to choose by, or leave --validation away",
        folder.display(),
        shots.len()
    );
    Ok((shots, outcome))
}

/// A head made for other shots than the file now has would take the new ones away.
fn unchanged(seen: &AssetFile, path: &Path) -> Result<()> {
    let now = AssetFile::open(path)?;
    ensure!(
        now.container()?.sections().eq(seen.container()?.sections()),
        "{}: not written: it was changed by another command while the head was made; fit again",
        path.display()
    );
    Ok(())
}

/// The changed asset, with its new figures.
fn write<'a>(asset: &Asset<'a>, change: &'a Change, built: &Built) -> Result<Builder<'a>> {
    let builder = change.apply(&asset.container);
    let figures = super::head::figures(built);
    match figures.is_empty() {
        true => Ok(builder),
        false => Ok(builder.section(Tag::METRICS, Metrics::encode(&figures)?)),
    }
}
