//! A convolution or linear layer whose weights stay in float.

use super::Plan;
use super::conv::{pad, set_window};
use crate::asset::encoder::Element;
use crate::encoder::import::covariance::means;
use crate::encoder::import::ir::{Conv, Op};
use crate::encoder::import::layer::{Data, NewLayer};

/// Whether a node can stay in float: a dense layer that does not end in a mean.
pub(in crate::encoder::import) fn can_stay(op: &Op) -> bool {
    matches!(op, Op::Conv(conv) if conv.depthwise.is_none() && !conv.pooled)
}

pub(super) fn fill(plan: &Plan, i: usize, conv: &Conv, layer: &mut NewLayer, inputs: &[Data]) {
    let (value, depth) = (plan.net.nodes[i].inputs[0], conv.depth());
    set_window(conv, layer);
    if let Some(epsilon) = conv.norm {
        (layer.record.norm, layer.record.epsilon) = (1, epsilon);
    }
    let units = vec![1.0; conv.bias.len()];
    if plan.elements[value] == Element::Real {
        layer.record.weights = layer.parts.add(&conv.weights);
        layer.record.factors = layer.parts.add(&conv.factors);
        let bias: Vec<f64> = conv.bias.iter().map(|bias| f64::from(*bias)).collect();
        return plan.finish(i, layer, &units, &bias);
    }
    // Codes are multiplied as they are: their steps belong to the weights.
    let step = &plan.steps[value].step;
    let weights = conv.weights.iter().enumerate();
    let weights = weights.map(|(at, w)| (f64::from(*w) * step[at % depth % step.len()]) as f32);
    let weights: Vec<f32> = weights.collect();
    layer.record.weights = layer.parts.add(&weights);
    let (window, pad) = (layer.window(), pad(plan, value));
    if !window.pointwise {
        layer.record.pad = layer.parts.add(&pad);
    }
    let means = means(&window, &pad, inputs);
    let bias = weights.chunks_exact(depth).enumerate().map(|(n, row)| {
        let sum: f64 = row.iter().zip(&means).map(|(w, mean)| f64::from(*w) * mean).sum();
        plan.observed[i].mean[n] - sum
    });
    let bias: Vec<f64> = bias.collect();
    plan.finish(i, layer, &units, &bias);
}
