//! What was built, on stdout.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cli::head::percent;
use crate::cli::print;
use crate::cli::shared::{Format, Shared};
use crate::cli::table::Table;
use crate::fit::{Built, ClassSpec, Shot};

/// An asset that was made of classes and shots.
pub(in crate::cli) struct Summary<'a> {
    pub(in crate::cli) file: &'a Path,
    pub(in crate::cli) specs: &'a [ClassSpec],
    pub(in crate::cli) shots: &'a [Shot],
    pub(in crate::cli) built: &'a Built,
    /// Where the features of photographs are for the next build.
    pub(in crate::cli) kept: Option<Kept>,
}

/// Features that are kept, and those among them that were there before.
#[derive(Serialize)]
pub(in crate::cli) struct Kept {
    pub(super) file: String,
    pub(super) found: usize,
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
    temperature_slope: f32,
    unknown_score: f32,
    unknown_cosine: f32,
    /// Percent; null with too few shots to tell.
    leave_one_out_top1: Option<f64>,
    leave_one_out_ece: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a Kept>,
}

impl Summary<'_> {
    /// Prints it.
    pub(in crate::cli) fn say(&self, shared: &Shared) -> Result<()> {
        let text = match shared.format_or(Format::Table) {
            Format::Json => format!("{}\n", self.json()?),
            Format::Table => self.text(),
        };
        Ok(print(&text)?)
    }

    fn with_text(&self) -> usize {
        self.specs.iter().filter(|spec| spec.text.is_some()).count()
    }

    fn json(&self) -> Result<String> {
        let (choice, calibration) = (&self.built.choice, &self.built.calibration);
        let line = Line {
            v: crate::report::SCHEMA,
            file: &self.file.to_string_lossy(),
            head: self.built.kind.name(),
            classes: self.specs.len(),
            classes_with_text: self.with_text(),
            shots: self.shots.len(),
            alpha: choice.alpha,
            beta: choice.beta,
            temperature: calibration.temperature,
            temperature_slope: calibration.temperature_slope,
            unknown_score: calibration.unknown_score,
            unknown_cosine: calibration.unknown_cosine,
            leave_one_out_top1: choice.accuracy.map(percent),
            leave_one_out_ece: round(f64::from(calibration.ece), 1e4),
            kept: self.kept.as_ref(),
        };
        Ok(serde_json::to_string(&line)?)
    }

    fn text(&self) -> String {
        let (choice, calibration) = (&self.built.choice, &self.built.calibration);
        let mut counts = vec![0usize; self.specs.len()];
        self.shots.iter().for_each(|shot| counts[shot.class] += 1);
        let mut table = Table::new(&[0]);
        table.row(["shots", "text", "class"]);
        for (count, spec) in counts.iter().zip(self.specs) {
            let text = if spec.text.is_some() { "yes" } else { "" };
            table.row([&*count.to_string(), text, &spec.label]);
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
        let kept = match &self.kept {
            Some(Kept { file, found: 0 }) => {
                format!("features of all photographs are in {file} for the next build\n")
            }
            Some(Kept { file, found }) => format!(
                "{found} features from an earlier build in {file}, {} photographs encoded\n",
                self.shots.len() - found
            ),
            None => String::new(),
        };
        format!(
            "{}\n{}: {} classes ({} with text), {} shots\nhead {}, alpha {}, beta {}, temperature {}, \
             unknown below probability {:.3} or cosine {:.3}\n{accuracy}\n{kept}",
            table.text(),
            self.file.display(),
            self.specs.len(),
            self.with_text(),
            self.shots.len(),
            self.built.kind.name(),
            choice.alpha,
            choice.beta,
            calibration.temperature(),
            calibration.unknown_score,
            calibration.unknown_cosine
        )
    }
}

/// To a multiple of 1 / `steps`.
fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
