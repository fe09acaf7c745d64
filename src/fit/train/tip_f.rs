//! Tip-Adapter-F (Zhang et al. 2022, arXiv 2207.09519): the keys of Tip-Adapter, trained.
//!
//! ```text
//! logits = 100 f T + alpha * sum over keys n of w_n exp(-(beta - beta f·k_n))
//! ```
//!
//! Here each shot is one feature, not a fresh view of a photograph in each epoch. A shot would
//! therefore find itself among the keys and teach nothing, so its own key is left out of its sums.

use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy, or_zero};
use crate::fit::heads::{Keys, Task};
use crate::fit::matrix::Matrix;
use crate::math;
use crate::random::Random;

const EPOCHS: usize = 20;
const BATCH: usize = 256;
const RATE: f64 = 1e-3;
const EPSILON: f64 = 1e-4;
const DECAY: f64 = 0.01;

/// The keys at these alpha and beta.
#[must_use]
pub fn train(task: &Task, alpha: f32, beta: f32, report: &dyn Fn(Progress)) -> Keys {
    let (workers, n) = (task.workers, task.labels.len());
    let text = task.text_terms(task.shots.text.as_ref(), n);
    let weights = task.key_weights();
    let mut keys = task.shots.keys.clone();
    let steps = EPOCHS * n.div_ceil(BATCH);
    let schedule = Schedule { rate: RATE, epsilon: EPSILON, decay: DECAY, steps };
    let mut adam = Adam::new(schedule, keys.data.len());
    let mut random = Random::new(task.seed);
    let mut order: Vec<usize> = (0..n).collect();
    let mut stop = EarlyStop::default();
    for epoch in 0..EPOCHS {
        random.shuffle(&mut order);
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let labels: Vec<usize> = batch.iter().map(|&i| task.labels[i]).collect();
            let x = task.shots.keys.pick(batch);
            let mut affinity = x.times_transposed(&keys, workers);
            let mut logits = text.pick(batch);
            for (i, &own) in batch.iter().enumerate() {
                let row = affinity.row_mut(i);
                affinities(row, &weights, own, beta);
                add_up(logits.row_mut(i), row, &task.labels, alpha);
            }
            sum += cross_entropy(&mut logits, &labels) * batch.len() as f64;
            for i in 0..batch.len() {
                to_gradient(affinity.row_mut(i), logits.row(i), &task.labels, alpha * beta);
            }
            let gradient = affinity.transposed().times_transposed(&x.transposed(), workers);
            adam.step(&mut keys.data, &gradient.data);
        }
        let loss = sum / n as f64;
        report(Progress { epoch: epoch + 1, epochs: EPOCHS, loss });
        if stop.push(loss) {
            break;
        }
    }
    let (classes, feature_dim) = (task.labels.clone(), keys.columns());
    Keys { keys, classes, weights, channels: Vec::new(), feature_dim }
}

/// Cosines become weighted affinities; that of the shot's own key becomes 0.
pub(super) fn affinities(row: &mut [f32], weights: &[f32], own: usize, beta: f32) {
    for (a, weight) in row.iter_mut().zip(weights) {
        *a = weight * math::exp(math::mul_add(beta, *a, -beta));
    }
    row[own] = 0.0;
}

/// Adds alpha times the affinities to the logits of their classes.
pub(super) fn add_up(logits: &mut [f32], affinity: &[f32], labels: &[usize], alpha: f32) {
    for (a, &class) in affinity.iter().zip(labels) {
        logits[class] += alpha * a;
    }
}

/// Affinities become the gradient of their cosines.
pub(super) fn to_gradient(affinity: &mut [f32], logits: &[f32], labels: &[usize], gain: f32) {
    for (a, &class) in affinity.iter_mut().zip(labels) {
        *a = or_zero(*a * (gain * logits[class]));
    }
}

/// Sums of the rows of each class.
pub(super) fn by_class(rows: &Matrix, labels: &[usize], classes: usize) -> Matrix {
    let mut out = Matrix::zeros(classes, rows.columns());
    for (row, &class) in rows.iter().zip(labels) {
        out.row_mut(class).iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    out
}
