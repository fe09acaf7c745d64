//! `tipcam doctor`: what this machine has and what tipcam makes of it.

mod system;

use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::shared::{Format, Shared};
use super::table::Table;
use crate::kernels::Kernels;
use system::System;

/// Say what this machine has: processor, memory, cameras, heat
#[derive(Args)]
pub(super) struct Doctor {}

#[derive(Serialize)]
struct Report {
    v: u8,
    version: &'static str,
    arch: &'static str,
    os: &'static str,
    features: Vec<&'static str>,
    kernels: Vec<&'static str>,
    kernel: &'static str,
    processors: usize,
    threads: usize,
    #[serde(flatten)]
    system: System,
}

impl Doctor {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let report = Report {
            v: crate::report::SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            arch: std::env::consts::ARCH,
            os: std::env::consts::OS,
            features: features(),
            kernels: crate::kernels::available().map(Kernels::name).collect(),
            kernel: shared.kernels()?.name(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            threads: shared.threads(),
            system: System::read(Path::new("/")),
        };
        match shared.format_or(Format::Table) {
            Format::Json => super::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            Format::Table => super::print(&report.text())?,
        }
        Ok(Outcome::Done)
    }
}

impl Report {
    fn text(&self) -> String {
        let list = |items: &[&str]| {
            if items.is_empty() { "none that matter here".to_owned() } else { items.join(" ") }
        };
        let system = &self.system;
        let mut table = Table::default();
        table.row(["tipcam", &format!("{} for {} {}", self.version, self.os, self.arch)]);
        if let Some(machine) = &system.machine {
            table.row(["machine", machine]);
        }
        table.row(["features", &list(&self.features)]);
        table.row(["kernels", &format!("{} (uses {})", list(&self.kernels), self.kernel)]);
        table.row(["threads", &format!("{} of {} processors", self.threads, self.processors)]);
        if let Some(total) = system.memory_mib {
            let free = system.memory_available_mib.map_or(String::new(), |f| format!(", {f} free"));
            table.row(["memory", &format!("{total} MiB{free}")]);
        }
        if let Some(clock) = system.clock_mhz {
            let of = system.clock_max_mhz.map_or(String::new(), |max| format!(" of {max}"));
            let by = system.governor.as_ref().map_or(String::new(), |g| format!(", governor {g}"));
            table.row(["clock", &format!("{clock}{of} MHz{by}")]);
        }
        if system.cameras.is_empty() {
            table.row(["cameras", "none (no /dev/video*)"]);
        }
        for camera in &system.cameras {
            let name = camera.name.as_deref().unwrap_or("(no name)");
            table.row(["camera", &format!("{} {name}", camera.device)]);
        }
        for t in &system.temperatures {
            table.row(["temperature", &format!("{:.1} °C {}", t.celsius, t.sensor)]);
        }
        match (system.throttling_known, &*system.throttling) {
            (false, _) => table.row(["throttling", "this system does not tell"]),
            (true, []) => table.row(["throttling", "none"]),
            (true, reasons) => {
                for reason in reasons {
                    table.row(["throttling", reason]);
                }
                &mut table
            }
        };
        table.text()
    }
}

/// The processor's features that the kernels ask for.
fn features() -> Vec<&'static str> {
    macro_rules! having {
        ($is_detected:ident: $($name:tt),*) => {
            [$(($name, std::arch::$is_detected!($name))),*]
        };
    }
    #[cfg(target_arch = "x86_64")]
    let all = having!(is_x86_feature_detected:
        "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vl", "avx512vnni");
    #[cfg(target_arch = "aarch64")]
    let all = having!(is_aarch64_feature_detected: "neon", "fp16", "dotprod", "i8mm");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let all: [(&'static str, bool); 0] = [];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}
