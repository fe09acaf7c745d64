//! APE without training (Zhu et al., "Not All Features Matter", ICCV 2023, arXiv 2304.01195): channels
//! that divide the classes, and keys weighted by how well the text already knows them.
//!
//! ```text
//! J_d  = -w0 * similarity between classes in channel d + w1 * variance of the text in channel d
//! f'   = norm(f[the Q channels of the largest J]), keys and text likewise
//! kl_n = log2((1 + ε) / (p_n + ε)),   p_n = softmax(k'_n T')[class of n],   ε = 1e-6
//! logits = 100 f T + alpha exp(-(beta - beta f' K')) (exp(gamma kl) V)
//! ```
//!
//! Mean shots stand for all classes where text does not share the keys' space or a class lacks it.

use super::super::matrix::Matrix;
use super::model::{Keys, Task};
use crate::head::{Temperature, probabilities};

/// Share of the channels that is kept.
const KEPT: f64 = 0.75;
/// Weights of similarity and variance.
const WEIGHTS: [f64; 2] = [0.7, 0.3];
const EPSILON: f32 = 1e-6;

/// The chosen channels, ascending: those with the largest J, the first of equal ones.
#[must_use]
pub fn channels(task: &Task, anchors: &Matrix) -> Vec<usize> {
    let dim = task.shots.keys.columns();
    let kept = ((dim as f64 * KEPT).round() as usize).clamp(1, dim.max(1));
    let criterion = criterion(task, anchors);
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| criterion[b].total_cmp(&criterion[a]));
    order.truncate(kept);
    order.sort_unstable();
    order
}

/// J of every channel. A class counts as its text and its shots, all of them with one weight; with
/// unequal numbers of shots the class's sum is scaled to the mean number.
fn criterion(task: &Task, anchors: &Matrix) -> Vec<f64> {
    let (dim, counts, means) = (task.shots.keys.columns(), task.counts(), task.means());
    let there: Vec<usize> =
        (0..task.classes).filter(|&c| anchors.row(c).iter().any(|&v| v != 0.0)).collect();
    let classes = there.len() as f64;
    let shots = task.labels.len() as f64 / counts.iter().filter(|&&n| n > 0).count().max(1) as f64;
    let tokens = shots + 1.0;
    (0..dim)
        .map(|d| {
            let value = |m: &Matrix, class: usize| f64::from(m.row(class)[d]);
            let (mut sum, mut squares, mut mean, mut text_squares) = (0.0, 0.0, 0.0, 0.0);
            for &class in &there {
                let text = value(anchors, class);
                let all = text + shots * value(&means, class);
                sum += all;
                squares += all * all;
                mean += text / classes;
                text_squares += text * text;
            }
            let pairs = (classes * (classes - 1.0)).max(1.0) * tokens * tokens;
            let similarity = (sum * sum - squares) / pairs;
            let variance = (text_squares - classes * mean * mean) / (classes - 1.0).max(1.0);
            WEIGHTS[1] * variance - WEIGHTS[0] * similarity
        })
        .collect()
}

/// `kl` of every key, in bits.
#[must_use]
pub fn divergences(task: &Task, keys: &Matrix, anchors: &Matrix) -> Vec<f32> {
    let cosines = keys.times_transposed(anchors, task.workers);
    let rows = cosines.iter().zip(&task.labels);
    let divergence = |(row, &label): (&[f32], &usize)| {
        let mut p = vec![0.0; row.len()];
        probabilities(row, Temperature::ONE, &mut p);
        f64::from((1.0 + EPSILON) / (p[label] + EPSILON)).log2() as f32
    };
    rows.map(divergence).collect()
}

/// The keys. Their weights are `exp(gamma (kl - mean kl))`: the mean is left to alpha, which else
/// would depend on gamma by orders of magnitude.
#[must_use]
pub fn fit(task: &Task, gamma: f32) -> Keys {
    let anchors = task.anchors();
    let channels = channels(task, &anchors);
    let keys = task.shots.keys.pick_columns(&channels).normalized();
    let anchors = anchors.pick_columns(&channels).normalized();
    let kl = divergences(task, &keys, &anchors);
    let mean = kl.iter().sum::<f32>() / kl.len().max(1) as f32;
    let weights = task.key_weights().into_iter().zip(kl);
    let weights = weights.map(|(weight, kl)| weight * crate::math::exp(gamma * (kl - mean)));
    let (classes, feature_dim) = (task.labels.clone(), task.shots.keys.columns());
    Keys { keys, classes, weights: weights.collect(), channels, feature_dim }
}
