//! The stages of a picture's way, each measured once in every round.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::clock::{Times, peak};
use crate::asset::AssetFile;
use crate::asset::encoder::{Element, LayerKind};
use crate::encoder::{Embedding, Encoder, LayerInfo};
use crate::frame::{DEMO_PHOTOGRAPH, Decoder, Frame, Preprocessor};
use crate::head::{Buffers, Head, Temperature, probabilities};
use crate::kernels::Kernels;

pub(super) struct Options<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) threads: usize,
    pub(super) rounds: u32,
    pub(super) photo: Option<&'a Path>,
    pub(super) encoder_only: bool,
    pub(super) layers: bool,
}

/// One stage, or a part of the stage before it.
#[derive(Serialize)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) part: bool,
    pub(super) median_ms: f64,
    pub(super) p90_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gmacs: Option<f64>,
}

impl Stage {
    fn new(name: &str, part: bool, times: Times, macs: u64) -> Self {
        let [median_ms, p90_ms] = times.figures();
        let rate = macs as f64 / (median_ms * 1e6);
        let gmacs = (macs > 0 && median_ms > 0.0).then_some(rate);
        Self { name: name.to_owned(), part, median_ms, p90_ms, gmacs }
    }
}

/// The peak in GMAC/s, and the stages in their order.
pub(super) fn measure(
    file: &AssetFile,
    options: &Options,
    step: &dyn Fn(),
) -> Result<(f64, Vec<Stage>)> {
    let (kernels, threads) = (options.kernels, options.threads);
    let photo = match options.photo {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => DEMO_PHOTOGRAPH.to_vec(),
    };
    let name = options.photo.map_or("demo".to_owned(), |path| path.display().to_string());
    let mut encoder = Encoder::new(file.clone(), kernels, threads)?;
    let asset = if options.encoder_only { None } else { Some(file.asset()?) };
    let head = asset.as_ref().map(|asset| Head::new(asset, kernels)).transpose()?;
    let temperature = asset.as_ref().map_or(Temperature::ONE, Temperature::of);
    let mut buffers = head.as_ref().map(Buffers::new);
    let mut preprocessor = Preprocessor::new(encoder.preprocess());
    let mut pixels = vec![0; preprocessor.output_len()];
    let (mut decoder, mut frame, mut embedding) =
        (Decoder::default(), Frame::new(), Embedding::default());
    let mut layer_times = vec![Duration::ZERO; encoder.layers().len()];

    let [mut decode, mut resize, mut encode, mut answer]: [Times; 4] =
        std::array::from_fn(|_| Times::default());
    let parts = parts(encoder.layers(), options.layers);
    let mut part_times = vec![Times::default(); parts.len()];
    for round in 0..=options.rounds {
        let begun = Instant::now();
        decoder.decode(&name, &photo, &mut frame)?;
        let decoded = begun.elapsed();
        preprocessor.run(&frame, &mut pixels);
        let resized = begun.elapsed();
        encoder.encode(&pixels, &mut embedding)?;
        let encoded = begun.elapsed();
        if let (Some(head), Some(buffers)) = (&head, &mut buffers) {
            let mut workspace = buffers.workspace();
            head.logits(&embedding.trunk, &embedding.projected, &mut workspace)?;
            let logits = &*workspace.logits;
            let mut out = vec![0.0; logits.len()];
            probabilities(logits, temperature, &mut out);
        }
        let answered = begun.elapsed();
        encoder.encode_timed(&pixels, &mut embedding, &mut layer_times)?;
        if round == 0 {
            // Everything is in its place after the first round.
            continue;
        }
        decode.add(decoded);
        resize.add(resized - decoded);
        encode.add(encoded - resized);
        answer.add(answered - encoded);
        for (part, times) in parts.iter().zip(&mut part_times) {
            times.add(part.layers.iter().map(|layer| layer_times[*layer]).sum());
        }
        step();
    }

    let macs = encoder.layers().iter().map(|layer| layer.macs).sum();
    let mut stages = Vec::new();
    if !options.encoder_only {
        stages.push(Stage::new("decode", false, decode, 0));
        stages.push(Stage::new("resize", false, resize, 0));
    }
    stages.push(Stage::new("encode", false, encode, macs));
    for (part, times) in parts.iter().zip(part_times) {
        stages.push(Stage::new(&part.name, true, times, part.macs));
    }
    if head.is_some() {
        stages.push(Stage::new("head", false, answer, 0));
    }
    Ok((peak(kernels, threads)?, stages))
}

/// Layers that are shown together.
struct Part {
    name: String,
    layers: Vec<usize>,
    macs: u64,
}

/// Every layer, or the kinds of layers in the order in which they first come.
fn parts(layers: &[LayerInfo], each: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut known: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (i, layer) in layers.iter().enumerate() {
        if each {
            let [h, w, c] = layer.shape;
            let name = format!("{} {} {h}x{w}x{c}", layer.name, kind(layer));
            parts.push(Part { name, layers: vec![i], macs: layer.macs });
            continue;
        }
        let at = *known.entry(kind(layer)).or_insert(parts.len());
        if at == parts.len() {
            parts.push(Part { name: kind(layer).to_owned(), layers: Vec::new(), macs: 0 });
        }
        parts[at].layers.push(i);
        parts[at].macs += layer.macs;
    }
    parts
}

/// A layer's kind as people tell them apart.
fn kind(layer: &LayerInfo) -> &'static str {
    match (layer.kind, layer.element, layer.kernel) {
        (LayerKind::Conv, Some(Element::Real), _) => "linear",
        (LayerKind::Conv, _, 1) => "pointwise",
        (kind, ..) => kind.name(),
    }
}
