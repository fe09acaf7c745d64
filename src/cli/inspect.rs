//! `tipcam inspect`: what is in an asset.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use super::shared::{Format, Shared};
use super::table::Table;
use crate::asset::{Asset, AssetFile, Description};

/// Say what is in an asset, and whether it is undamaged
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam inspect                        the asset inside this program
  tipcam inspect mine.tipcam --classes  yours, with every class
  tipcam inspect mine.tipcam --shots    with the numbers that `tipcam forget` takes")]
pub(super) struct Inspect {
    /// The asset or encoder file [default: --asset, else the one inside this program]
    file: Option<PathBuf>,

    /// List the classes with their numbers of shots
    #[arg(long)]
    classes: bool,

    /// List the shots with their numbers
    #[arg(long)]
    shots: bool,
}

#[derive(Serialize)]
struct Report {
    v: u8,
    #[serde(flatten)]
    asset: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    shots: Option<Vec<Shot>>,
}

#[derive(Serialize)]
struct Shot {
    key: u64,
    label: String,
    name: Option<String>,
}

impl Inspect {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let file = match &self.file {
            Some(path) => AssetFile::open(path)?,
            None => shared.asset_file()?,
        };
        file.check()?;
        let asset = file.asset()?;
        let report = Report {
            v: crate::report::SCHEMA,
            asset: Description::of(file.name(), &asset),
            shots: self.shots.then(|| shots(&asset)),
        };
        match shared.format_or(Format::Table) {
            Format::Json => super::print(&format!("{}\n", serde_json::to_string(&report)?))?,
            Format::Table => super::print(&report.text(self.classes)?)?,
        }
        Ok(Outcome::Done)
    }
}

fn shots(asset: &Asset<'_>) -> Vec<Shot> {
    let Some(cache) = asset.cache else { return Vec::new() };
    let label = |class: u32| asset.labels.and_then(|labels| labels.get(class as usize));
    (0..cache.len)
        .map(|i| Shot {
            key: cache.id[i],
            label: label(cache.class[i]).unwrap_or_default().to_owned(),
            name: asset.key_names.and_then(|names| names.get(i)).map(str::to_owned),
        })
        .collect()
}

impl Report {
    fn text(&self, classes: bool) -> Result<String> {
        let asset = &self.asset;
        let mut top = Table::default();
        top.row(["file", &format!("{}, {} bytes, undamaged", asset.file, asset.bytes)]);
        top.row(["format", &asset.format]);
        top.row(["encoder", &asset.encoder]);
        if let Some(input) = &asset.preprocess {
            top.row(["input", &format!("{0} x {0} pixels, {1}", input.size, input.mode.name())]);
        }
        top.row([
            "classes",
            &format!(
                "{} ({} with text, {} with shots)",
                asset.classes.len(),
                asset.classes.iter().filter(|class| class.text).count(),
                asset.classes.iter().filter(|class| class.shots > 0).count()
            ),
        ]);
        if let Some(cache) = &asset.cache {
            let room = format!("{} (room for {}), {}", cache.keys, cache.capacity, cache.space);
            top.row(["shots", &room]);
        }
        if let Some(words) = asset.vocabulary {
            top.row(["vocabulary", &format!("{words} names with text")]);
        }
        for prompt in asset.text.iter().flat_map(|text| &text.prompts) {
            top.row(["prompt", prompt]);
        }
        let head = serde_json::to_value(asset.head)?;
        let calibration = serde_json::to_value(asset.calibration)?;
        let own = [&head, &calibration].into_iter().filter_map(Value::as_object).flatten();
        for (name, value) in own {
            top.row([name.as_str(), &plain(value)]);
        }
        for (name, value) in &asset.metrics {
            top.row([name, &value.to_string()]);
        }
        for (name, text) in &asset.provenance {
            top.row([name, text]);
        }

        let mut sections = Table::new(&[1]);
        sections.row(["section", "bytes", "crc32", "contents"]);
        for section in &asset.sections {
            sections.row([&*section.tag, &section.bytes.to_string(), &section.crc32, section.what]);
        }
        let mut text = format!("{}\n{}", top.text(), sections.text());

        if classes {
            let mut table = Table::new(&[0]);
            table.row(["shots", "text", "class"]);
            for class in &asset.classes {
                let has_text = if class.text { "yes" } else { "" };
                table.row([&*class.shots.to_string(), has_text, &class.label]);
            }
            text = format!("{text}\n{}", table.text());
        }
        if let Some(shots) = &self.shots {
            let mut table = Table::new(&[0]);
            table.row(["key", "class", "from"]);
            for shot in shots {
                let name = shot.name.as_deref().unwrap_or_default();
                table.row([&*shot.key.to_string(), &shot.label, name]);
            }
            text = format!("{text}\n{}", table.text());
        }
        Ok(text)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
