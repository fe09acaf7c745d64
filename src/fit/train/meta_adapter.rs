//! Meta-Adapter (Cheng et al. 2023, arXiv 2311.03774): attention of a class's text over its shots, gated,
//! makes its row. The weights know no class: once trained they make rows for new ones at once.
//!
//! ```text
//! a_j = softmax_j(Wq t_c · Wk z_j / sqrt(D)),   z_0 = t_c, z_1.. the shots
//! w_c = norm(t_c + sigmoid(g·t_c + b) * sum_j a_j z_j),    logits = 100 f w
//! ```
//!
//! Wq t · Wk z is computed as (Wkᵀ Wq t) · z: one vector for each class meets its shots instead of each shot
//! meeting the square matrix, in the gradient too.

use super::{Adam, EarlyStop, Progress, Schedule, cross_entropy, norm_gradient, normalize};
use crate::fit::heads::{LOGIT_SCALE, Task};
use crate::fit::matrix::{Matrix, Workers};
use crate::head::{Temperature, probabilities};
use crate::random::Random;

const EPOCHS: usize = 40;
/// Episodes of an epoch.
const ROUNDS: usize = 4;
const RATE: f64 = 1e-4;
const EPSILON: f64 = 1e-4;
const DECAY: f64 = 0.01;

/// The weights of the attention.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaWeights {
    /// `[dim][dim]`
    pub query: Matrix,
    /// `[dim][dim]`
    pub key: Matrix,
    /// `[dim]`
    pub gate: Vec<f32>,
    /// The gate's bias.
    pub bias: f32,
}

/// Which shots are the tokens of each class, and what the forward pass leaves for the backward one.
struct Pass {
    tokens: Matrix,
    /// First token of each class, and behind the last.
    starts: Vec<usize>,
    queries: Matrix,
    attention: Vec<f32>,
    mixed: Matrix,
    gates: Vec<f32>,
    rows: Matrix,
    norms: Vec<f32>,
}

impl MetaWeights {
    /// Glorot and Bengio's uniform start; the gate of ones.
    fn start(dim: usize, random: &mut Random) -> Self {
        let mut layer = || {
            let mut matrix = Matrix::zeros(dim, dim);
            let bound = (3.0 / dim.max(1) as f32).sqrt();
            matrix.data.copy_from_slice(&random.uniform(dim * dim, bound));
            matrix
        };
        Self { query: layer(), key: layer(), gate: vec![1.0; dim], bias: 1.0 }
    }

    /// `[classes][dim]`: the rows w that these shots give beside `anchors`, which stand for the text.
    #[must_use]
    pub fn rows(
        &self,
        anchors: &Matrix,
        shots: &Matrix,
        labels: &[usize],
        workers: Workers,
    ) -> Matrix {
        self.pass(anchors, shots, labels, workers).rows
    }

    fn pass(&self, anchors: &Matrix, shots: &Matrix, labels: &[usize], workers: Workers) -> Pass {
        let (classes, dim) = (anchors.rows(), anchors.columns());
        let (mut tokens, mut starts) = (Vec::new(), vec![0]);
        for class in 0..classes {
            tokens.push(anchors.row(class));
            let own = shots.iter().zip(labels).filter(|(_, label)| **label == class);
            tokens.extend(own.map(|(shot, _)| shot));
            starts.push(tokens.len());
        }
        let tokens = Matrix::from_rows(tokens.into_iter(), dim);
        let queries = anchors.times_transposed(&self.query, workers);
        // A shot's product with it is the shot's score.
        let sought = queries.times_transposed(&self.key.transposed(), workers);
        let scale = 1.0 / (dim as f32).sqrt();
        let mut attention = vec![0.0; tokens.rows()];
        let (mut mixed, mut rows) = (Matrix::zeros(classes, dim), anchors.clone());
        let mut gates = vec![0.0; classes];
        for class in 0..classes {
            let range = starts[class]..starts[class + 1];
            let scores: Vec<f32> = range
                .clone()
                .map(|j| scale * workers.kernels.dot_f32(sought.row(class), tokens.row(j)))
                .collect();
            let own = &mut attention[range.clone()];
            probabilities(&scores, Temperature::ONE, own);
            for (a, j) in own.iter().zip(range) {
                let mix = mixed.row_mut(class).iter_mut().zip(tokens.row(j));
                mix.for_each(|(mixed, token)| *mixed += a * token);
            }
            let gate = workers.kernels.dot_f32(&self.gate, anchors.row(class)) + self.bias;
            gates[class] = 1.0 / (1.0 + crate::math::exp(-gate));
            let row = rows.row_mut(class).iter_mut().zip(mixed.row(class));
            row.for_each(|(row, mixed)| *row += gates[class] * mixed);
        }
        let norms = normalize(&mut rows);
        Pass { tokens, starts, queries, attention, mixed, gates, rows, norms }
    }

