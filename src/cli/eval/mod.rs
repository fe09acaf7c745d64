//! `tipcam eval`: how often are the answers right?

mod confusion;
mod features;
mod pictures;
mod svg;
mod tally;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::Outcome;
use super::head::HeadName;
use super::shared::{Format, Shared};
use crate::asset;
use tally::{Summary, Tally};

/// Measure how often the answers are right
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam eval photos/                        photos/cup/*.jpg, photos/mug/*.jpg, ...
  tipcam eval photos/ --split split.json --confusion confusion.svg
  tipcam eval photos/ --format table
  tipcam eval --features clip.safetensors --text text_bank.safetensors --shots 16

A folder belongs to the class of its name, or to the class that was learned from photographs in a
folder of that name, or to the one that --classes gives.
Output: a line for each class, each pair of classes that was confused and each tenth of probability,
then the summary: accuracies in percent, `ece` (expected calibration error, 0 to 1: how far the
probabilities are from the truth).
--features measures a head on features that were computed before, without an encoder. The file is
safetensors or NumPy's, with test_features, test_labels, and class_names (in safetensors a JSON list in
the metadata). The head is that of --asset, or it is made of keys_{K}shot and labels_{K}shot in the file,
with alpha and beta by leave-one-out over them. docs/convert.md tells more of such files.")]
pub(super) struct Eval {
    /// A folder that has a folder of photographs for each class
    #[arg(value_name = "DIR", required_unless_present = "features")]
    dir: Option<PathBuf>,

    /// A JSON file that says which photographs to take: {"test": ["cup/1.jpg", ...], ...}
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,

    /// Which list of the split, or of the features
    #[arg(long, value_name = "NAME", default_value = "test")]
    part: String,

    /// Which folders to take and what their classes are called: a line `folder` or `folder = label`
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    /// How classes are scored [default: as the asset says]
    #[arg(long, value_enum)]
    head: Option<HeadName>,

    /// Features computed before, instead of photographs
    #[arg(long, value_name = "F.safetensors", conflicts_with_all = ["dir", "split", "classes"])]
    features: Option<PathBuf>,

    /// Shots of each class to take from the features [default: the most that they have]
    #[arg(long, value_name = "K", requires = "features")]
    shots: Option<usize>,

    /// What shuffles and initial weights of trained heads come from
    #[arg(long, value_name = "N", default_value_t = 0, requires = "features")]
    seed: u64,

    /// Text features: one row a class, or a bank with names
    #[arg(long, value_name = "T.safetensors", requires = "features")]
    text: Option<PathBuf>,

    /// Draw the confusion matrix
    #[arg(long, value_name = "OUT.svg")]
    confusion: Option<PathBuf>,
}

impl Eval {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        if let Some(path) = &self.confusion {
            ensure!(
                path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")),
                "{}: the picture is an SVG, name it *.svg",
                path.display()
            );
        }
        let (source, (tally, summary, outcome)) = match (&self.features, &self.dir) {
            (Some(path), _) => (path, self.features(path, shared)?),
            (None, Some(dir)) => (dir, self.pictures(dir, shared)?),
            // the command line does not let this through
            (None, None) => bail!("give a folder of photographs, or --features"),
        };
        match shared.format_or(Format::Json) {
            Format::Json => {
                super::print(&tally.json_lines().concat())?;
                super::print(&format!("{}\n", serde_json::to_string(&summary)?))?;
            }
            Format::Table => super::print(&format!("{}{}", tally.text(), summary.text()))?,
        }
        if let Some(path) = &self.confusion {
            let name = source.file_name().unwrap_or(source.as_os_str());
            let title = format!("What {} was taken for", name.to_string_lossy());
            let text = format!(
                "{:.2} % top-1 of {} photographs, {} classes, {} shots each, head {}",
                summary.top1, summary.n, summary.classes, summary.shots, summary.head
            );
            let svg = svg::draw(&tally.confusion(), &title, &text);
            asset::write_atomic(path, |out| std::io::Write::write_all(out, svg.as_bytes()))?;
        }
        Ok(outcome)
    }
}
