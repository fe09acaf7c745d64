//! How each value of the graph becomes u8 codes: a step and a zero point for every channel.
//!
//! Where bounds end the range (ReLU6), all channels share one step: a photograph with more in some
//! channel than the calibration's is then not cut off, which would cost far more than fine steps
//! gain. Without bounds (the narrow ends of the blocks) channels get steps of their own, at no cost
//! when the encoder runs: the step of an output channel is part of its requantization, and the step
//! of an input channel is folded into the weights that read it. Only a residual needs the steps of
//! both sides in one ratio for all channels, so values that are added to each other share a profile.

use super::calibrate::Observed;
use super::ir::{Net, Op};

/// Least step of a channel, as a share of the widest channel's: room for what calibration did not
/// see.
const LEAST_SHARE: f64 = 0.3;

use super::elements::added;
use crate::asset::encoder::Element;
use crate::kernels::Activation;

/// What codes stand for: `real = step * (code - zero)`, one of each for every channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    pub(super) step: Vec<f64>,
    pub(super) zero: Vec<u8>,
}

/// Steps of every value; the picture's are 1, its values are used as they are; real values have none.
/// `observed` has the nodes' ranges in their order.
pub(super) fn choose(net: &Net, elements: &[Element], observed: &[Observed]) -> Vec<Steps> {
    let mut steps = vec![Steps { step: vec![1.0; 3], zero: vec![0; 3] }];
    let ranges: Vec<Vec<(f64, f64)>> =
        observed.iter().enumerate().map(|(node, o)| range(net, node, o)).collect();
    let groups = groups(net);
    for (node, own) in ranges.iter().enumerate() {
        if elements[node + 1] == Element::Real {
            steps.push(Steps::default());
            continue;
        }
        if matches!(net.nodes[node].op, Op::MaxPool(_)) {
            // The codes of its input, some of them.
            steps.push(steps[net.nodes[node].inputs[0]].clone());
            continue;
        }
        // The widest of each channel over all values of the group.
        let members: Vec<usize> =
            (0..ranges.len()).filter(|other| groups[*other] == groups[node]).collect();
        let bounded = members.iter().any(|member| is_bounded(net, *member));
        let least = if bounded { 1.0 } else { LEAST_SHARE };
        let mut profile = vec![least; own.len()];
        for member in members {
            let greatest = widths(&ranges[member]).fold(f64::MIN_POSITIVE, f64::max);
            for (p, width) in profile.iter_mut().zip(widths(&ranges[member])) {
                *p = p.max(width / greatest);
            }
        }
        let unit = widths(own).zip(&profile).map(|(width, p)| width / p).fold(0.0, f64::max);
        let unit = if unit > 0.0 { unit / 255.0 } else { 1.0 };
        let step: Vec<f64> = profile.iter().map(|p| p * unit).collect();
        let share = spare_below(net, node);
        let zero = own.iter().zip(&step).map(|((lo, hi), step)| {
            let spare = (255.0 - (hi - lo) / step).max(0.0);
            (share * spare - lo / step).round() as u8
        });
        steps.push(Steps { zero: zero.collect(), step });
    }
    steps
}

fn widths(ranges: &[(f64, f64)]) -> impl Iterator<Item = f64> + '_ {
    ranges.iter().map(|(lo, hi)| hi - lo)
}

/// Bounds of a node's results, and whether an activation ends them below.
fn bounds(net: &Net, node: usize) -> (f64, f64, Activation) {
    match &net.nodes[node].op {
        Op::Conv(conv) => (f64::from(conv.lo), f64::from(conv.hi), conv.activation),
        Op::Scale { lo, hi, activation } => (f64::from(*lo), f64::from(*hi), *activation),
        _ => (f64::NEG_INFINITY, f64::INFINITY, Activation::Linear),
    }
}

/// Whether a bound ends a node's results on one side or both.
fn is_bounded(net: &Net, node: usize) -> bool {
    let (lo, hi, _) = bounds(net, node);
    lo.is_finite() || hi.is_finite()
}

/// Which share of the codes that a channel does not need lies below its range: none where a bound or
/// an activation ends it, half where nothing does.
fn spare_below(net: &Net, node: usize) -> f64 {
    match bounds(net, node) {
        (lo, ..) if lo.is_finite() => 0.0,
        (_, hi, _) if hi.is_finite() => 1.0,
        (.., Activation::Linear) => 0.5,
        _ => 0.0,
    }
}

/// Each channel's range, with zero in it, and no wider than the node's bounds.
fn range(net: &Net, node: usize, observed: &Observed) -> Vec<(f64, f64)> {
    let (lo, hi, _) = bounds(net, node);
    let both = observed.min.iter().zip(&observed.max);
    both.map(|(min, max)| {
        let (min, max) = (f64::from(*min).min(0.0), f64::from(*max).max(0.0));
        (min.max(lo.min(0.0)), max.min(hi.max(0.0)))
    })
    .collect()
}

/// Nodes whose results are added to each other, or are some of the other's, have the same number.
fn groups(net: &Net) -> Vec<usize> {
    let mut group: Vec<usize> = (0..net.nodes.len()).collect();
    for (layer, node) in net.nodes.iter().enumerate() {
        let pooled = matches!(node.op, Op::MaxPool(_)).then(|| node.inputs[0]);
        let same = added(node).or(pooled);
        if let Some(added) = same.and_then(|value| value.checked_sub(1)) {
            let (from, to) = (group[layer], group[added]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
    }
    group
}