    /// The gradients of query, key, gate and bias for the gradient of the rows.
    fn gradient(
        &self,
        anchors: &Matrix,
        pass: &Pass,
        mut d_rows: Matrix,
        workers: Workers,
    ) -> Self {
        let (classes, dim) = (anchors.rows(), anchors.columns());
        let scale = 1.0 / (dim as f32).sqrt();
        let dot = |a: &[f32], b: &[f32]| workers.kernels.dot_f32(a, b);
        norm_gradient(&mut d_rows, &pass.rows, &pass.norms);
        let mut d_sought = Matrix::zeros(classes, dim);
        let (mut gate, mut bias) = (vec![0.0; dim], 0.0);
        for class in 0..classes {
            let (d, open) = (d_rows.row(class), pass.gates[class]);
            let d_sigmoid = dot(d, pass.mixed.row(class)) * open * (1.0 - open);
            bias += d_sigmoid;
            gate.iter_mut().zip(anchors.row(class)).for_each(|(g, t)| *g += d_sigmoid * t);
            let range = pass.starts[class]..pass.starts[class + 1];
            let d_attention: Vec<f32> =
                range.clone().map(|j| open * dot(d, pass.tokens.row(j))).collect();
            let attention = &pass.attention[range.clone()];
            let mean: f32 = attention.iter().zip(&d_attention).map(|(a, d)| a * d).sum();
            for ((j, a), d) in range.zip(attention).zip(d_attention) {
                let d_score = scale * a * (d - mean);
                let sought = d_sought.row_mut(class).iter_mut().zip(pass.tokens.row(j));
                sought.for_each(|(out, token)| *out += d_score * token);
            }
        }
        let product =
            |d: &Matrix, x: &Matrix| d.transposed().times_transposed(&x.transposed(), workers);
        let d_queries = d_sought.times_transposed(&self.key, workers);
        Self {
            query: product(&d_queries, anchors),
            key: product(&pass.queries, &d_sought),
            gate,
            bias,
        }
    }
}

