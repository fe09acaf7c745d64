//! `tipcam convert`: caches of shots that other programs made, and those for other programs.

mod arrays;
mod contents;
mod joined;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::build::{Summary, assemble, parse_note};
use super::dataset::parse_classes;
use super::head::{HeadName, Making};
use super::shared::Shared;
use super::{Outcome, note};
use crate::asset::HeadKind;
use crate::fit::features::Layout;
use crate::fit::search::Search;
use crate::fit::{Recipe, TextFile};

use contents::Contents;
use joined::Joined;

/// Make an asset of a cache that was computed elsewhere, or write an asset's cache for other programs
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam convert cache.safetensors --encoder clip.tipcam --classes classes.txt -o mine.tipcam
  tipcam convert keys.npy labels.npy --text T.safetensors --encoder clip.tipcam -o mine.tipcam
  tipcam convert mine.tipcam -o cache.npz              also: -o cache.safetensors, -o FOLDER

Read are keys [N, D], the shots' features; labels [N] from 0, or values [N, C], one-hot; text [C, D], or
clip_weights; class_names; alpha and beta. keys and text may lie the other way round, [D, N], as
Tip-Adapter's own files do. Names with a number of shots, as keys_16shots, are known too.
PyTorch's .pt files are pickles, which are not opened: what to do instead is said where one is given.
Without --encoder the asset answers features (`tipcam eval --features F --asset A`), not pictures.")]
pub(super) struct Convert {
    /// Files with arrays (*.safetensors, *.npz, *.npy, a folder of *.npy), read together; or one asset
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,

    /// The encoder that the keys come from: an encoder file or an asset
    #[arg(long, value_name = "E")]
    encoder: Option<PathBuf>,

    /// Text weights of the classes as `tipcam text` writes them, found by the classes' names
    #[arg(long, value_name = "T")]
    text: Option<PathBuf>,

    /// Names of the classes, one a line, in the order of their numbers [default: class_names in the files]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    /// Shots of each class, where the files have several sets of keys [default: the most]
    #[arg(long, value_name = "K")]
    shots: Option<usize>,

    /// How keys and text lie in the files, where their shape does not tell
    #[arg(long, value_enum)]
    layout: Option<LayoutName>,

    /// The head to make
    #[arg(long, value_enum, default_value_t = HeadName::Tip)]
    head: HeadName,

    /// Weight of the cache [default: alpha in the files, else chosen by leaving out shots]
    #[arg(long, value_name = "X", requires = "beta", value_parser = positive)]
    alpha: Option<f32>,

    /// Sharpness of the affinity
    #[arg(long, value_name = "X", requires = "alpha", value_parser = positive)]
    beta: Option<f32>,

    /// What shuffles and initial weights of trained heads come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// A note that the asset carries, as `licence=CC BY 4.0`; may be given again
    #[arg(long = "note", value_name = "NAME=TEXT", value_parser = parse_note)]
    notes: Vec<(String, String)>,

    /// What to write: an asset *.tipcam, or *.safetensors, *.npz, or a folder for *.npy
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum LayoutName {
    /// A feature a row: [N, D], [C, D]
    Rows,
    /// A feature a column: [D, N], [D, C]
    Columns,
}

impl Convert {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let kind = arrays::Kind::of(&self.output)?;
        let mut contents = match &self.inputs[..] {
            [asset] if ends_with(asset, "tipcam") => Contents::of_asset(asset)?,
            arrays => {
                let layout = self.layout.map(|layout| match layout {
                    LayoutName::Rows => Layout::Rows,
                    LayoutName::Columns => Layout::Columns,
                });
                Contents::of_arrays(arrays, self.names()?, self.shots, layout)?
            }
        };
        if let Some(path) = &self.text {
            let labels: Vec<String> =
                contents.classes.iter().map(|class| class.label.clone()).collect();
            let texts = TextFile::open(path)?.of(&labels)?;
            contents.classes.iter_mut().zip(texts).for_each(|(class, text)| class.text = text);
        }
        match kind {
            Some(kind) => arrays::write(kind, &self.output, &contents, shared)?,
            None => self.asset(contents, shared)?,
        }
        Ok(Outcome::Done)
    }

    fn names(&self) -> Result<Option<Vec<String>>> {
        let Some(path) = &self.classes else { return Ok(None) };
        let named = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(named)?;
        let classes = parse_classes(&text).with_context(named)?;
        Ok(Some(classes.into_iter().map(|(_, label)| label).collect()))
    }

    fn asset(&self, contents: Contents, shared: &Shared) -> Result<()> {
        let file = self.encoder.as_deref().map(joined::open).transpose()?;
        let base = file.as_ref().map(|file| file.asset()).transpose()?;
        let own_text = self.text.is_some();
        let Contents { name, mut classes, shots, encoder, plain } = contents;
        let joined = match (&file, &base) {
            (Some(file), Some(base)) => {
                let found = joined::Found { name: &name, encoder, own_text };
                Joined::with(file, base, &mut classes, &shots, found, shared)?
            }
            _ => Joined::without(&name, &classes, &shots, encoder)?,
        };
        let plain = self.alpha.zip(self.beta).or(plain);
        let recipe = Recipe {
            encoder: joined.encoder,
            space: joined.space,
            classes: &classes,
            shots: &shots,
            project: joined.project.as_deref(),
            method: HeadKind::Tip.into(),
            search: plain
                .map_or(Search::LeaveOneOut, |(alpha, beta)| Search::Fixed { alpha, beta }),
            threads: shared.threads(),
            kernels: shared.kernels()?,
        };
        let built = Making { head: self.head, seed: self.seed, shared }
            .run(recipe)
            .with_context(|| name.clone())?;
        let asset = assemble(base.as_ref(), joined.encoder, &built, &self.notes)?;
        asset.write_atomic(&self.output)?;
        if file.is_none() {
            note(&format!(
                "{}: without an encoder it answers features, not pictures",
                self.output.display()
            ));
        }
        let summary = Summary {
            file: &self.output,
            specs: &classes,
            shots: &shots,
            built: &built,
            kept: None,
        };
        summary.say(shared)
    }
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "write a number from 0".to_owned())
}
