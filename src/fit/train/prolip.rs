//! ProLIP: the encoder's last projection is trained, and held near to what it was (Fahes et al. 2024,
//! arXiv 2410.05270).
//!
//! ```text
//! logits = 100 project(W, trunk) T,    loss = cross-entropy + λ |W - W₀|²,    λ = 1 / shots of a class
//! ```
//!
//! It needs no validation set. Adam, full batch. Features that come without the projection that made
//! them have the paper's form for a closed encoder (there "regularised linear adapter"), a square
//! matrix on the feature, held near to the identity: `logits = 100 norm(f + B f) T`. So have shots of classes
//! without text: their mean shots in the space of the keys say more than rows of text drawn from them
//! (5 points of Caltech101's photographs at 2 shots).

use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy, norm_gradient, normalize};
use crate::fit::ProjectionWeights;
use crate::fit::heads::{AdapterWeights, BranchWeights, Classifier, LOGIT_SCALE, LinearTerm, Task};
use crate::fit::matrix::Matrix;

/// Adam's steps.
const STEPS: usize = 300;
const RATE: f64 = 1e-4;
const EPSILON: f64 = 1e-4;
/// Length of an image feature before CLIP scales it to 1. Rate and λ are those of a matrix that makes
/// such features of values that a LayerNorm gave; another encoder's matrix is trained in these units.
const CLIP_NORM: f32 = 10.0;

/// The adapter after a training from what the encoder does, and the rows of classes that it has
/// no text for.
#[must_use]
pub fn train(task: &Task, report: &dyn Fn(Progress)) -> (AdapterWeights, Option<LinearTerm>) {
    let covered = task.counts().iter().filter(|&&count| count > 0).count();
    let lambda = covered as f32 / task.labels.len().max(1) as f32;
    if let Some(projection) = &task.projection
        && let Some(rows) = &task.rows
        && task.labels.iter().all(|&label| task.has_text(label))
    {
        let own = projection_of(task, projection, &rows.matrix(), lambda, report);
        return (AdapterWeights::Projection(own), None);
    }
    let classifier = Classifier::new(task);
    let dim = task.shots.keys.columns();
    let mut b = Matrix::zeros(dim, dim);
    descend(task, &classifier, &mut b, lambda, STEPS, report);
    let branch = BranchWeights { keep: 1.0, ratio: 1.0, down: None, up: b };
    (AdapterWeights::Branch(branch), classifier.linear())
}

/// The encoder's own map, trained from `start`; `rows` are the text's, `[classes][dim]`.
fn projection_of(
    task: &Task,
    start: &ProjectionWeights,
    rows: &Matrix,
    lambda: f32,
    report: &dyn Fn(Progress),
) -> ProjectionWeights {
    let (trunk, workers) = (&task.shots.keys, task.workers);
    if trunk.rows() == 0 {
        return start.clone();
    }
    // A trunk's feature has length 1, a LayerNorm's output the root of its size.
    let read = (trunk.columns() as f32).sqrt();
    let norm = mean_norm(&start.before_norm(trunk, workers));
    let made = if norm > 0.0 { CLIP_NORM / norm } else { 1.0 };
    let (inputs, bias) =
        (trunk.clone().scaled(read), start.bias.iter().map(|b| made * b).collect());
    let mut own = ProjectionWeights {
        weight: start.weight.clone().scaled(made / read),
        bias,
        image_mean: start.image_mean.clone(),
    };
    let before = own.weight.clone();
    let (columns, text) = (inputs.transposed(), rows.transposed());
    let schedule = Schedule { rate: RATE, epsilon: EPSILON, decay: 0.0, steps: STEPS };
    let mut adam = Adam::new(schedule, own.weight.data.len());
    let mut stop = EarlyStop::default();
    for step in 0..STEPS {
        let mut u = own.before_norm(&inputs, workers);
        let norms = normalize(&mut u);
        let mut g = own.centred(u.clone());
        let centred_norms = normalize(&mut g);
        let mut logits = g.times_transposed(rows, workers).scaled(LOGIT_SCALE);
        let mut loss = cross_entropy(&mut logits, &task.labels);
        let mut gradient = logits.times_transposed(&text, workers).scaled(LOGIT_SCALE);
        norm_gradient(&mut gradient, &g, &centred_norms);
        norm_gradient(&mut gradient, &u, &norms);
        let mut gradient = gradient.transposed().times_transposed(&columns, workers);
        loss += pull(&mut gradient, &own.weight, &before, lambda);
        adam.step(&mut own.weight.data, &gradient.data);
        report(Progress { epoch: step + 1, epochs: STEPS, loss });
        if stop.push(loss) {
            break;
        }
    }
    ProjectionWeights { weight: own.weight.scaled(read / made), ..start.clone() }
}

fn mean_norm(rows: &Matrix) -> f32 {
    normalize(&mut rows.clone()).iter().sum::<f32>() / rows.rows().max(1) as f32
}

/// Adds the gradient of λ |W - W₀|² and gives its value.
fn pull(gradient: &mut Matrix, weights: &Matrix, start: &Matrix, lambda: f32) -> f64 {
    let mut loss = 0.0;
    for ((d, w), start) in gradient.data.iter_mut().zip(&weights.data).zip(&start.data) {
        *d += 2.0 * lambda * (w - start);
        loss += f64::from(lambda) * f64::from((w - start) * (w - start));
    }
    loss
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
        loss += pull(&mut gradient, b, &start, lambda);
        adam.step(&mut b.data, &gradient.data);
        report(Progress { epoch: step + 1, epochs: steps, loss });
        if stop.push(loss) {
            break;
        }
    }
}
