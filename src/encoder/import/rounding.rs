//! Rounding a layer's weights so that their errors cancel where the inputs vary together.
//!
//! Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
//! Transformers" (2022), in the form of Babai's nearest plane: with the inputs' covariance
//! `H = R Rᵀ` (R upper triangular) the error of a row is `Σᵢ Rᵢᵢ² (tᵢ - qᵢ)²`, where `tᵢ` is the
//! weight plus what the errors of the weights before it ask it to make up for.

use rayon::prelude::*;

/// Greatest code; the kernels rely on -128 not being there.
const MAX_CODE: f64 = 127.0;
/// Share of the mean variance added to each variance, so that `H` can be factorized.
const DAMPING: f64 = 0.01;
/// Steps that are tried for each row, as a share of the one that just holds its largest weight.
const SHARES: [f64; 6] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75];

/// Integer weights, `[rows][depth]`, and what a unit of each row is worth.
pub(super) struct Rounded {
    pub(super) codes: Vec<i8>,
    pub(super) unit: Vec<f64>,
}

/// Rounds `weights`, `[rows][depth]`, given the covariance of their inputs, `[depth][depth]`.
pub(super) fn with_covariance(weights: &[f64], covariance: &[f64], depth: usize) -> Rounded {
    let factor = Factor::of(covariance, depth);
    collect(weights.par_chunks_exact(depth).map(|row| factor.round(row)).collect())
}

/// [`with_covariance`] where each row has inputs of its own: the covariances are `[count][depth][depth]`,
/// and the rows take them in turn.
pub(super) fn with_covariances(weights: &[f64], covariances: &[f64], depth: usize) -> Rounded {
    let factors: Vec<Factor> =
        covariances.par_chunks_exact(depth * depth).map(|own| Factor::of(own, depth)).collect();
    let rows = weights.par_chunks_exact(depth).enumerate();
    collect(rows.map(|(n, row)| factors[n % factors.len()].round(row)).collect())
}

/// Rounds each weight, `[rows][depth]`, to the nearest code, with the step of each row that makes the
/// error least for inputs with these mean squares.
pub(super) fn nearest(weights: &[f64], squares: &[f64], depth: usize) -> Rounded {
    let rows = weights.par_chunks_exact(depth).map(|row| {
        let greatest = row.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        if greatest == 0.0 {
            return (vec![0; depth], 1.0);
        }
        let code = |w: f64, unit: f64| (w / unit).round().clamp(-MAX_CODE, MAX_CODE);
        let error = |unit: f64| -> f64 {
            let each = row.iter().zip(squares);
            each.map(|(w, square)| square * (w - unit * code(*w, unit)).powi(2)).sum()
        };
        let units = SHARES.map(|share| share * greatest / MAX_CODE);
        let best = units.into_iter().min_by(|a, b| error(*a).total_cmp(&error(*b)));
        let unit = best.unwrap_or(greatest / MAX_CODE);
        (row.iter().map(|w| code(*w, unit) as i8).collect(), unit)
    });
    collect(rows.collect())
}

fn collect(rows: Vec<(Vec<i8>, f64)>) -> Rounded {
    Rounded {
        codes: rows.iter().flat_map(|(codes, _)| codes).copied().collect(),
        unit: rows.iter().map(|(_, unit)| *unit).collect(),
    }
}

/// A covariance as rows are rounded with it.
struct Factor {
    /// The inputs in the order in which their weights are rounded.
    order: Vec<usize>,
    /// [`factorize`]'s.
    lines: Vec<f64>,
}

impl Factor {
    fn of(covariance: &[f64], depth: usize) -> Self {
        // The inputs that vary most come first: the others make up for their errors.
        let mut order: Vec<usize> = (0..depth).collect();
        order.sort_by(|a, b| covariance[b * depth + b].total_cmp(&covariance[a * depth + a]));
        let trace: f64 = (0..depth).map(|i| covariance[i * depth + i]).sum();
        // A layer whose inputs never vary is rounded as if they varied alike.
        let damping = if trace > 0.0 { DAMPING * trace / depth as f64 } else { 1.0 };
        let lines = factorize(covariance, &order, damping);
        Self { order, lines }
    }

    /// Codes of a row, with the step that makes the error of its result least, and the step.
    fn round(&self, row: &[f64]) -> (Vec<i8>, f64) {
        let greatest = row.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        if greatest == 0.0 {
            return (vec![0; row.len()], 1.0);
        }
        let mut best: Option<(f64, Vec<i8>, f64)> = None;
        for share in SHARES {
            let unit = share * greatest / MAX_CODE;
            let (codes, error) = nearest_plane(row, &self.order, &self.lines, unit);
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, codes, unit));
            }
        }
        best.map_or_else(|| (vec![0; row.len()], 1.0), |(_, codes, unit)| (codes, unit))
    }
}

