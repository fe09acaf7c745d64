//! `tipcam embed`: features of pictures, for other programs.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use ndarray::ArrayView2;
use ndarray_npy::WriteNpyExt;
use safetensors::tensor::{Dtype, TensorView};

use super::classify::inputs;
use super::progress::Progress;
use super::shared::{Format, Shared};
use super::{Outcome, complain};
use crate::asset;
use crate::frame::{Decoder, Frame};
use crate::pipeline::Embedder;

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
        asset::write_atomic(&self.output, |out| match kind {
            Kind::Npy => rows.write_npy(trunk, out),
            Kind::Safetensors => rows.write_safetensors(trunk, projected, out),
        })?;
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
    fn write_npy(&self, shape: [usize; 2], out: &mut impl io::Write) -> io::Result<()> {
        let array = ArrayView2::from_shape(shape, &self.trunk).map_err(io::Error::other)?;
        array.write_npy(out).map_err(|error| match error {
            ndarray_npy::WriteNpyError::Io(error) => error,
            error => io::Error::other(error),
        })
    }

    fn write_safetensors(
        &self,
        trunk: [usize; 2],
        projected: [usize; 2],
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        let bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let (trunk_bytes, projected_bytes) = (bytes(&self.trunk), bytes(&self.projected));
        let view = |shape: [usize; 2], bytes| {
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(io::Error::other)
        };
        let mut tensors = vec![("trunk", view(trunk, &trunk_bytes)?)];
        if projected[1] > 0 {
            tensors.push(("projected", view(projected, &projected_bytes)?));
        }
        // one entry only: the library writes several in an order that changes from run to run
        let paths = serde_json::to_string(&self.paths).map_err(io::Error::other)?;
        let metadata = HashMap::from([("paths".to_owned(), paths)]);
        let file = safetensors::serialize(tensors, Some(metadata)).map_err(io::Error::other)?;
        out.write_all(&file)
    }
}
