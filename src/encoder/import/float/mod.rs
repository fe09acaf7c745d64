//! The float network on the importer's own graph: what the int8 network is measured against.
//!
//! Plain loops in one order, and activations as on the device, so that the figures that an import
//! rests on are the same on every processor and for any number of threads.

mod attention;
mod conv;
mod rows;

use std::borrow::Cow;

use self::conv::FloatConv;
use super::ir::{Net, Op, Pool, Tokens};
use crate::encoder::ops::{Windows, join, softmax};
use crate::kernels::{self, Activation};
use crate::math;

/// A network laid out for running.
pub(super) struct FloatNet<'a> {
    net: &'a Net,
    /// The convolutions, by node.
    convs: Vec<Option<FloatConv<'a>>>,
    /// The last node that reads each value.
    last_use: Vec<usize>,
    /// What lies outside of the picture: the preprocessing's mean.
    mean: [f32; 3],
}

/// What a node computed for one picture.
pub(super) struct Computed<'a> {
    /// Number of the node.
    pub(super) layer: usize,
    /// Of a convolution: sum over all positions of each channel's weighted sum and bias, before
    /// activation, residual and bounds. Empty for others.
    pub(super) sums: &'a [f64],
    /// Of a convolution: what it multiplies, `[positions][channels]`, normalized where it does that,
    /// before its factors. Empty for others.
    pub(super) input: &'a [f32],
    /// The result, channels last; of a pooled convolution before the mean.
    pub(super) result: &'a [f32],
}

impl<'a> FloatNet<'a> {
    pub(super) fn new(net: &'a Net, mean: [f32; 3]) -> Self {
        let convs = net.nodes.iter().map(|node| match &node.op {
            Op::Conv(conv) => Some(FloatConv::new(conv, net.shape(node.inputs[0]), node.shape)),
            _ => None,
        });
        let mut last_use = vec![0; net.nodes.len() + 1];
        for (i, node) in net.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|value| last_use[*value] = i);
        }
        last_use[net.output] = net.nodes.len();
        Self { net, convs: convs.collect(), last_use, mean }
    }

    /// Channels of a node's first input (one where it has none) and of its result.
    pub(super) fn channels(&self, layer: usize) -> (usize, usize) {
        let node = &self.net.nodes[layer];
        let inputs = node.inputs.first().map_or(1, |value| self.net.shape(*value)[2]);
        (inputs, node.shape[2])
    }

    /// Runs a picture, `[size][size][3]`, shows every node's result, and gives the trunk.
    pub(super) fn run(&self, picture: &[u8], mut visit: impl FnMut(Computed)) -> Vec<f32> {
        let mut values: Vec<Vec<f32>> = vec![picture.iter().map(|v| f32::from(*v)).collect()];
        for (i, node) in self.net.nodes.iter().enumerate() {
            let (mut sums, mut input) = (Vec::new(), Cow::Borrowed(&[][..]));
            let mut result = match &self.convs[i] {
                Some(conv) => {
                    input = conv.input(&values[node.inputs[0]]);
                    let zero = vec![0.0; conv.shape_in[2]];
                    let pad = if node.inputs[0] == 0 { &self.mean[..] } else { &zero };
                    let mut out = conv.linear(&input, pad);
                    sums = rows::sums(&out, node.shape[2]);
                    conv.finish(&mut out, node.inputs.get(1).map(|value| &values[*value][..]));
                    out
                }
                None => {
                    let inputs: Vec<(&[f32], usize)> = node
                        .inputs
                        .iter()
                        .map(|value| (&values[*value][..], self.net.shape(*value)[2]))
                        .collect();
                    let from = node.inputs.first().map_or(node.shape, |x| self.net.shape(*x));
                    other(&node.op, &inputs, from, node.shape)
                }
            };
            visit(Computed { layer: i, sums: &sums, input: &input, result: &result });
            drop(input);
            if matches!(&node.op, Op::Conv(conv) if conv.pooled) {
                result = rows::mean(&result, node.shape[2]);
            }
            values.push(result);
            for value in std::iter::once(&(i + 1)).chain(&node.inputs) {
                if self.last_use[*value] <= i {
                    values[*value] = Vec::new();
                }
            }
        }
        std::mem::take(&mut values[self.net.output])
    }
}

/// What a node that is no convolution gives for its inputs, each with its count of channels.
fn other(op: &Op, inputs: &[(&[f32], usize)], from: [usize; 3], shape: [usize; 3]) -> Vec<f32> {
    let (x, channels) = inputs.first().copied().unwrap_or((&[], 1));
    match op {
        Op::Norm { epsilon, gain, shift } => {
            let mut out = rows::normalized(x, channels, *epsilon);
            for row in out.chunks_exact_mut(channels) {
                let affine = gain.iter().zip(shift);
                row.iter_mut().zip(affine).for_each(|(x, (gain, shift))| *x = *x * gain + shift);
            }
            out
        }
        Op::Attention(op) => match inputs {
            [q, k, v] => attention::run(op, [*q, *k, *v]),
            _ => Vec::new(),
        },
        Op::Tokens(Tokens { prefix, mean, add }) => {
            let mut out = prefix.clone();
            if *mean {
                out = rows::mean(x, channels);
            }
            out.extend_from_slice(x);
            out.iter_mut().zip(add).for_each(|(x, add)| *x += add);
            out
        }
        Op::Rows { start, count } => x[start * channels..(start + count) * channels].to_vec(),
        Op::Constant(values) => values.clone(),
        Op::Mean => rows::mean(x, channels),
        Op::Scale { activation, lo, hi } => {
            let gate = inputs.get(1).map_or(&[][..], |(gate, _)| gate);
            let rows = x.chunks_exact(channels);
            let scaled = rows.flat_map(|row| row.iter().zip(gate).map(|(x, gate)| x * gate));
            scaled.map(|x| activate(*activation, x).clamp(*lo, *hi)).collect()
        }
        Op::MaxPool(Pool { kernel, stride, pad_top, pad_left }) => {
            let (kernel, stride, pad_top, pad_left) = (*kernel, *stride, *pad_top, *pad_left);
            let windows = Windows { from, width: shape[1], kernel, stride, pad_top, pad_left };
            let mut out = vec![0.0; shape.iter().product()];
            windows.greatest(x, f32::NEG_INFINITY, 0, &mut out);
            out
        }
        Op::Codes => x.to_vec(),
        Op::Strided(nest) => {
            let mut out = vec![0.0; shape.iter().product()];
            let second = inputs.get(1).map_or(x, |(values, _)| values);
            nest.run(kernels::best(), 0, [x, second], &mut out);
            out
        }
        Op::Join { runs } => {
            let mut out = vec![0.0; shape.iter().product()];
            let values: Vec<&[f32]> = inputs.iter().map(|(values, _)| *values).collect();
            join(*runs, &values, &mut out);
            out
        }
        Op::Softmax => {
            let mut out = vec![0.0; x.len()];
            let rows = x.chunks_exact(channels).zip(out.chunks_exact_mut(channels));
            rows.for_each(|(row, out)| softmax(row, out));
            out
        }
        // The passes have left no others.
        _ => Vec::new(),
    }
}

/// The functions that the device computes.
fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Linear => x,
        Activation::Gated(coefficients) => math::gated(x, coefficients),
        Activation::HardSwish => math::hard_swish(x),
        Activation::Sigmoid => math::sigmoid(x),
    }
}
