//! `tipcam bench`: where the time of a picture goes on this machine.

mod clock;
mod stages;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::progress::Progress;
use super::shared::{Format, Shared};
use super::table::Table;
use crate::asset::AssetFile;
use stages::Stage;

/// Measure how long a picture takes on this machine, stage by stage
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam bench                               the asset inside this program
  tipcam bench --encoder vit.tipcam --threads 2 --format json
  tipcam bench --worker --encoder vit.tipcam photo.f32

Times are medians over rounds in which every stage runs once; p90 is what nine rounds of ten stay
below. `peak` is the rate of the same product out of the first cache, measured in the same run. Close
other programs first, and compare only figures of one run.

--worker joins the benchmark of another program: it answers `run K`, `in PATH`, `out PATH` and `quit`
on standard input. PATHs are files of raw 32-bit floats: [3, side, side] as the network sees them
(mean and deviation taken out), and the feature.")]
pub(super) struct Bench {
    /// A file with an encoder; the stages before and after it are left out
    #[arg(long, value_name = "FILE")]
    encoder: Option<PathBuf>,

    /// A photograph [default: one of `tipcam watch demo`]
    #[arg(long, value_name = "FILE", conflicts_with = "worker")]
    photo: Option<PathBuf>,

    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "worker",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,

    /// Every layer instead of every kind of layer
    #[arg(long, conflicts_with = "worker")]
    layers: bool,

    /// Answer the lines of another benchmark
    #[arg(long, requires = "input")]
    worker: bool,

    /// With --worker: the first input
    #[arg(value_name = "INPUT.f32")]
    input: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    v: u8,
    asset: &'a str,
    kernel: &'static str,
    threads: usize,
    rounds: u32,
    peak_gmacs: f64,
    stages: Vec<Stage>,
}

impl Bench {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        if self.input.is_some() && !self.worker {
            bail!("INPUT.f32 is for --worker; a photograph is given with --photo FILE");
        }
        let file = match &self.encoder {
            Some(path) => AssetFile::open(path)?,
            None => shared.asset_file()?,
        };
        let (kernels, threads) = (shared.kernels()?, shared.threads());
        if let (true, Some(input)) = (self.worker, &self.input) {
            worker::run(&file, kernels, threads, input)?;
            return Ok(Outcome::Done);
        }
        let progress = Progress::new("measuring", self.rounds as usize);
        let measured = stages::measure(
            &file,
            &stages::Options {
                kernels,
                threads,
                rounds: self.rounds,
                photo: self.photo.as_deref(),
                encoder_only: self.encoder.is_some(),
                layers: self.layers,
            },
            &|| progress.step(),
        );
        let (peak_gmacs, stages) = measured.with_context(|| file.name().to_owned())?;
        drop(progress);
        let report = Report {
            v: crate::report::SCHEMA,
            asset: file.name(),
            kernel: kernels.name(),
            threads,
            rounds: self.rounds,
            peak_gmacs,
            stages,
        };
        match shared.format_or(Format::Table) {
            Format::Json => super::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            Format::Table => super::print(&report.text())?,
        }
        Ok(Outcome::Done)
    }
}

impl Report<'_> {
    fn text(&self) -> String {
        let mut table = Table::new(&[1, 2, 3, 4, 5]);
        table.row(["stage", "median ms", "p90 ms", "share", "GMAC/s", "of peak"]);
        let total: f64 = self.stages.iter().filter(|s| !s.part).map(|s| s.median_ms).sum();
        for stage in &self.stages {
            let name = if stage.part { format!("  {}", stage.name) } else { stage.name.clone() };
            let rate = stage.gmacs.map_or(String::new(), |rate| format!("{rate:.1}"));
            let of_peak = stage.gmacs.map(|rate| 100.0 * rate / self.peak_gmacs);
            table.row([
                name,
                format!("{:.3}", stage.median_ms),
                format!("{:.3}", stage.p90_ms),
                format!("{:.1} %", 100.0 * stage.median_ms / total),
                rate,
                of_peak.map_or(String::new(), |share| format!("{share:.0} %")),
            ]);
        }
        table.row(["all".to_owned(), format!("{total:.3}")]);
        format!(
            "{}: {} kernels, {} {}, {} rounds; peak {:.1} GMAC/s\n\n{}",
            self.asset,
            self.kernel,
            self.threads,
            if self.threads == 1 { "thread" } else { "threads" },
            self.rounds,
            self.peak_gmacs,
            table.text()
        )
    }
}
