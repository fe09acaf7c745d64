//! Heads on the command line: their names, and how one is made.

use anyhow::Result;
use clap::ValueEnum;

use super::progress::Progress;
use super::shared::{Format, Shared};
use super::table::Table;
use crate::asset::HeadKind;
use crate::fit::folds::{Compared, simplest};
use crate::fit::heads::BY_SIMPLICITY;
use crate::fit::{self, Built, Method, Recipe, train};

/// How classes are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HeadName {
    /// The simplest of those that do as well as the best, by folds over the shots
    Auto,
    /// Text weights alone
    ZeroShot,
    /// Text weights and the cache of shots (Tip-Adapter)
    Tip,
    /// The cache of shots alone
    Cache,
    /// Tip-Adapter-F: trained keys
    TipF,
    /// Chosen channels and weighted keys
    Ape,
    /// A trained residual for each class
    ApeT,
    /// Gaussian discriminant analysis: class means and one covariance
    Gda,
    /// Text and the sum of the shots
    SsText,
    /// A trained bottleneck on the feature
    ClipAdapter,
    /// Attention over the shots of a class
    MetaAdapter,
    /// The encoder's last projection, trained and held near to what it was
    #[value(name = "prolip")]
    ProLip,
    /// A linear map for classes that come in tasks
    Incremental,
}

impl HeadName {
    /// The head; none for `auto`.
    pub(super) fn kind(self) -> Option<HeadKind> {
        Some(match self {
            Self::Auto => return None,
            Self::ZeroShot => HeadKind::ZeroShot,
            Self::Tip => HeadKind::Tip,
            Self::Cache => HeadKind::CacheOnly,
            Self::TipF => HeadKind::TipF,
            Self::Ape => HeadKind::Ape,
            Self::ApeT => HeadKind::ApeT,
            Self::Gda => HeadKind::Gda,
            Self::SsText => HeadKind::SsText,
            Self::ClipAdapter => HeadKind::ClipAdapter,
            Self::MetaAdapter => HeadKind::MetaAdapter,
            Self::ProLip => HeadKind::ProLip,
            Self::Incremental => HeadKind::Incremental,
        })
    }
}

/// Makes the head that was asked for, with progress; for `auto` it compares first.
pub(super) struct Making<'s> {
    pub(super) head: HeadName,
    pub(super) seed: u64,
    pub(super) shared: &'s Shared,
}

impl Making<'_> {
    pub(super) fn run(&self, recipe: Recipe<'_>) -> Result<Built> {
        let bar = Progress::new("choosing hyper-parameters", 1);
        let show =
            |kind: HeadKind, now: train::Progress| bar.show(kind.name(), now.epoch, now.epochs);
        let recipe = Recipe { method: Method { seed: self.seed, ..recipe.method }, ..recipe };
        let (kind, setting) = match self.head.kind() {
            Some(kind) => (kind, None),
            None => {
                let compared = fit::compare(&recipe, &BY_SIMPLICITY, &show)?;
                let chosen = simplest(&compared)
                    .map_or((HeadKind::Tip, None), |chosen| (chosen.kind, Some(chosen.setting)));
                bar.suspend(|| super::note(&self.table(&compared, chosen.0)));
                chosen
            }
        };
        let report = |now| show(kind, now);
        let validation = recipe.method.validation;
        let method =
            Method { setting, seed: self.seed, validation, report: &report, ..kind.into() };
        Ok(fit::build(&Recipe { method, ..recipe })?)
    }

    /// The comparison, for stderr: a table, or a JSON object for each head.
    fn table(&self, compared: &[Compared], chosen: HeadKind) -> String {
        if self.shared.format_or(Format::Table) == Format::Json {
            let line = |c: &Compared| {
                serde_json::json!({
                    "v": crate::report::SCHEMA, "head": c.kind.name(), "held_out_top1": percent(c.accuracy),
                    "standard_error": percent(c.error), "seconds": percent(c.seconds / 100.0),
                    "chosen": c.kind == chosen
                })
                .to_string()
            };
            return compared.iter().map(line).collect::<Vec<_>>().join("\n");
        }
        let mut table = Table::new(&[1, 2, 3]);
        table.row(["head", "held-out top-1 %", "standard error", "seconds", ""]);
        for c in compared {
            table.row([
                c.kind.name(),
                &format!("{:.2}", 100.0 * c.accuracy),
                &format!("{:.2}", 100.0 * c.error),
                &format!("{:.2}", c.seconds),
                if c.kind == chosen { "taken" } else { "" },
            ]);
        }
        table.text().trim_end().to_owned()
    }
}

/// Figures of a head for an asset: how held-out shots were answered. None where none could be.
pub(super) fn figures(built: &Built) -> Vec<(&'static str, f64)> {
    let Some(accuracy) = built.choice.accuracy else { return Vec::new() };
    let names = match built.kind.is_plain() {
        true => ["leave_one_out.top1", "leave_one_out.shots", "leave_one_out.ece"],
        false => ["folds.top1", "folds.shots", "folds.ece"],
    };
    let ece = (1e4 * f64::from(built.calibration.ece)).round() / 1e4;
    let values = [percent(accuracy), built.choice.held_out as f64, ece];
    let mut figures: Vec<_> = names.into_iter().zip(values).collect();
    if let Some(unknown) = &built.unknown {
        figures.push(("unknown.known_pass", percent(unknown.known_pass)));
        figures.push(("unknown.foreign_refused", percent(unknown.foreign_refused)));
    }
    figures
}

pub(super) fn percent(share: f64) -> f64 {
    (1e4 * share).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_has_its_own_name_on_the_command_line() {
        let names = HeadName::value_variants().iter().filter(|&&name| name != HeadName::Auto);
        let names: Vec<_> = names.map(|name| (name.kind(), name.to_possible_value())).collect();
        for (kind, name) in &names {
            assert_eq!(kind.unwrap().name(), name.as_ref().unwrap().get_name());
        }
        assert_eq!(names.len(), HeadKind::ALL.len());
    }
}
