//! Training of head parameters from cached features: AdamW, a cosine schedule, cross-entropy. The same
//! seed gives the same bits, whatever the threads and the processor.

pub mod ape_t;
pub mod clip_adapter;
pub mod incremental;
pub mod meta_adapter;
pub mod prolip;
pub mod tip_f;

use super::matrix::Matrix;
use crate::head::{Temperature, probabilities};

/// Hyper-parameters of AdamW (Loshchilov and Hutter 2019) with a cosine schedule over `steps`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) rate: f64,
    pub(crate) epsilon: f64,
    /// Decoupled weight decay.
    pub(crate) decay: f64,
    pub(crate) steps: usize,
}

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;

/// The state of AdamW for one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    schedule: Schedule,
    first: Vec<f32>,
    second: Vec<f32>,
    step: usize,
}

impl Adam {
    pub(crate) fn new(schedule: Schedule, values: usize) -> Self {
        Self { schedule, first: vec![0.0; values], second: vec![0.0; values], step: 0 }
    }

    /// One step against the gradient.
    pub(crate) fn step(&mut self, values: &mut [f32], gradient: &[f32]) {
        let Schedule { rate, epsilon, decay, steps } = self.schedule;
        let progress = self.step as f64 / steps.max(1) as f64;
        let rate = rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.step += 1;
        let correct = |beta: f64| 1.0 - beta.powi(self.step as i32);
        let step = (rate / correct(BETA_1)) as f32;
        let root = (1.0 / correct(BETA_2).sqrt()) as f32;
        let (epsilon, kept) = (epsilon as f32, (1.0 - rate * decay) as f32);
        let (b1, b2) = (BETA_1 as f32, BETA_2 as f32);
        let state = self.first.iter_mut().zip(&mut self.second);
        for ((value, &g), (m, v)) in values.iter_mut().zip(gradient).zip(state) {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *value = kept * *value - step * *m / (v.sqrt() * root + epsilon);
        }
    }
}

/// Gradients below this are 0. Nothing would come of them, but their products and squares are subnormal, and
/// Intel's processors take a hundred times as long for those.
const LEAST: f32 = 1e-15;

pub(crate) fn or_zero(gradient: f32) -> f32 {
    if gradient.abs() < LEAST { 0.0 } else { gradient }
}

/// Mean cross-entropy of logits with the true classes; the logits become its gradient.
pub(crate) fn cross_entropy(logits: &mut Matrix, labels: &[usize]) -> f64 {
    let n = labels.len().max(1) as f32;
    let mut p = vec![0.0; logits.columns()];
    let mut loss = 0.0;
    for (i, &label) in labels.iter().enumerate() {
        let row = logits.row_mut(i);
        probabilities(row, Temperature::ONE, &mut p);
        loss -= f64::from(p[label].max(f32::MIN_POSITIVE)).ln();
        row.iter_mut().zip(&p).for_each(|(g, p)| *g = or_zero(p / n));
        row[label] -= 1.0 / n;
    }
    loss / f64::from(n)
}

/// The gradient of `h` of `g = h / |h|`, row by row in place of the gradient of `g`; `norms` are the
/// lengths of the rows of `h`.
pub(crate) fn norm_gradient(gradient: &mut Matrix, unit: &Matrix, norms: &[f32]) {
    for (i, norm) in norms.iter().enumerate() {
        let g = unit.row(i);
        let along: f32 = gradient.row(i).iter().zip(g).map(|(d, g)| d * g).sum();
        let scale = if *norm > 0.0 { 1.0 / norm } else { 0.0 };
        gradient.row_mut(i).iter_mut().zip(g).for_each(|(d, g)| *d = (*d - along * g) * scale);
    }
}

/// Scales rows to length 1 and gives the lengths that they had.
pub(crate) fn normalize(rows: &mut Matrix) -> Vec<f32> {
    (0..rows.rows())
        .map(|i| {
            let row = rows.row_mut(i);
            let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|value| *value /= norm);
            }
            norm
        })
        .collect()
}

/// Where training stands, told after each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epochs done.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean loss of the last one.
    pub loss: f64,
}

/// Stops when the loss has come to rest.
#[derive(Default)]
pub(crate) struct EarlyStop {
    best: Option<f64>,
    without: usize,
}

/// Epochs without a better loss after which training ends.
const PATIENCE: usize = 10;
/// Share by which a loss must be better to count.
const BETTER: f64 = 1e-3;

impl EarlyStop {
    /// Takes the loss of an epoch; true when training should end.
    pub(crate) fn push(&mut self, loss: f64) -> bool {
        if self.best.is_none_or(|best| loss < best * (1.0 - BETTER)) {
            (self.best, self.without) = (Some(loss), 0);
        } else {
            self.without += 1;
        }
        self.without >= PATIENCE
    }
}

#[cfg(test)]
mod tests;
