//! From a float layer to an int8 layer, given the codes that really come into it.

use super::calibrate::Observed;
use super::covariance::{covariance, means, tap_means};
use super::ir::{Net, Op};
use super::layer::{Int8Layer, Weights, pack_dense, pack_depthwise};
use super::rounding::{to_i16, with_covariance};
use super::steps::Steps;
use crate::asset::encoder::{LayerKind, LayerRecord, NO_VALUE, Part, Shape};
use crate::kernels::LANES;

const NO_PART: Part = Part { offset: 0, len: 0 };

/// Makes layer `i` of a network that is nothing but convolutions. `inputs` are the codes of the
/// value that it reads, one image for each calibration picture; `mean` is the preprocessing's.
pub(super) fn layer(
    net: &Net,
    i: usize,
    steps: &[Steps],
    observed: &Observed,
    inputs: &[Vec<u8>],
    mean: [f32; 3],
) -> Option<Int8Layer> {
    let node = &net.nodes[i];
    let Op::Conv(conv) = &node.op else { return None };
    let (from, to) = (&steps[node.inputs[0]], &steps[i + 1]);
    let kind = match (conv.depthwise.is_some(), conv.pooled) {
        (true, _) => LayerKind::Depthwise,
        (false, true) => LayerKind::PooledConv,
        (false, false) => LayerKind::Conv,
    };
    let pad: Vec<u8> = match node.inputs[0] {
        0 => mean.iter().map(|mean| mean.round() as u8).collect(),
        _ => from.zero.clone(),
    };
    let mut layer = Int8Layer {
        name: node.name.clone(),
        kind,
        record: LayerRecord {
            kind: kind as u32,
            input: node.inputs[0] as u32,
            residual: node.inputs.get(1).map_or(NO_VALUE, |value| *value as u32),
            residual_scale: 0.0,
            shape_in: shape(net.shape(node.inputs[0])),
            shape_out: shape(node.shape),
            kernel: conv.kernel as u32,
            stride: conv.stride as u32,
            pad_top: conv.pad_top as u32,
            pad_left: conv.pad_left as u32,
            lo: 0.0,
            hi: 255.0,
            weights: NO_PART,
            scale: NO_PART,
            bias: NO_PART,
            pad: NO_PART,
            name_len: node.name.len() as u32,
            reserved: [0; 7],
        },
        weights: Weights::Dense(Vec::new()),
        scale: Vec::new(),
        bias: Vec::new(),
        pad: Vec::new(),
    };
    let g = layer.geometry();

    // Weights per code of the input.
    let depth = conv.depth();
    let channel =
        |n: usize, k: usize| if conv.depthwise.is_some() { n } else { k % from.step.len() };
    let scaled: Vec<f64> = (0..conv.weights.len())
        .map(|at| f64::from(conv.weights[at]) * from.step[channel(at / depth, at % depth)])
        .collect();
    let (codes, unit, means) = if conv.depthwise.is_some() {
        let rounded = to_i16(&scaled, depth);
        layer.weights = Weights::Depthwise(pack_depthwise(&rounded.codes, depth));
        let codes: Vec<f64> = rounded.codes.iter().map(|q| f64::from(*q)).collect();
        (codes, rounded.unit, tap_means(&g, &pad, inputs))
    } else {
        let full = covariance(&g, &pad, inputs);
        let used = (0..depth).flat_map(|k| &full[k * g.columns..][..depth]).copied();
        let rounded = with_covariance(&scaled, &used.collect::<Vec<f64>>(), depth);
        layer.weights = Weights::Dense(pack_dense(&rounded.codes, depth, g.columns));
        let codes: Vec<f64> = rounded.codes.iter().map(|q| f64::from(*q)).collect();
        (codes, rounded.unit, means(&g, &pad, inputs))
    };

    // What the layer adds so that its mean is the float layer's: the errors of the weights and of
    // the codes before it take no part in it.
    let channels = node.shape[2];
    for n in 0..channels {
        let means = if conv.depthwise.is_some() { &means[n * depth..] } else { &means[..] };
        let row = &codes[n * depth..][..depth];
        let sum: f64 = row.iter().zip(means).map(|(q, mean)| q * mean).sum();
        let bias = observed.mean[n] - unit[n] * sum;
        let (mut step, mut zero) = (to.step[n], f64::from(to.zero[n]));
        if conv.pooled {
            (step, zero) = (1.0, 0.0);
        }
        let mut bias = bias / step + zero;
        if let Some(added) = node.inputs.get(1) {
            // The same for every channel: both sides share a profile.
            let ratio = steps[*added].step[n] / step;
            layer.record.residual_scale = ratio as f32;
            bias -= ratio * f64::from(steps[*added].zero[n]);
        }
        layer.scale.push((unit[n] / step) as f32);
        layer.bias.push(bias as f32);
    }
    for values in [&mut layer.scale, &mut layer.bias] {
        values.resize(channels.next_multiple_of(LANES), 0.0);
    }
    if conv.pooled {
        let finite = |x: f32| x.clamp(f32::MIN, f32::MAX);
        (layer.record.lo, layer.record.hi) = (finite(conv.lo), finite(conv.hi));
    }
    if !g.pointwise {
        layer.pad = pad;
    }
    Some(layer)
}

fn shape([height, width, channels]: [usize; 3]) -> Shape {
    Shape { height: height as u32, width: width as u32, channels: channels as u32 }
}
