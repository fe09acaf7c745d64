//! ONNX → int8 encoder: the host's side, which a device does without.
//!
//! The way of a network: `onnx` lets tract read and simplify it and lowers it to a small graph
//! (`ir`); the passes in `rewrite` fold everything into convolutions; `calibrate` runs it in
//! float over photographs; `steps` chooses what the codes of every value stand for; `quantize`
//! then makes layer after layer int8, looking at the codes that the layers before it really give;
//! `write` lays them out as an asset's sections.
//!
//! The same network, photographs and options give the same bytes on every processor and with any
//! number of threads: float sums have one order and no fused multiply-add, everything between them
//! is in integers.

mod calibrate;
mod covariance;
mod elements;
mod error;
#[cfg(test)]
mod families;
mod float;
mod ir;
mod layer;
mod onnx;
mod projection;
mod quantize;
mod report;
mod rewrite;
mod rounding;
mod steps;
#[cfg(test)]
mod tests;
mod write;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use error::ImportError;
pub use onnx::{MAX_CONTEXT, TextNetwork};
pub use projection::{ProjectionFile, vocabulary};
pub use report::{LayerReport, Report};

use self::float::FloatNet;
use self::ir::Net;
use self::layer::{Data, NewLayer};
use self::quantize::Plan;
use crate::asset::{Builder, EncoderId, Preprocess, Tag};
use crate::encoder::EncoderError;
use crate::kernels;

/// Least mean cosine to the float network that is accepted unless something else is asked for.
pub const MIN_COSINE: f64 = 0.99;
/// Least cosine between the ONNX file and what the passes made of it.
const SAME_NETWORK: f64 = 0.9999;
/// Calibration pictures on which the layers are compared.
const COMPARED: usize = 16;

/// What an import needs beside the network and the pictures.
#[derive(Clone, Debug)]
pub struct Options {
    /// Input size, resize mode, mean and deviation that the network was trained with.
    pub preprocess: Preprocess,
    /// The map into the space of the text, if there is one.
    pub projection: Option<ProjectionFile>,
    /// Section [`Tag::VOCABULARY`] as [`vocabulary`] makes it.
    pub vocabulary: Option<Vec<u8>>,
    /// Name of the network's output that is the feature, where it has several.
    pub output: Option<String>,
    /// Mean cosine to the float network below which the import is refused.
    pub min_cosine: f64,
    /// Keeps the layers that lose most in float until this mean cosine is reached.
    pub mixed: Option<f64>,
}

/// How far a long import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for people.
    pub stage: &'static str,
    /// Steps of it that are done.
    pub done: usize,
    /// Steps of it in all.
    pub total: usize,
}

/// A new encoder.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The sections of its file.
    pub sections: Vec<(Tag, Vec<u8>)>,
    /// How near it is to the float network.
    pub report: Report,
}

impl Imported {
    /// The file of the encoder alone, to be written or added to.
    #[must_use]
    pub fn builder(&self) -> Builder<'_> {
        let id = EncoderId::of(|wanted| {
            let section = self.sections.iter().find(|(tag, _)| *tag == wanted);
            section.map(|(_, bytes)| bytes.as_slice())
        });
        let builder = Builder::new(id.unwrap_or(EncoderId([0; 32])));
        self.sections.iter().fold(builder, |builder, (tag, bytes)| builder.section(*tag, bytes))
    }
}