/// Trains on the task's own classes: in each episode one shot of every class that has two is asked
/// about, the others are the support.
#[must_use]
pub fn train(task: &Task, report: &dyn Fn(Progress)) -> MetaWeights {
    let (workers, dim) = (task.workers, task.shots.keys.columns());
    let mut random = Random::new(task.seed);
    let mut weights = MetaWeights::start(dim, &mut random);
    let anchors = task.anchors();
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); task.classes];
    task.labels.iter().enumerate().for_each(|(i, &label)| by_class[label].push(i));
    let rounds = by_class.iter().map(Vec::len).max().unwrap_or(0);
    if rounds < 2 {
        return weights;
    }
    // A text term that the rows are not made of stays beside them.
    let offset =
        (!task.text_stands()).then(|| task.text_terms(task.shots.text.as_ref(), task.labels.len()));
    let schedule =
        Schedule { rate: RATE, epsilon: EPSILON, decay: DECAY, steps: EPOCHS * ROUNDS.min(rounds) };
    let mut adams = [dim * dim, dim * dim, dim, 1].map(|values| Adam::new(schedule, values));
    let mut stop = EarlyStop::default();
    for epoch in 0..EPOCHS {
        by_class.iter_mut().for_each(|own| random.shuffle(own));
        let (mut sum, episodes) = (0.0, ROUNDS.min(rounds));
        for round in 0..episodes {
            let asked =
                by_class.iter().filter(|own| own.len() > 1).map(|own| own[round % own.len()]);
            let asked: Vec<usize> = asked.collect();
            let support: Vec<usize> =
                (0..task.labels.len()).filter(|i| !asked.contains(i)).collect();
            let label = |&i: &usize| task.labels[i];
            let labels: Vec<usize> = support.iter().map(label).collect();
            let pass = weights.pass(&anchors, &task.shots.keys.pick(&support), &labels, workers);
            let x = task.shots.keys.pick(&asked);
            let mut logits = x.times_transposed(&pass.rows, workers);
            logits.data.iter_mut().for_each(|logit| *logit *= LOGIT_SCALE);
            if let Some(offset) = &offset {
                logits = logits.scaled_plus(1.0, &offset.pick(&asked));
            }
            sum += cross_entropy(&mut logits, &asked.iter().map(label).collect::<Vec<_>>());
            let mut d_rows = logits.transposed().times_transposed(&x.transposed(), workers);
            d_rows.data.iter_mut().for_each(|d| *d *= LOGIT_SCALE);
            let gradient = weights.gradient(&anchors, &pass, d_rows, workers);
            let [query, key, gate, bias] = &mut adams;
            query.step(&mut weights.query.data, &gradient.query.data);
            key.step(&mut weights.key.data, &gradient.key.data);
            gate.step(&mut weights.gate, &gradient.gate);
            bias.step(std::slice::from_mut(&mut weights.bias), &[gradient.bias]);
        }
        let loss = sum / episodes as f64;
        report(Progress { epoch: epoch + 1, epochs: EPOCHS, loss });
        if stop.push(loss) {
            break;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;

    const DIM: usize = 6;

    fn rows(count: usize, seed: u64) -> Matrix {
        let values = Random::new(seed).uniform(count * DIM, 1.0);
        Matrix::from_rows(values.chunks_exact(DIM), DIM).normalized()
    }

    /// The loss of all rows against a fixed direction each, and its gradient.
    #[test]
    fn the_gradient_is_that_of_small_steps() {
        let workers = Workers { kernels: kernels::best(), threads: 1 };
        let (anchors, shots, goal) = (rows(3, 1), rows(7, 2), rows(3, 3));
        let labels = [0, 0, 1, 1, 1, 2, 2];
        let loss = |weights: &MetaWeights| -> f64 {
            let rows = weights.rows(&anchors, &shots, &labels, workers);
            let products = rows.data.iter().zip(&goal.data);
            products.map(|(row, goal)| f64::from(*row) * f64::from(*goal)).sum()
        };
        let mut weights = MetaWeights::start(DIM, &mut Random::new(4));
        weights.gate = Random::new(5).uniform(DIM, 1.0);
        let pass = weights.pass(&anchors, &shots, &labels, workers);
        let gradient = weights.gradient(&anchors, &pass, goal.clone(), workers);
        let check = |name: &str, found: f32, step: &mut dyn FnMut(&mut MetaWeights, f32)| {
            let mut at = |by: f32| {
                let mut moved = weights.clone();
                step(&mut moved, by);
                loss(&moved)
            };
            let expected = (at(0.01) - at(-0.01)) / 0.02;
            assert!((f64::from(found) - expected).abs() < 2e-4, "{name}: {found} {expected}");
        };
        for i in 0..DIM * DIM {
            check("query", gradient.query.data[i], &mut |w, by| w.query.data[i] += by);
            check("key", gradient.key.data[i], &mut |w, by| w.key.data[i] += by);
        }
        for i in 0..DIM {
            check("gate", gradient.gate[i], &mut |w, by| w.gate[i] += by);
        }
        check("bias", gradient.bias, &mut |w, by| w.bias += by);
    }

    #[test]
    fn a_class_without_shots_keeps_its_text() {
        let workers = Workers { kernels: kernels::best(), threads: 1 };
        let (anchors, shots) = (rows(2, 1), rows(2, 2));
        let weights = MetaWeights::start(DIM, &mut Random::new(4));
        let made = weights.rows(&anchors, &shots, &[0, 0], workers);
        let kept = made.row(1).iter().zip(anchors.row(1)).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(kept && made.row(0) != anchors.row(0));
    }
}