/// Rᵀ (lower triangular, rows of growing length, one after the other) of the covariance in `order`.
fn factorize(covariance: &[f64], order: &[usize], damping: f64) -> Vec<f64> {
    let n = order.len();
    // R, from its last column to its first.
    let mut r = vec![vec![0.0; n]; n];
    for i in (0..n).rev() {
        let (above, rest) = r.split_at_mut(i);
        let row = &mut rest[0];
        let variance = covariance[order[i] * n + order[i]] + damping;
        let left = variance - dot(&row[i + 1..], &row[i + 1..]);
        // Damping keeps this positive; the guard is for rounding.
        let diagonal = left.max(damping * 1e-6).sqrt();
        row[i] = diagonal;
        let row = &rest[0];
        above.par_iter_mut().enumerate().for_each(|(j, other)| {
            let covariance = covariance[order[j] * n + order[i]];
            other[i] = (covariance - dot(&other[i + 1..], &row[i + 1..])) / diagonal;
        });
    }
    (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| r[j][i]).collect()
}

/// A sum in four interleaved lanes, always in the same order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail
}

/// Codes of one row in steps of `unit`, and the squared error of its result.
fn nearest_plane(row: &[f64], order: &[usize], factor: &[f64], unit: f64) -> (Vec<i8>, f64) {
    let mut codes = vec![0; row.len()];
    let mut errors: Vec<f64> = Vec::with_capacity(row.len());
    let mut total = 0.0;
    let mut start = 0;
    for (i, at) in order.iter().enumerate() {
        let line = &factor[start..=start + i];
        start += i + 1;
        let wanted = row[*at] + dot(&line[..i], &errors) / line[i];
        let code = (wanted / unit).round().clamp(-MAX_CODE, MAX_CODE);
        let missed = line[i] * (wanted - code * unit);
        total += missed * missed;
        errors.push(row[*at] - code * unit);
        codes[*at] = code as i8;
    }
    (codes, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared error of the rows' results under the covariance.
    fn error(weights: &[f64], rounded: &Rounded, covariance: &[f64], depth: usize) -> f64 {
        let mut total = 0.0;
        for (n, row) in weights.chunks_exact(depth).enumerate() {
            let codes = &rounded.codes[n * depth..][..depth];
            let e: Vec<f64> =
                row.iter().zip(codes).map(|(w, q)| w - f64::from(*q) * rounded.unit[n]).collect();
            for i in 0..depth {
                total += e[i] * dot(&covariance[i * depth..][..depth], &e);
            }
        }
        total
    }

    /// A linear congruential generator: the same numbers everywhere.
    fn numbers(count: usize) -> Vec<f64> {
        let mut x = 1u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(x) / f64::from(u32::MAX) - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn errors_cancel_where_inputs_vary_together() {
        let (depth, rows) = (13, 5);
        let basis = numbers(depth * depth);
        let mut covariance = vec![0.0; depth * depth];
        for i in 0..depth {
            for j in 0..depth {
                let shared = dot(&basis[i * depth..][..depth], &basis[j * depth..][..depth]);
                covariance[i * depth + j] = shared + 3.0;
            }
        }
        let weights = numbers(rows * depth);
        let plain = Rounded {
            unit: weights
                .chunks_exact(depth)
                .map(|row| row.iter().fold(0.0f64, |m, w| m.max(w.abs())) / MAX_CODE)
                .collect::<Vec<f64>>(),
            codes: Vec::new(),
        };
        let codes = weights.iter().enumerate().map(|(at, w)| (w / plain.unit[at / depth]).round());
        let plain = Rounded { codes: codes.map(|q| q as i8).collect(), ..plain };
        let better = with_covariance(&weights, &covariance, depth);
        let (plain, better) = (
            error(&weights, &plain, &covariance, depth),
            error(&weights, &better, &covariance, depth),
        );
        assert!(better < 0.5 * plain, "{better} against {plain}");
    }

    #[test]
    fn rows_with_inputs_of_their_own_are_rounded_as_if_they_were_alone() {
        let (depth, rows) = (4, 6);
        let weights = numbers(rows * depth);
        let mut covariances = vec![0.0; 3 * depth * depth];
        for (own, numbers) in covariances.chunks_exact_mut(16).zip(numbers(48).chunks_exact(16)) {
            for (at, out) in own.iter_mut().enumerate() {
                *out = dot(&numbers[at / 4 * 4..][..4], &numbers[at % 4 * 4..][..4]);
            }
        }
        let all = with_covariances(&weights, &covariances, depth);
        for n in 0..rows {
            let row = &weights[n * depth..][..depth];
            let alone = with_covariance(row, &covariances[n % 3 * 16..][..16], depth);
            assert_eq!(all.codes[n * depth..][..depth], alone.codes);
            assert_eq!(all.unit[n], alone.unit[0]);
        }
    }

    #[test]
    fn a_row_of_zeros_and_inputs_that_never_vary_are_no_trouble() {
        let rounded = with_covariance(&[0.0, 0.0, 1.0, -0.5], &[0.0; 4], 2);
        assert_eq!(rounded.codes[..2], [0, 0]);
        assert!(rounded.unit.iter().all(|unit| unit.is_finite() && *unit > 0.0));
    }
}
