//! `tipcam bench --worker`: one engine among others in somebody else's benchmark.
//!
//! One line with a JSON object when the encoder is ready, then a line for each line that comes in.

use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::asset::{AssetFile, Preprocess};
use crate::encoder::{Embedding, Encoder};
use crate::kernels::Kernels;

pub(super) fn run(
    file: &AssetFile,
    kernels: &'static Kernels,
    threads: usize,
    input: &Path,
) -> Result<()> {
    let before = resident_kb();
    let begun = Instant::now();
    let mut encoder =
        Encoder::new(file.clone(), kernels, threads).with_context(|| file.name().to_owned())?;
    let mut pixels = read(input, encoder.preprocess())?;
    let mut embedding = Embedding::default();
    encoder.encode(&pixels, &mut embedding)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    answer(&json!({ "load_ms": load_ms, "rss0_kb": before, "note": kernels.name() }))?;
    for line in stdin().lock().lines() {
        let line = line.context("standard input")?;
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match word {
            "run" => {
                let count: usize = rest.parse().with_context(|| format!("run {rest}"))?;
                let mut times = Vec::with_capacity(count);
                for _ in 0..count {
                    let begun = Instant::now();
                    encoder.encode(&pixels, &mut embedding)?;
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
                answer(&json!(times))?;
            }
            "in" => {
                pixels = read(Path::new(rest), encoder.preprocess())?;
                answer_ok()?;
            }
            "out" => {
                let bytes: Vec<u8> = embedding.trunk.iter().flat_map(|x| x.to_le_bytes()).collect();
                std::fs::write(rest, bytes).with_context(|| rest.to_owned())?;
                answer_ok()?;
            }
            "quit" => break,
            "" => (),
            other => bail!("{other} is not one of run, in, out, quit"),
        }
    }
    Ok(())
}

fn answer(value: &serde_json::Value) -> Result<()> {
    Ok(crate::cli::print(&format!("{value}\n"))?)
}

fn answer_ok() -> Result<()> {
    Ok(crate::cli::print("ok\n")?)
}

/// Floats as the network sees them back to the pixels that they were.
fn read(path: &Path, preprocess: Preprocess) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let side = preprocess.size as usize;
    let wanted = side * side * 3 * 4;
    ensure!(
        bytes.len() == wanted,
        "{}: {} bytes, an input of [3, {side}, {side}] 32-bit floats has {wanted}",
        path.display(),
        bytes.len()
    );
    let plane = side * side;
    let mut pixels = vec![0; plane * 3];
    for (at, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
        let (c, position) = (at / plane, at % plane);
        let value = f32::from_le_bytes(*four) * preprocess.std[c] + preprocess.mean[c];
        pixels[position * 3 + c] = value.round().clamp(0.0, 255.0) as u8;
    }
    Ok(pixels)
}

/// Memory that the process has now, where the system tells.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
