//! `tipcam build`: an asset from scratch.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::dataset::{self, ClassPhotos};
use super::head::{HeadName, Making, figures, percent};
use super::progress::Progress;
use super::shared::{Format, Shared};
use super::shots::ShotEncoder;
use super::table::Table;
use super::{Outcome, note};
use crate::asset::{Asset, AssetFile, Builder, HeadKind, Metrics, Prompts, Provenance, Space, Tag};
use crate::fit::search::Search;
use crate::fit::{self, Built, ClassSpec, Recipe, Shot, TextFile};
use crate::pipeline::projector;

/// Make an asset out of folders of photographs
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam build --shots photos/ -o mine.tipcam       photos/cup/*.jpg, photos/mug/*.jpg, ...
  tipcam build --shots photos/ --classes classes.txt --per-class 16 -o mine.tipcam
  tipcam build --encoder encoder.tipcam --shots photos/ -o mine.tipcam
  tipcam build --encoder clip.tipcam --text T.safetensors --shots photos/ -o mine.tipcam

classes.txt chooses and names the classes: a line `folder` or `folder = label`, # for comments. A
class without photographs is recognised by its name alone, if the text vocabulary has it.
alpha, beta, the temperature and the thresholds of \"unknown\" are chosen by leaving out one shot after
another; no other photographs are looked at. The output replaces a file of that name in one step. The
same photographs give the same bytes.")]
pub(super) struct Build {
    /// The encoder: an encoder file or an asset [default: --asset, else the one inside this program]
    #[arg(long, value_name = "E")]
    encoder: Option<PathBuf>,

    /// Which folders to take and what their classes are called [default: all, by the folders' names]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    /// A folder that has a folder of photographs for each class
    #[arg(long, value_name = "DIR")]
    shots: PathBuf,

    /// Text weights of the classes as `tipcam text` writes them, found by the classes' labels; for a
    /// CLIP whose image encoder was imported with its projection inside
    /// [default: the encoder's own vocabulary, where it has one]
    #[arg(long, value_name = "T")]
    text: Option<PathBuf>,

    /// A JSON file that says which photographs to take: {\"train\": [\"cup/1.jpg\", ...], ...}
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,

    /// Which list of the split
    #[arg(long, value_name = "NAME", default_value = "train", requires = "split")]
    part: String,

    /// Take at most the first N photographs of each class, by name or in the split's order
    #[arg(long, value_name = "N")]
    per_class: Option<usize>,

    /// The head to make, or `auto`: all are compared by folds over the shots, and the simplest of those
    /// that do as well as the best is taken
    #[arg(long, value_enum, default_value_t = HeadName::Tip)]
    head: HeadName,

    /// What shuffles and initial weights of trained heads come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// A note that the asset carries, as `licence=CC BY 4.0`; may be given again
    #[arg(long = "note", value_name = "NAME=TEXT", value_parser = parse_note)]
    notes: Vec<(String, String)>,

    /// The asset to write
    #[arg(long, short, value_name = "A")]
    output: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    file: &'a str,
    head: &'static str,
    classes: usize,
    classes_with_text: usize,
    shots: usize,
    alpha: f32,
    beta: f32,
    temperature: f32,
    unknown_score: f32,
    unknown_cosine: f32,
    /// Percent; null with too few shots to tell.
    leave_one_out_top1: Option<f64>,
    leave_one_out_ece: f64,
}

impl Build {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let file = match &self.encoder {
            Some(path) => AssetFile::open(path)?,
            None => shared.asset_file()?,
        };
        file.check()?;
        let base = file.asset()?;
        let kernels = shared.kernels()?;
        let mut encoder = ShotEncoder::new(&file, Space::Trunk, shared)?;
        let mut classes =
            dataset::read(&self.shots, self.split.as_deref(), &self.part, self.classes.as_deref())?;
        for class in &mut classes {
            class.photos.truncate(self.per_class.unwrap_or(usize::MAX));
        }

        let text = self.text.as_ref().map(TextFile::open).transpose()?;
        let (shots, outcome) = encode(&classes, &mut encoder)?;
        let specs = self.specs(&base, &classes, &shots, text.as_ref())?;
        let project = projector(&base, kernels).with_context(|| file.name().to_owned())?;
        // without a projection the text is in the trunk's space
        let same = |trunk: &[f32]| trunk.to_vec();
        let project = match (&project, &self.text) {
            (Some(project), _) => Some(project as &fit::Project<'_>),
            (None, Some(_)) => Some(&same as &fit::Project<'_>),
            (None, None) => None,
        };
        let recipe = Recipe {
            encoder: base.container.encoder_id(),
            space: Space::Trunk,
            classes: &specs,
            shots: &shots,
            project,
            method: HeadKind::Tip.into(),
            search: Search::LeaveOneOut,
            threads: shared.threads(),
            kernels,
        };
        let built = Making { head: self.head, seed: self.seed, shared }.run(recipe)?;
        self.write(&base, &built, text.as_ref())?;
        self.say(shared, &specs, &shots, &built)?;
        Ok(outcome)
    }

    /// The classes with their text, out of `--text` or the encoder's vocabulary.
    fn specs(
        &self,
        base: &Asset<'_>,
        classes: &[ClassPhotos],
        shots: &[Shot],
        text: Option<&TextFile>,
    ) -> Result<Vec<ClassSpec>> {
        let labels: Vec<String> = classes.iter().map(|class| class.label.clone()).collect();
        let texts: Vec<Option<Vec<f32>>> = match text.zip(self.text.as_ref()) {
            Some((text, path)) => {
                ensure!(
                    base.container.section(Tag::PROJECTION).is_none(),
                    "--text is for a CLIP's image encoder with its projection inside, as `tipcam encoder \
                     import` makes it without --projection: this encoder has a vocabulary of its own"
                );
                let dim = shots.first().map_or(text.dim(), |shot| shot.feature.len());
                ensure!(
                    text.dim() == dim,
                    "{}: the text has {} values, a picture's feature {dim}: they must come from the same \
                     CLIP",
                    path.display(),
                    text.dim()
                );
                text.of(&labels)?
            }
            None => {
                let words = base.vocabulary;
                let find = |label| words.and_then(|words| fit::text::look_up(&words, label));
                labels.iter().map(|label| find(label)).collect()
            }
        };
        let specs = labels.into_iter().zip(texts);
        Ok(specs.map(|(label, text)| ClassSpec { label, text }).collect())
    }

    fn write(&self, base: &Asset<'_>, built: &Built, text: Option<&TextFile>) -> Result<()> {
        let container = &base.container;
        let kept = Tag::ENCODER.into_iter().chain([Tag::VOCABULARY, Tag::PROMPTS]);
        let kept = kept.filter(|tag| text.is_none() || *tag != Tag::PROMPTS);
        let mut asset = Builder::new(container.encoder_id());
        for tag in kept {
            if let Some(section) = container.section(tag) {
                asset = asset.section(tag, section);
            }
        }
        for (tag, bytes) in &built.sections {
            asset = asset.section(*tag, &bytes[..]);
        }
        let figures = figures(built);
        if !figures.is_empty() {
            asset = asset.section(Tag::METRICS, Metrics::encode(&figures)?);
        }
        let mut notes = vec![("tipcam", env!("CARGO_PKG_VERSION"))];
        if let Some(text) = text {
            notes.extend(text.origin().iter().map(|(name, text)| (&**name, &**text)));
            // more or longer ones than there is room for are told by their file alone
            if !text.templates().is_empty()
                && let Ok(prompts) = Prompts::encode(text.templates())
            {
                asset = asset.section(Tag::PROMPTS, prompts);
            }
        }
        notes.extend(self.notes.iter().map(|(name, text)| (&**name, &**text)));
        asset = asset.section(Tag::PROVENANCE, Provenance::encode(&notes)?);
        Ok(asset.write_atomic(&self.output)?)
    }

    fn say(
        &self,
        shared: &Shared,
        specs: &[ClassSpec],
        shots: &[Shot],
        built: &Built,
    ) -> Result<()> {
        let count = |class: usize| shots.iter().filter(|shot| shot.class == class).count();
        let (choice, calibration) = (&built.choice, &built.calibration);
        let file = self.output.to_string_lossy();
        let with_text = specs.iter().filter(|spec| spec.text.is_some()).count();
        if shared.format_or(Format::Table) == Format::Json {
            let line = Line {
                v: crate::report::SCHEMA,
                file: &file,
                head: built.kind.name(),
                classes: specs.len(),
                classes_with_text: with_text,
                shots: shots.len(),
                alpha: choice.alpha,
                beta: choice.beta,
                temperature: calibration.temperature,
                unknown_score: calibration.unknown_score,
                unknown_cosine: calibration.unknown_cosine,
                leave_one_out_top1: choice.accuracy.map(percent),
                leave_one_out_ece: round(f64::from(calibration.ece), 1e4),
            };
            return Ok(super::print(&format!("{}\n", serde_json::to_string(&line)?))?);
        }
        let mut table = Table::new(&[0]);
        table.row(["shots", "text", "class"]);
        for (class, spec) in specs.iter().enumerate() {
            let text = if spec.text.is_some() { "yes" } else { "" };
            table.row([&*count(class).to_string(), text, &spec.label]);
        }
        let accuracy = match choice.accuracy {
            Some(accuracy) => format!(
                "held-out shots: {:.2} % of {} right, expected calibration error {:.4}",
                percent(accuracy),
                choice.held_out,
                calibration.ece
            ),
            None => "too few shots to measure: every class needs two".to_owned(),
        };
        let text = format!(
            "{}\n{file}: {} classes ({with_text} with text), {} shots\nhead {}, alpha {}, beta {}, temperature \
             {}, unknown below probability {:.3} or cosine {:.3}\n{accuracy}\n",
            table.text(),
            specs.len(),
            shots.len(),
            built.kind.name(),
            choice.alpha,
            choice.beta,
            calibration.temperature,
            calibration.unknown_score,
            calibration.unknown_cosine
        );
        Ok(super::print(&text)?)
    }
}

/// Encodes the photographs of all classes; those that cannot be read are left out.
fn encode(classes: &[ClassPhotos], encoder: &mut ShotEncoder) -> Result<(Vec<Shot>, Outcome)> {
    let progress = Progress::new("encoding", classes.iter().map(|c| c.photos.len()).sum());
    let mut outcome = Outcome::Done;
    let mut shots = Vec::new();
    for (class, photos) in classes.iter().enumerate() {
        let before = shots.len();
        for photo in &photos.photos {
            match encoder.encode(&photo.path, &progress)? {
                Some(feature) => shots.push(Shot { class, feature, name: photo.name.clone() }),
                None => outcome = Outcome::Partly,
            }
        }
        if shots.len() == before {
            progress.suspend(|| {
                note(&format!("class {:?}: no photographs, known by its name alone", photos.label));
            });
        }
    }
    if shots.is_empty() && outcome == Outcome::Partly {
        bail!("not written, none of the photographs could be read");
    }
    Ok((shots, outcome))
}

/// To a multiple of 1 / `steps`.
fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn parse_note(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, text)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), text.trim().to_owned()))
        }
        _ => Err("write a name, = and a text"),
    }
}
