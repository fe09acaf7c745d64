//! APE-T (Zhu et al. 2023, arXiv 2304.01195): a residual for each class in the chosen channels, added to
//! its text and to its keys, and a trained weight for each key. The keys keep all channels.
//!
//! ```text
//! logits = 100 f (T + r) + alpha * sum over keys n of v_n exp(-(beta - beta f·(k_n + r_class of n)))
//! ```
//!
//! As for Tip-Adapter-F, a shot's own key is left out of its sums.

use super::tip_f::{add_up, affinities, by_class, to_gradient};
use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy};
use crate::fit::heads::{Keys, LOGIT_SCALE, LinearTerm, Task, ape};
use crate::fit::matrix::Matrix;
use crate::random::Random;

const EPOCHS: usize = 30;
const BATCH: usize = 256;
const RATE: f64 = 1e-4;
const EPSILON: f64 = 1e-3;
const DECAY: f64 = 0.1;

/// The residuals as a linear term beside the text, and the keys.
#[must_use]
pub fn train(task: &Task, alpha: f32, beta: f32, report: &dyn Fn(Progress)) -> (LinearTerm, Keys) {
    let (workers, n) = (task.workers, task.labels.len());
    let dim = task.shots.keys.columns();
    let channels = ape::channels(task, &task.anchors());
    let text = task.text_terms(task.shots.text.as_ref(), n);
    let mut weights = task.key_weights();
    let mut residual = Matrix::zeros(task.classes, channels.len());
    let steps = EPOCHS * n.div_ceil(BATCH);
    let schedule = Schedule { rate: RATE, epsilon: EPSILON, decay: DECAY, steps };
    let mut adam_residual = Adam::new(schedule, residual.data.len());
    let mut adam_weights = Adam::new(schedule, weights.len());
    let mut random = Random::new(task.seed);
    let mut order: Vec<usize> = (0..n).collect();
    let mut stop = EarlyStop::default();
    for epoch in 0..EPOCHS {
        random.shuffle(&mut order);
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let labels: Vec<usize> = batch.iter().map(|&i| task.labels[i]).collect();
            let x = task.shots.keys.pick(batch);
            let full = spread(&residual, &channels, dim);
            let keys = moved(&task.shots.keys, &full, &task.labels);
            let mut affinity = x.times_transposed(&keys, workers);
            let mut logits = x.times_transposed(&full, workers);
            logits = logits.scaled_plus(LOGIT_SCALE, &text.pick(batch));
            for (i, &own) in batch.iter().enumerate() {
                affinities(affinity.row_mut(i), &weights, own, beta);
                add_up(logits.row_mut(i), affinity.row(i), &task.labels, alpha);
            }
            sum += cross_entropy(&mut logits, &labels) * batch.len() as f64;
            let mut d_weights = vec![0.0; n];
            for i in 0..batch.len() {
                let (row, gradient) = (affinity.row_mut(i), logits.row(i));
                for (key, d) in d_weights.iter_mut().enumerate().filter(|(k, _)| weights[*k] != 0.0)
                {
                    *d += alpha * gradient[task.labels[key]] * row[key] / weights[key];
                }
                to_gradient(row, gradient, &task.labels, alpha * beta);
            }
            let columns = x.transposed();
            let keys = affinity.transposed().times_transposed(&columns, workers);
            let text = logits.transposed().times_transposed(&columns, workers);
            let gradient =
                text.scaled_plus(LOGIT_SCALE, &by_class(&keys, &task.labels, task.classes));
            adam_residual.step(&mut residual.data, &gradient.pick_columns(&channels).data);
            adam_weights.step(&mut weights, &d_weights);
        }
        let loss = sum / n as f64;
        report(Progress { epoch: epoch + 1, epochs: EPOCHS, loss });
        if stop.push(loss) {
            break;
        }
    }
    let full = spread(&residual, &channels, dim);
    let keys = moved(&task.shots.keys, &full, &task.labels);
    let mut rows = full;
    rows.data.iter_mut().for_each(|value| *value *= LOGIT_SCALE);
    let has: Vec<bool> = task.counts().into_iter().map(|count| count > 0).collect();
    // A class without shots has no term of shots.
    (0..task.classes).filter(|&class| !has[class]).for_each(|class| rows.row_mut(class).fill(0.0));
    // A negative weight would turn a likeness into an objection; the cache does not know such.
    weights.iter_mut().for_each(|weight| *weight = weight.max(0.0));
    let classes = task.labels.clone();
    let keys = Keys { keys, classes, weights, channels: Vec::new(), feature_dim: dim };
    (LinearTerm { has, weights: rows, bias: vec![0.0; task.classes] }, keys)
}

/// Residuals in all channels.
fn spread(residual: &Matrix, channels: &[usize], dim: usize) -> Matrix {
    let mut out = Matrix::zeros(residual.rows(), dim);
    for (i, row) in residual.iter().enumerate() {
        let to = out.row_mut(i);
        channels.iter().zip(row).for_each(|(&channel, value)| to[channel] = *value);
    }
    out
}

/// Keys with the residuals of their classes.
fn moved(keys: &Matrix, residual: &Matrix, labels: &[usize]) -> Matrix {
    let mut out = keys.clone();
    for (i, &label) in labels.iter().enumerate() {
        out.row_mut(i).iter_mut().zip(residual.row(label)).for_each(|(key, r)| *key += r);
    }
    out
}
