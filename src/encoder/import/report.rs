//! How near the int8 encoder is to the float network, layer by layer and at its end.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use tract_onnx::prelude::*;

use super::float::FloatNet;
use super::ir::Net;
use super::layer::Data;
use super::onnx::Onnx;
use super::steps::Steps;
use super::{COMPARED, ImportError, Imported, Progress, SAME_NETWORK};
use crate::asset::{AssetFile, Preprocess};
use crate::encoder::{Embedding, Encoder, EncoderError, LayerInfo};
use crate::kernels;

/// How near an encoder is to the float network that it was made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The layers in the order in which they are computed.
    pub layers: Vec<LayerReport>,
    /// Mean cosine between the int8 and the float trunk over the pictures that were compared.
    pub cosine: f64,
    /// The least of them.
    pub least: f64,
    /// Pictures that were compared.
    pub pictures: usize,
}

/// One layer of a [`Report`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// Name, kind, shape and work.
    pub info: LayerInfo,
    /// Mean cosine of the layer's result to the float network's.
    pub cosine: f64,
}

/// Runs the ONNX network in tract and the rewritten one here, on one picture.
pub(super) fn check_rewritten(
    model: &Onnx,
    float: &FloatNet,
    picture: &[u8],
    preprocess: Preprocess,
) -> Result<(), ImportError> {
    let size = preprocess.size as usize;
    let run = || -> TractResult<Vec<f32>> {
        let mut planes = vec![0.0f32; picture.len()];
        for (at, value) in picture.iter().enumerate() {
            let (pixel, c) = (at / 3, at % 3);
            planes[c * size * size + pixel] =
                (f32::from(*value) - preprocess.mean[c]) / preprocess.std[c];
        }
        model.run(&planes, size)
    };
    let theirs = run().map_err(|error| ImportError::Onnx { size, error })?;
    let cosine = cosine(&theirs, &float.run(picture, |_| ()));
    if cosine < SAME_NETWORK { Err(ImportError::Rewritten { cosine }) } else { Ok(()) }
}

/// Runs the finished encoder and the float network on the first pictures. `values` has their codes
/// after every layer.
pub(super) fn compare(
    imported: &Imported,
    float: &FloatNet,
    net: &Net,
    steps: &[Steps],
    values: &[Vec<Data>],
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, ImportError> {
    let bytes = imported.builder().to_bytes()?;
    let file = AssetFile::try_from(bytes)?;
    let encoder = Encoder::new(file.clone(), kernels::best(), 1)?;
    let infos = encoder.layers().to_vec();
    let pictures = &values[0][..values[0].len().min(COMPARED)];
    let (done, total) = (AtomicUsize::new(0), pictures.len());
    let each = pictures.par_iter().enumerate().map(|(picture, pixels)| {
        let mut cosines = Vec::with_capacity(net.nodes.len());
        let trunk = float.run(pixels.codes(), |computed| {
            let data = &values[computed.layer + 1][picture];
            cosines.push(cosine(&reals(data, &steps[computed.layer + 1]), computed.result));
        });
        let mut encoder = Encoder::new(file.clone(), kernels::best(), 1)?;
        let mut embedding = Embedding::default();
        encoder.encode(pixels.codes(), &mut embedding)?;
        let last = cosine(&embedding.trunk, &trunk);
        if let Some(cosine) = cosines.last_mut() {
            *cosine = last;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(Progress { stage: "comparing with the float network", done, total });
        Ok(cosines)
    });
    let each: Vec<Vec<f64>> = each.collect::<Result<_, EncoderError>>()?;
    let mean = |layer: usize| each.iter().map(|c| c[layer]).sum::<f64>() / each.len() as f64;
    let last = infos.len() - 1;
    Ok(Report {
        cosine: mean(last),
        least: each.iter().map(|c| c[last]).fold(f64::INFINITY, f64::min),
        pictures: each.len(),
        layers: infos
            .into_iter()
            .enumerate()
            .map(|(layer, info)| LayerReport { info, cosine: mean(layer) })
            .collect(),
    })
}

/// What a value stands for.
fn reals(data: &Data, steps: &Steps) -> Vec<f32> {
    let codes = match data {
        Data::Real(values) => return values.clone(),
        Data::Codes(codes) => codes,
    };
    let channels = steps.step.len();
    let real = |(at, code): (usize, &u8)| {
        let c = at % channels;
        (steps.step[c] * (f64::from(*code) - f64::from(steps.zero[c]))) as f32
    };
    codes.iter().enumerate().map(real).collect()
}

/// Cosine between two vectors; 1 if both are zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let norms = dot(a, a) * dot(b, b);
    match (norms > 0.0, a.iter().chain(b).all(|x| *x == 0.0)) {
        (true, _) => dot(a, b) / norms.sqrt(),
        (false, both_zero) => f64::from(u8::from(both_zero)),
    }
}
