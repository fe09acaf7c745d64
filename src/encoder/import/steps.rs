//! How each value of the graph becomes u8 codes: a step and a zero point for every channel.
//!
//! Channels get steps of their own, at no cost when the encoder runs: the step of an output channel
//! is part of its requantization, and the step of an input channel is folded into the weights that
//! read it. Only a residual needs the steps of both sides in one ratio for all channels, so values
//! that are added to each other share one profile.

use super::calibrate::Observed;
use super::ir::{Net, Op};

/// What codes stand for: `real = step * (code - zero)`, one of each for every channel.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    pub(super) step: Vec<f64>,
    pub(super) zero: Vec<u8>,
}

/// Steps of every value; the picture's are 1, its values are used as they are. `observed` has the
/// layers' ranges in their order.
pub(super) fn choose(net: &Net, observed: &[Observed]) -> Vec<Steps> {
    let mut steps = vec![Steps { step: vec![1.0; 3], zero: vec![0; 3] }];
    let ranges: Vec<Vec<(f64, f64)>> =
        observed.iter().enumerate().map(|(layer, o)| range(net, layer, o)).collect();
    let groups = groups(net);
    for (layer, own) in ranges.iter().enumerate() {
        // Width of each channel over all values of the group.
        let members = (0..ranges.len()).filter(|other| groups[*other] == groups[layer]);
        let mut profile = vec![0.0f64; own.len()];
        for other in members {
            let greatest = widths(&ranges[other]).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
            for (p, width) in profile.iter_mut().zip(widths(&ranges[other])) {
                *p = p.max(width / greatest);
            }
        }
        // A channel that never changes gets the widest channel's step, whatever else it may do.
        profile.iter_mut().for_each(|p| *p = if *p > 0.0 { *p } else { 1.0 });
        let unit = widths(own).zip(&profile).map(|(width, p)| width / p).fold(0.0, f64::max);
        let unit = if unit > 0.0 { unit / 255.0 } else { 1.0 };
        let step: Vec<f64> = profile.iter().map(|p| p * unit).collect();
        let zero = own.iter().zip(&step).map(|((lo, _), step)| (-lo / step).round() as u8);
        steps.push(Steps { zero: zero.collect(), step });
    }
    steps
}

fn widths(ranges: &[(f64, f64)]) -> impl Iterator<Item = f64> + '_ {
    ranges.iter().map(|(lo, hi)| hi - lo)
}

/// Each channel's range, with zero in it, and no wider than the layer's bounds.
fn range(net: &Net, layer: usize, observed: &Observed) -> Vec<(f64, f64)> {
    let Op::Conv(conv) = &net.nodes[layer].op else { return Vec::new() };
    let both = observed.min.iter().zip(&observed.max);
    both.map(|(min, max)| {
        let (min, max) = (f64::from(*min).min(0.0), f64::from(*max).max(0.0));
        (min.max(conv.lo.min(0.0)), max.min(conv.hi.max(0.0)))
    })
    .collect()
}

/// Layers whose results are added to each other have the same number.
fn groups(net: &Net) -> Vec<usize> {
    let mut group: Vec<usize> = (0..net.nodes.len()).collect();
    for (layer, node) in net.nodes.iter().enumerate() {
        if let Some(added) = node.inputs.get(1).and_then(|value| value.checked_sub(1)) {
            let (from, to) = (group[layer], group[added]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
    }
    group
}
