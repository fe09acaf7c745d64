//! ProLIP's linear form for an encoder that cannot be opened (Fahes et al. 2024, arXiv 2410.05270,
//! there "regularised linear adapter"): a square matrix on the feature, held near to the identity.
//!
//! ```text
//! logits = 100 norm(f + B f) T,    loss = cross-entropy + λ |B|²,    λ = 1 / shots of a class
//! ```
//!
//! It needs no validation set. Adam, full batch.

use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy, norm_gradient, normalize};
use crate::fit::heads::{AdapterWeights, Classifier, Task};
use crate::fit::matrix::Matrix;

/// Adam's steps.
const STEPS: usize = 300;
const RATE: f64 = 1e-4;
const EPSILON: f64 = 1e-4;

/// B, as an adapter, after a training from zero.
#[must_use]
pub fn train(task: &Task, classifier: &Classifier, report: &dyn Fn(Progress)) -> AdapterWeights {
    let dim = task.shots.keys.columns();
    let covered = task.counts().iter().filter(|&&count| count > 0).count();
    let lambda = covered as f32 / task.labels.len().max(1) as f32;
    let mut b = Matrix::zeros(dim, dim);
    descend(task, classifier, &mut b, lambda, STEPS, report);
    AdapterWeights { keep: 1.0, ratio: 1.0, down: None, up: b }
}

/// Trains B from where it is; `lambda` pulls it to where it was.
pub(super) fn descend(
    task: &Task,
    classifier: &Classifier,
    b: &mut Matrix,
    lambda: f32,
    steps: usize,
    report: &dyn Fn(Progress),
) {
    let (shots, workers) = (&task.shots.keys, task.workers);
    if shots.rows() == 0 {
        return;
    }
    let start = b.clone();
    let (columns, weights) = (shots.transposed(), classifier.weights.transposed());
    let schedule = Schedule { rate: RATE, epsilon: EPSILON, decay: 0.0, steps };
    let mut adam = Adam::new(schedule, b.data.len());
    let mut stop = EarlyStop::default();
    for step in 0..steps {
        let mut g = shots.times_transposed(b, workers).scaled_plus(1.0, shots);
        let norms = normalize(&mut g);
        let mut logits = classifier.logits(&g, workers);
        let mut loss = cross_entropy(&mut logits, &task.labels);
        let mut gradient = logits.times_transposed(&weights, workers);
        norm_gradient(&mut gradient, &g, &norms);
        let mut gradient = gradient.transposed().times_transposed(&columns, workers);
        for ((d, b), start) in gradient.data.iter_mut().zip(&b.data).zip(&start.data) {
            *d += 2.0 * lambda * (b - start);
            loss += f64::from(lambda) * f64::from((b - start) * (b - start));
        }
        adam.step(&mut b.data, &gradient.data);
        report(Progress { epoch: step + 1, epochs: steps, loss });
        if stop.push(loss) {
            break;
        }
    }
}
