//! A depthwise convolution: weights of 16 bits.

use super::Plan;
use super::conv::{pad, set_window};
use crate::encoder::import::covariance::tap_means;
use crate::encoder::import::ir::Conv;
use crate::encoder::import::layer::{Data, NewLayer, pack_depthwise};
use crate::encoder::import::rounding::to_i16;

pub(super) fn fill(plan: &Plan, i: usize, conv: &Conv, layer: &mut NewLayer, inputs: &[Data]) {
    let node = &plan.net.nodes[i];
    set_window(conv, layer);
    let (window, taps) = (layer.window(), conv.depth());
    let channels = window.channels_in;
    let pad = pad(plan, node.inputs[0]);
    let from = &plan.steps[node.inputs[0]];
    let scaled = conv.weights.iter().enumerate();
    let scaled = scaled.map(|(at, w)| f64::from(*w) * from.step[at / taps % channels]);
    let rounded = to_i16(&scaled.collect::<Vec<f64>>(), taps);
    let packed: Vec<i16> = rounded
        .codes
        .chunks(channels * taps)
        .flat_map(|codes| pack_depthwise(codes, taps))
        .collect();
    layer.record.weights = layer.parts.add(&packed);
    layer.record.pad = layer.parts.add(&pad);
    let means = tap_means(&window, &pad, inputs);
    let bias = rounded.codes.chunks_exact(taps).enumerate().map(|(n, row)| {
        let means = &means[n % channels * taps..][..taps];
        let sum: f64 = row.iter().zip(means).map(|(q, mean)| f64::from(*q) * mean).sum();
        plan.observed[i].mean[n] - rounded.unit[n] * sum
    });
    let bias: Vec<f64> = bias.collect();
    plan.finish(i, layer, &rounded.unit, &bias);
}
