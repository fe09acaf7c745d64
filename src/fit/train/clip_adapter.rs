//! CLIP-Adapter (Gao et al. 2021, arXiv 2110.04544): a bottleneck beside the feature.
//!
//! ```text
//! g = norm(ratio relu(W2 relu(W1 f)) + (1 - ratio) f),    logits = 100 g T
//! ```

use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy, norm_gradient, normalize};
use crate::fit::heads::{BranchWeights, Classifier, Task};
use crate::fit::matrix::Matrix;
use crate::random::Random;

/// Channels of the feature for each value of the bottleneck.
const REDUCTION: usize = 4;
const EPOCHS: usize = 60;
const BATCH: usize = 256;
const RATE: f64 = 1e-3;
const EPSILON: f64 = 1e-8;
const DECAY: f64 = 0.01;

/// W1 and W2, as an adapter.
#[must_use]
pub fn train(
    task: &Task,
    classifier: &Classifier,
    ratio: f32,
    report: &dyn Fn(Progress),
) -> BranchWeights {
    let (workers, dim) = (task.workers, task.shots.keys.columns());
    let hidden = (dim / REDUCTION).max(1);
    let mut random = Random::new(task.seed);
    // torch.nn.Linear's start
    let mut layer = |rows: usize, columns: usize| {
        let data = random.uniform(rows * columns, 1.0 / (columns as f32).sqrt());
        let mut matrix = Matrix::zeros(rows, columns);
        matrix.data.copy_from_slice(&data);
        matrix
    };
    let (mut down, mut up) = (layer(hidden, dim), layer(dim, hidden));
    let n = task.labels.len();
    let steps = EPOCHS * n.div_ceil(BATCH);
    let schedule = Schedule { rate: RATE, epsilon: EPSILON, decay: DECAY, steps };
    let (mut adam_down, mut adam_up) =
        (Adam::new(schedule, down.data.len()), Adam::new(schedule, up.data.len()));
    let weights = classifier.weights.transposed();
    let mut order: Vec<usize> = (0..n).collect();
    let mut stop = EarlyStop::default();
    for epoch in 0..EPOCHS {
        random.shuffle(&mut order);
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let labels: Vec<usize> = batch.iter().map(|&i| task.labels[i]).collect();
            let x = task.shots.keys.pick(batch);
            let u = rectified(x.times_transposed(&down, workers));
            let v = rectified(u.times_transposed(&up, workers));
            let mut g = v.clone();
            g.data.iter_mut().zip(&x.data).for_each(|(g, x)| *g = ratio * *g + (1.0 - ratio) * x);
            let norms = normalize(&mut g);
            let mut logits = classifier.logits_of(&g, Some(batch), workers);
            sum += cross_entropy(&mut logits, &labels) * batch.len() as f64;
            let mut dv = logits.times_transposed(&weights, workers);
            norm_gradient(&mut dv, &g, &norms);
            dv.data.iter_mut().zip(&v.data).for_each(|(d, &v)| *d *= slope(v) * ratio);
            let mut du = dv.times_transposed(&up.transposed(), workers);
            du.data.iter_mut().zip(&u.data).for_each(|(d, &u)| *d *= slope(u));
            let d_up = dv.transposed().times_transposed(&u.transposed(), workers);
            let d_down = du.transposed().times_transposed(&x.transposed(), workers);
            adam_up.step(&mut up.data, &d_up.data);
            adam_down.step(&mut down.data, &d_down.data);
        }
        let loss = sum / n as f64;
        report(Progress { epoch: epoch + 1, epochs: EPOCHS, loss });
        if stop.push(loss) {
            break;
        }
    }
    BranchWeights { keep: 1.0 - ratio, ratio, down: Some(down), up }
}

fn rectified(mut values: Matrix) -> Matrix {
    values.data.iter_mut().for_each(|value| *value = value.max(0.0));
    values
}

/// Of relu, where it gave `value`.
fn slope(value: f32) -> f32 {
    if value > 0.0 { 1.0 } else { 0.0 }
}
