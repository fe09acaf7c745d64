//! A dense convolution over codes: fixed steps on both sides.

use super::Plan;
use crate::encoder::import::covariance::{covariance, means};
use crate::encoder::import::ir::Conv;
use crate::encoder::import::layer::{Data, NewLayer, pack_dense};
use crate::encoder::import::rounding::{nearest, with_covariance};

/// Inputs of an output channel up to which the errors of rounding are spread by the inputs' covariance:
/// it takes the square of this many numbers, some times over.
const MOST_COVARIANCE: usize = 8192;

pub(super) fn fill(plan: &Plan, i: usize, conv: &Conv, layer: &mut NewLayer, inputs: &[Data]) {
    let node = &plan.net.nodes[i];
    set_window(conv, layer);
    let (window, depth) = (layer.window(), conv.depth());
    let pad = pad(plan, node.inputs[0]);
    let from = &plan.steps[node.inputs[0]];
    // Weights per code of the input.
    let scaled = conv.weights.iter().enumerate();
    let scaled = scaled.map(|(at, w)| f64::from(*w) * from.step[at % depth % from.step.len()]);
    let scaled: Vec<f64> = scaled.collect();
    let rounded = if depth <= MOST_COVARIANCE {
        let full = covariance(&window, &pad, inputs);
        let used = (0..depth).flat_map(|k| &full[k * window.columns..][..depth]).copied();
        with_covariance(&scaled, &used.collect::<Vec<f64>>(), depth)
    } else {
        let square = &plan.observed[i].input.square;
        let codes = |k: usize| square[k % square.len()] / from.step[k % from.step.len()].powi(2);
        nearest(&scaled, &(0..depth).map(codes).collect::<Vec<f64>>(), depth)
    };
    let (packed, sums) = pack_dense(&rounded.codes, depth, window.columns);
    layer.record.weights = layer.parts.add(&packed);
    layer.record.sums = layer.parts.add(&sums);
    if !window.pointwise {
        layer.record.pad = layer.parts.add(&pad);
    }

    // What the layer adds so that its mean is the float layer's: the errors of the weights and of
    // the codes before it take no part in it.
    let means = means(&window, &pad, inputs);
    let bias = rounded.codes.chunks_exact(depth).enumerate().map(|(n, row)| {
        let sum: f64 = row.iter().zip(&means).map(|(q, mean)| f64::from(*q) * mean).sum();
        plan.observed[i].mean[n] - rounded.unit[n] * sum
    });
    let bias: Vec<f64> = bias.collect();
    layer.record.mean = u32::from(conv.pooled);
    plan.finish(i, layer, &rounded.unit, &bias);
}

/// The kernel's place in the record.
pub(super) fn set_window(conv: &Conv, layer: &mut NewLayer) {
    layer.record.kernel = conv.kernel as u32;
    layer.record.stride = conv.stride as u32;
    layer.record.pad_top = conv.pad_top as u32;
    layer.record.pad_left = conv.pad_left as u32;
}

/// What lies outside of the image that is read.
pub(super) fn pad(plan: &Plan, value: usize) -> Vec<u8> {
    match value {
        0 => plan.mean.iter().map(|mean| mean.round() as u8).collect(),
        _ => plan.steps[value].zero.clone(),
    }
}
