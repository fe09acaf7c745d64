//! `tipcam embed`: features of pictures, for other programs.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::classify::inputs;
use super::progress::Progress;
use super::shared::{Format, Shared};
use super::{Outcome, complain};
use crate::asset;
use crate::frame::{Decoder, Frame};
use crate::pipeline::Embedder;
use crate::tensors::{Array, write_npy, write_safetensors};

/// Write the features of photographs to a file
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam embed photos/ -o features.safetensors
  tipcam embed photos/ -o features.npy --asset encoder.tipcam

One row a photograph, unit norm, 32-bit floats. safetensors: `trunk` [photographs, dim], `projected`
(the feature in the text's space) where the encoder has a projection, and the photographs' paths as a
JSON list `paths` in the metadata. npy: `trunk` alone. A photograph that cannot be read has no row.")]
pub(super) struct Embed {
    /// Photographs, folders, patterns, or - for one photograph on standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,

    /// The file to write: *.safetensors or *.npy
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy)]
enum Kind {
    Npy,
    Safetensors,
}

impl Embed {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let kind = kind(&self.output)?;
        let file = shared.asset_file()?;
        shared.asset(&file)?;
        let mut embedder = Embedder::new(&file, shared.kernels()?, shared.threads())
            .with_context(|| file.name().to_owned())?;
        let mut outcome = Outcome::Done;
        let mut rows = Rows::default();
        let (mut decoder, mut frame) = (Decoder::default(), Frame::new());
        let all: Vec<_> = inputs(&self.paths).collect();
        let progress = Progress::new("encoding", all.len());
        for input in all {
            let read = input.and_then(|input| {
                input.read(&mut decoder, &mut frame)?;
                Ok(input)
            });
            progress.step();
            match read {
                Ok(input) => {
                    let (embedding, _) = embedder.embed(&frame).with_context(|| input.name())?;
                    rows.trunk.extend_from_slice(&embedding.trunk);
                    rows.projected.extend_from_slice(&embedding.projected);
                    rows.paths.push(input.name());
                }
                Err(error) => {
                    progress.suspend(|| complain(&error.into()));
                    outcome = Outcome::Partly;
                }
            }
        }
        drop(progress);
        if rows.paths.is_empty() {
            bail!("{}: not written, there is no photograph to encode", self.output.display());
        }
        let trunk = [rows.paths.len(), embedder.encoder().trunk_dim()];
        let projected = [rows.paths.len(), embedder.encoder().projected_dim()];
        asset::write_atomic(&self.output, |out| rows.write(kind, trunk, projected, out))?;
        self.say(shared, &rows, trunk, projected)?;
        Ok(outcome)
    }

    fn say(
        &self,
        shared: &Shared,
        rows: &Rows,
        trunk: [usize; 2],
        projected: [usize; 2],
    ) -> Result<()> {
        let (file, count) = (self.output.to_string_lossy(), rows.paths.len());
        let line = match shared.format_or(Format::Table) {
            Format::Json => {
                serde_json::json!({"v": crate::report::SCHEMA, "file": file, "rows": count,
                                   "trunk": trunk[1], "projected": projected[1]})
                .to_string()
            }
            Format::Table => format!("{file}: {count} photographs, {} values each", trunk[1]),
        };
        Ok(super::print(&format!("{line}\n"))?)
    }
}

fn kind(path: &Path) -> Result<Kind> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("npy") => Ok(Kind::Npy),
        Some("safetensors") => Ok(Kind::Safetensors),
        _ => bail!(
            "{}: the output's name must end in .safetensors or .npy, which says how to write it",
            path.display()
        ),
    }
}

/// Features one after another.
#[derive(Default)]
struct Rows {
    trunk: Vec<f32>,
    projected: Vec<f32>,
    paths: Vec<String>,
}

impl Rows {
    fn write(
        &self,
        kind: Kind,
        trunk: [usize; 2],
        projected: [usize; 2],
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        let array = |shape: [usize; 2], values: &[f32]| {
            Array::of_f32(shape.to_vec(), values.iter().copied())
        };
        let trunk = array(trunk, &self.trunk);
        match kind {
            Kind::Npy => write_npy(&trunk, out),
            Kind::Safetensors => {
                let mut arrays = vec![("trunk", trunk)];
                if projected[1] > 0 {
                    arrays.push(("projected", array(projected, &self.projected)));
                }
                let paths = serde_json::to_string(&self.paths)?;
                write_safetensors(&arrays, &[("paths", paths)], out)
            }
        }
    }
}