/// Imports the ONNX network in `onnx`. `pictures` are photographs like those that the camera will
/// see, preprocessed, `[count][size][size][3]` u8 RGB; a hundred or more, of many kinds, are good.
/// `progress` is called from several threads.
///
/// # Errors
/// A network that cannot be an encoder (naming the node), pictures of another size, or an encoder
/// that is further from the float network than `options` allow.
pub fn import(
    onnx: &[u8],
    pictures: &[u8],
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Imported, ImportError> {
    let Preprocess { size, mean, std, .. } = options.preprocess;
    let size = size as usize;
    let bytes = size * size * 3;
    let count = pictures.len() / bytes.max(1);
    if count == 0 || pictures.len() != count * bytes {
        return Err(ImportError::Pictures { size, found: pictures.len() });
    }
    progress(Progress { stage: "reading the network", done: 0, total: 1 });
    let model = onnx::read(onnx, size, options.output.as_deref())?;
    let mut net = onnx::lower(&model, size)?;
    rewrite::run(&mut net, mean, std)?;
    if let (Some(projection), Some(last)) = (&options.projection, net.nodes.last()) {
        let (trunk, found) = (projection.trunk, last.shape[2]);
        if trunk != found {
            return Err(ImportError::Projection(format!(
                "it takes {trunk} values but the network gives {found}"
            )));
        }
    }
    let elements = elements::choose(&mut net)?;
    let float = FloatNet::new(&net, mean);
    report::check_rewritten(&model, &float, &pictures[..bytes], options.preprocess)?;

    let stage = "running the float network";
    let done = AtomicUsize::new(0);
    let observed = calibrate::observe(&float, pictures, bytes, &|| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(Progress { stage, done, total: count });
    });
    let steps = steps::choose(&net, &elements, &observed);
    let mut in_float = vec![false; net.nodes.len()];
    let mut more = 1;
    loop {
        let plan = Plan {
            net: &net,
            elements: &elements,
            steps: &steps,
            observed: &observed,
            mean,
            float: &in_float,
        };
        let (layers, values) = quantize_all(&plan, pictures, bytes, progress)?;
        let (table, weights) = write::sections(size, &layers);
        let mut sections = vec![
            (Tag::PREPROCESS, options.preprocess.encode()),
            (Tag::LAYERS, table),
            (Tag::WEIGHTS, weights),
        ];
        sections.extend(options.projection.clone().map(|file| (Tag::PROJECTION, file.section)));
        sections.extend(options.vocabulary.clone().map(|section| (Tag::VOCABULARY, section)));
        let imported = Imported { sections, report: Report::default() };
        let report = report::compare(&imported, &float, &net, &steps, &values, progress)?;
        let imported = Imported { report, ..imported };
        let cosine = imported.report.cosine;
        let wanted = options.mixed.unwrap_or(options.min_cosine).max(options.min_cosine);
        if cosine >= wanted {
            return Ok(imported);
        }
        // Twice as many each time: an import of a large network takes minutes.
        let worst = worst(&net, &imported.report, &in_float, more);
        if options.mixed.is_none() || worst.is_empty() {
            return Err(ImportError::Cosine { cosine, wanted });
        }
        worst.into_iter().for_each(|node| in_float[node] = true);
        more *= 2;
    }
}

/// Up to `count` nodes that could stay in float and do not yet: those that lose most likeness between
/// what they read and what they give.
fn worst(net: &Net, report: &Report, in_float: &[bool], count: usize) -> Vec<usize> {
    let likeness = |value: usize| value.checked_sub(1).map_or(1.0, |i| report.layers[i].cosine);
    let can = (0..net.nodes.len())
        .filter(|i| !in_float[*i] && quantize::can_stay_in_float(&net.nodes[*i].op));
    let mut lost: Vec<(f64, usize)> = can
        .map(|i| {
            let before = net.nodes[i].inputs.iter().map(|value| likeness(*value));
            (before.fold(1.0, f64::min) - likeness(i + 1), i)
        })
        .collect();
    lost.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    lost.into_iter().take(count).map(|(_, node)| node).collect()
}

/// Layer after layer, each on what the layers before it give; and the values after each.
fn quantize_all(
    plan: &Plan,
    pictures: &[u8],
    bytes: usize,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(Vec<NewLayer>, Vec<Vec<Data>>), ImportError> {
    let nodes = &plan.net.nodes;
    let (total, count) = (nodes.len(), pictures.len() / bytes);
    let picture = |pixels: &[u8]| Data::Codes(pixels.to_vec());
    let mut values: Vec<Vec<Data>> = vec![pictures.chunks_exact(bytes).map(picture).collect()];
    let mut layers: Vec<NewLayer> = Vec::with_capacity(total);
    for i in 0..total {
        progress(Progress { stage: "quantizing layers", done: i, total });
        let inputs = &nodes[i].inputs;
        let layer = plan.layer(i, inputs.first().map_or(&[], |value| &values[*value]));
        values.push(run(&layer, inputs, &values, count)?);
        layers.push(layer);
        // What nobody reads any more is kept only where the layers are compared.
        for (value, images) in values.iter_mut().enumerate() {
            if !nodes[i + 1..].iter().any(|node| node.inputs.contains(&value)) {
                images.truncate(COMPARED);
            }
        }
    }
    Ok((layers, values))
}

/// What a layer gives for each of `count` pictures.
fn run(
    layer: &NewLayer,
    inputs: &[usize],
    values: &[Vec<Data>],
    count: usize,
) -> Result<Vec<Data>, ImportError> {
    let ready = layer.ready().map_err(|error| ImportError::Encoder(EncoderError::Graph(error)))?;
    let each = (0..count).into_par_iter().map(|picture| {
        let inputs: Vec<&Data> = inputs.iter().map(|value| &values[*value][picture]).collect();
        // Pictures are shared among the threads, a layer is not.
        ready.run(&ready.engine(kernels::best())?, &inputs)
    });
    each.collect::<Result<_, _>>().map_err(|error| ImportError::Encoder(EncoderError::Graph(error)))
}
