//! A depthwise convolution. Its weights have 8 bits like all others: some processors then take four taps at
//! once instead of two.

use super::Plan;
use super::conv::{pad, set_window};
use crate::encoder::import::covariance::{tap_covariances, tap_means};
use crate::encoder::import::ir::Conv;
use crate::encoder::import::layer::{Data, NewLayer, pack_depthwise};
use crate::encoder::import::rounding::with_covariances;

pub(super) fn fill(plan: &Plan, i: usize, conv: &Conv, layer: &mut NewLayer, inputs: &[Data]) {
    let node = &plan.net.nodes[i];
    set_window(conv, layer);
    let (window, taps) = (layer.window(), conv.depth());
    let channels = window.channels_in;
    let pad = pad(plan, node.inputs[0]);
    let from = &plan.steps[node.inputs[0]];
    let scaled = conv.weights.iter().enumerate();
    let scaled = scaled.map(|(at, w)| f64::from(*w) * from.step[at / taps % channels]);
    let covariances = tap_covariances(&window, &pad, inputs);
    let rounded = with_covariances(&scaled.collect::<Vec<f64>>(), &covariances, taps);
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
