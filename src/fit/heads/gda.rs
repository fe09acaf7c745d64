//! Gaussian discriminant analysis with one covariance (Wang et al., "A Hard-to-Beat Baseline for
//! Training-Free CLIP-based Adaptation", ICLR 2024, arXiv 2402.04087), in closed form:
//!
//! ```text
//! P = D ((n - 1) Σ + tr(Σ) I)^-1      W_c = P μ_c      b_c = -log C - μ_c P μ_c / 2
//! ```
//!
//! with Σ the covariance of the n shots around the means μ of their classes.

use super::super::matrix::{Matrix, solve};
use super::model::{LinearTerm, Task};

/// W and b; the logits' share of it, alpha, is left to the caller. Where no class has a second shot
/// there is no spread to measure, and P is the identity.
#[must_use]
pub fn fit(task: &Task) -> LinearTerm {
    let (n, dim) = (task.shots.keys.rows(), task.shots.keys.columns());
    let means = task.means();
    let mut rest = task.shots.keys.clone();
    for (i, &label) in task.labels.iter().enumerate() {
        rest.row_mut(i).iter_mut().zip(means.row(label)).for_each(|(value, mean)| *value -= mean);
    }
    // torch.cov takes out the mean over all, which is zero here.
    let columns = rest.transposed();
    let scatter = columns.times_transposed(&columns, task.workers);
    let mut matrix: Vec<f64> = scatter.data.iter().map(|&value| f64::from(value)).collect();
    let trace = (0..dim).map(|i| matrix[i * dim + i]).sum::<f64>() / (n as f64 - 1.0).max(1.0);
    let mut weights: Vec<f64> = means.data.iter().map(|&value| f64::from(value)).collect();
    if trace > 0.0 {
        (0..dim).for_each(|i| matrix[i * dim + i] += trace);
        // Positive definite by its ridge.
        if solve(&mut matrix, dim, &mut weights) {
            weights.iter_mut().for_each(|weight| *weight *= dim as f64);
        }
    }
    let log_classes = (task.classes as f64).ln();
    let quadratic = |(mean, row): (&[f32], &[f64])| {
        let product: f64 = mean.iter().zip(row).map(|(&m, w)| f64::from(m) * w).sum();
        (-log_classes - product / 2.0) as f32
    };
    let has: Vec<bool> = task.counts().into_iter().map(|count| count > 0).collect();
    let rows = means.iter().zip(weights.chunks_exact(dim.max(1)));
    let bias = rows.zip(&has).map(|(row, &has)| if has { quadratic(row) } else { 0.0 }).collect();
    let mut rows = Matrix::zeros(task.classes, dim);
    rows.data.iter_mut().zip(&weights).for_each(|(out, &weight)| *out = weight as f32);
    LinearTerm { has, weights: rows, bias }
}
