//! `tipcam build`: an asset from scratch.

mod features;
mod kept;
mod summary;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use sha2::{Digest, Sha256};

use super::Outcome;
use super::dataset::{self, ClassPhotos};
use super::head::{HeadName, Making, figures};
use super::shared::Shared;
use crate::asset::{
    Asset, AssetFile, Builder, EncoderId, HeadKind, Labels, Metrics, Prompts, Provenance, Space,
    Tag,
};
use crate::fit::projector;
use crate::fit::search::Search;
use crate::fit::{self, Built, ClassSpec, Recipe, TextFile};

use features::{Encoded, PhotoEncoder};
use kept::Kept;
pub(super) use summary::Summary;

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
same photographs give the same bytes.
The photographs' features are kept in a file beside the output, mine.tipcam.features: a build that was
interrupted goes on where it stopped, and the next one encodes only photographs that are new or changed.
It may be deleted at any time.")]
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

    /// A JSON file that says which photographs to take: {"train": ["cup/1.jpg", ...], ...}
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

    /// What the views of --augment, and shuffles and initial weights of trained heads come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Teach the mean of N random views of each photograph (parts of at least half of it, some mirrored)
    /// instead of the photograph as it is; takes N times as long, and gave between nothing and one point
    /// of accuracy where there was one photograph of a class
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    augment: Option<u32>,

    /// Encode every photograph again, and keep no features for the next build
    #[arg(long)]
    no_resume: bool,

    /// A note that the asset carries, as `licence=CC BY 4.0`; may be given again
    #[arg(long = "note", value_name = "NAME=TEXT", value_parser = parse_note)]
    notes: Vec<(String, String)>,

    /// The asset to write
    #[arg(long, short, value_name = "A")]
    output: PathBuf,
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
        let views = self.augment.unwrap_or(0);
        let mut encoder = PhotoEncoder::new(&file, views, self.seed, shared)?;
        let mut classes =
            dataset::read(&self.shots, self.split.as_deref(), &self.part, self.classes.as_deref())?;
        for class in &mut classes {
            class.photos.truncate(self.per_class.unwrap_or(usize::MAX));
        }

        let text = self.text.as_ref().map(TextFile::open).transpose()?;
        // before the photographs, which may take an hour
        let specs = self.specs(&base, &classes, encoder.dim(), text.as_ref())?;
        let mut kept = match self.no_resume {
            true => Kept::default(),
            false => Kept::beside(&self.output, self.key(&base), encoder.dim()),
        };
        let Encoded { shots, found, outcome } =
            features::encode(&classes, &mut encoder, &mut kept)?;
        let project = projector(&base, kernels).with_context(|| file.name().to_owned())?;
        // without a projection the text is in the trunk's space
        let same = |trunk: &[f32]| trunk.to_vec();
        let project = match (&project, &self.text) {
            (Some(project), _) => Some(project as &dyn fit::Projector),
            (None, Some(_)) => Some(&same as &dyn fit::Projector),
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
        let encoder = base.container.encoder_id();
        assemble(Some(&base), encoder, &built, text.as_ref(), &self.notes)?
            .write_atomic(&self.output)?;
        let at = kept.path().map(|path| path.display().to_string());
        kept.finish();
        let kept = at.map(|file| summary::Kept { file, found });
        Summary { file: &self.output, specs: &specs, shots: &shots, built: &built, kept }
            .say(shared)?;
        Ok(outcome)
    }

    /// What a photograph's feature depends on, besides the photograph.
    fn key(&self, base: &Asset<'_>) -> kept::Hash {
        let views = self.augment.unwrap_or(0);
        let seed = if views == 0 { 0 } else { self.seed };
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(base.container.encoder_id().0);
        hash.update(views.to_le_bytes());
        hash.update(seed.to_le_bytes());
        hash.finalize().into()
    }

    /// The classes with their text, out of `--text` or the encoder's vocabulary, for features of `dim`
    /// values.
    fn specs(
        &self,
        base: &Asset<'_>,
        classes: &[ClassPhotos],
        dim: usize,
        text: Option<&TextFile>,
    ) -> Result<Vec<ClassSpec>> {
        let labels: Vec<String> = classes.iter().map(|class| class.label.clone()).collect();
        Labels::encode(&labels).with_context(|| {
            let folder = self.shots.display();
            format!("{folder}: its classes do not fit into an asset (--classes FILE chooses and renames)")
        })?;
        let texts: Vec<Option<Vec<f32>>> = match text.zip(self.text.as_ref()) {
            Some((text, path)) => {
                ensure!(
                    base.container.section(Tag::PROJECTION).is_none(),
                    "--text is for a CLIP's image encoder with its projection inside, as `tipcam encoder \
                     import` makes it without --projection: this encoder has a vocabulary of its own"
                );
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
}

/// An asset of a head, with the encoder and vocabulary of `base`, if there is one, with what is known of
/// its text, if that has a file of its own, and notes.
pub(super) fn assemble<'a>(
    base: Option<&Asset<'a>>,
    encoder: EncoderId,
    built: &'a Built,
    text: Option<&TextFile>,
    notes: &[(String, String)],
) -> Result<Builder<'a>> {
    let mut asset = Builder::new(encoder);
    let kept = Tag::ENCODER.into_iter().chain([Tag::VOCABULARY, Tag::PROMPTS]);
    for tag in kept.filter(|tag| text.is_none() || *tag != Tag::PROMPTS) {
        if let Some(section) = base.and_then(|base| base.container.section(tag)) {
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
    let mut provenance = vec![("tipcam", env!("CARGO_PKG_VERSION"))];
    if let Some(text) = text {
        provenance.extend(text.origin().iter().map(|(name, text)| (&**name, &**text)));
        // more or longer ones than there is room for are told by their file alone
        if !text.templates().is_empty()
            && let Ok(prompts) = Prompts::encode(text.templates())
        {
            asset = asset.section(Tag::PROMPTS, prompts);
        }
    }
    provenance.extend(notes.iter().map(|(name, text)| (&**name, &**text)));
    Ok(asset.section(Tag::PROVENANCE, Provenance::encode(&provenance)?))
}

pub(super) fn parse_note(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, text)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), text.trim().to_owned()))
        }
        _ => Err("write a name, = and a text"),
    }
}
