//! A linear layer over real rows, which become codes while the encoder runs.
//!
//! Public CLIP encoders have a few channels with values 20 to 50 times those of the rest. A row's step
//! follows its widest channel, so these would leave the others a few codes each. Part of a channel's
//! size is therefore moved into the weights: Xiao et al., "SmoothQuant: Accurate and Efficient
//! Post-Training Quantization for Large Language Models" (2022), equation 4. How much of it is what
//! makes the sum of both sides' rounding errors least.

use super::Plan;
use crate::encoder::import::calibrate::Input;
use crate::encoder::import::ir::Conv;
use crate::encoder::import::layer::{NewLayer, pack_dense};
use crate::encoder::import::rounding::nearest;

/// Exponents that are tried: how much of a channel's size goes into the weights.
const EXPONENTS: [f64; 8] = [0.0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Without outliers nothing is moved: a multiplication for each value is saved.
const WORTH_IT: f64 = 0.9;

pub(super) fn fill(plan: &Plan, i: usize, conv: &Conv, layer: &mut NewLayer) {
    let depth = conv.depth();
    (layer.record.kernel, layer.record.stride) = (1, 1);
    if let Some(epsilon) = conv.norm {
        (layer.record.norm, layer.record.epsilon) = (1, epsilon);
    }
    layer.record.mean = u32::from(conv.pooled);
    // y = W (x * gain): the gain may stand on either side.
    let gain: Vec<f64> = match conv.factors.as_slice() {
        [] => vec![1.0; depth],
        factors => factors.iter().map(|factor| f64::from(*factor)).collect(),
    };
    let statistics = &plan.observed[i].input;
    let factors = factors(conv, &gain, statistics);
    let weights = conv.weights.iter().enumerate();
    let weights = weights.map(|(at, w)| f64::from(*w) * gain[at % depth] / factors[at % depth]);
    let weights: Vec<f64> = weights.collect();
    let squares: Vec<f64> = (0..depth)
        .map(|k| statistics.square.get(k).map_or(1.0, |square| square * factors[k] * factors[k]))
        .collect();
    let rounded = nearest(&weights, &squares, depth);
    let (packed, sums) = pack_dense(&rounded.codes, depth, depth);
    layer.record.weights = layer.parts.add(&packed);
    layer.record.sums = layer.parts.add(&sums);
    if factors.iter().any(|factor| *factor != 1.0) {
        let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
        layer.record.factors = layer.parts.add(&factors);
    }
    // The mean error of the weights is known and taken off.
    let bias = rounded.codes.chunks_exact(depth).enumerate().map(|(n, row)| {
        let error = row.iter().enumerate().map(|(k, q)| {
            let mean = statistics.mean.get(k).map_or(0.0, |mean| mean * factors[k]);
            (weights[n * depth + k] - rounded.unit[n] * f64::from(*q)) * mean
        });
        f64::from(conv.bias[n]) + error.sum::<f64>()
    });
    let bias: Vec<f64> = bias.collect();
    plan.finish(i, layer, &rounded.unit, &bias);
}

/// What each input channel is multiplied by before it becomes codes.
fn factors(conv: &Conv, gain: &[f64], statistics: &Input) -> Vec<f64> {
    let depth = gain.len();
    if statistics.max.len() != depth {
        return gain.to_vec();
    }
    let greatest: Vec<f64> =
        statistics.max.iter().zip(gain).map(|(max, gain)| f64::from(*max) * gain.abs()).collect();
    let mut widest = vec![0.0f64; depth];
    for row in conv.weights.chunks_exact(depth) {
        widest.iter_mut().zip(row).for_each(|(widest, w)| *widest = widest.max(f64::from(w.abs())));
    }
    let candidates = EXPONENTS.iter().map(|exponent| {
        let moved = (0..depth).map(|k| {
            if greatest[k] > 0.0 && widest[k] > 0.0 {
                greatest[k].powf(*exponent) / widest[k].powf(1.0 - exponent)
            } else {
                1.0
            }
        });
        let moved: Vec<f64> = if *exponent == 0.0 { vec![1.0; depth] } else { moved.collect() };
        let factors: Vec<f64> = gain.iter().zip(&moved).map(|(gain, moved)| gain / moved).collect();
        (error(conv, gain, &factors, statistics), factors)
    });
    let candidates: Vec<(f64, Vec<f64>)> = candidates.collect();
    let plain = candidates[0].0;
    let best = candidates.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((error, factors)) if error < WORTH_IT * plain => factors,
        // As good as nothing moved: then no gain either if it is even.
        _ => gain.to_vec(),
    }
}

/// The rounding errors of codes and weights in the layer's result, in squares, as far as they can be
/// told from the sizes of both.
fn error(conv: &Conv, gain: &[f64], factors: &[f64], statistics: &Input) -> f64 {
    let depth = gain.len();
    let range = (0..depth)
        .map(|k| f64::from(statistics.max[k]) * factors[k].abs())
        .fold(f64::MIN_POSITIVE, f64::max);
    let code = (2.0 * range / 255.0).powi(2) / 12.0;
    let energy: f64 =
        (0..depth).map(|k| statistics.square[k] * factors[k] * factors[k]).sum::<f64>();
    let mut total = 0.0;
    for row in conv.weights.chunks_exact(depth) {
        let moved = (0..depth).map(|k| f64::from(row[k]) * gain[k] / factors[k]);
        let (mut squares, mut widest) = (0.0, 0.0f64);
        for w in moved {
            squares += w * w;
            widest = widest.max(w.abs());
        }
        total += squares * code + (widest / 127.0).powi(2) / 12.0 * energy;
    }
    total
}
