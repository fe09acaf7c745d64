//! Whether a probability can be believed.

use crate::head::{Temperature, best};
use crate::math;

/// Bins of the expected calibration error.
pub const BINS: usize = 15;

/// Expected calibration error, 0 to 1 (Guo et al. 2017): over [`BINS`] equal bins of confidence, the
/// mean of |accuracy - confidence| weighted by the pictures in a bin.
#[must_use]
pub fn expected_error(answers: impl Iterator<Item = (f32, bool)>) -> f64 {
    let mut bins = [(0u32, 0u32, 0.0f64); BINS];
    for (confidence, correct) in answers {
        // Bins are open below and closed above, as in the paper.
        let bin = (f64::from(confidence) * BINS as f64).ceil() as usize;
        let (count, right, sum) = &mut bins[bin.clamp(1, BINS) - 1];
        *count += 1;
        *right += u32::from(correct);
        *sum += f64::from(confidence);
    }
    let total: u32 = bins.iter().map(|bin| bin.0).sum();
    let gaps = bins.iter().map(|&(_, right, sum)| (f64::from(right) - sum).abs());
    gaps.sum::<f64>() / f64::from(total.max(1))
}

/// A temperature and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// What logits are divided by before the softmax.
    pub temperature: Temperature,
    /// Mean negative log-likelihood of the true classes.
    pub loss: f64,
}

/// How much of the temperature follows the spread of a picture's logits: shares that are tried. At most
/// 15/16, so that something remains where all logits are equal.
const SHARES: [f32; 5] = [0.0, 0.5, 0.75, 0.875, 0.9375];

/// The temperature with the smallest mean negative log-likelihood, the first of equal ones: of each of some
/// shares that follow the spread of the logits (see [`Temperature`]), the best on a grid of eighths of an
/// octave from 1/16 to 4096; 1 without any logits. `logits` is `[labels.len()][classes]`.
///
/// A few shots that all come out right do not prove that nothing ever goes wrong: as in Platt's
/// scaling (1999) the true class is only expected with probability `(n + 1) / (n + 2)` after n shots,
/// and the others share the rest. Otherwise the temperature would fall without end.
#[must_use]
pub fn temperature(logits: &[f32], labels: &[usize], classes: usize) -> Fit {
    let rows = logits.chunks_exact(classes.max(1));
    let mean = rows.map(|row| f64::from(Temperature::spread(row))).sum::<f64>()
        / labels.len().max(1) as f64;
    let shares = SHARES.into_iter().filter(|share| *share == 0.0 || mean > 0.0);
    let fits = shares.map(|share| {
        let slope = if share > 0.0 { share / mean as f32 } else { 0.0 };
        scaled(Temperature { base: 1.0 - share, slope }, logits, labels, classes)
    });
    let better = |best: Fit, fit: Fit| if fit.loss < best.loss { fit } else { best };
    fits.reduce(better).unwrap_or(Fit { temperature: Temperature::ONE, loss: 0.0 })
}

/// [`temperature`] of one value for all pictures, by which settings are compared.
pub(super) fn one_temperature(logits: &[f32], labels: &[usize], classes: usize) -> Fit {
    scaled(Temperature::ONE, logits, labels, classes)
}

/// The multiple of a temperature with the smallest loss.
fn scaled(unit: Temperature, logits: &[f32], labels: &[usize], classes: usize) -> Fit {
    if labels.is_empty() {
        return Fit { temperature: Temperature::ONE, loss: 0.0 };
    }
    let doubt = match classes {
        0 | 1 => 0.0,
        _ => 1.0 / (labels.len() as f64 + 2.0),
    };
    let value = |eighths: i32| {
        let times = (eighths as f32 / 8.0).exp2();
        Temperature { base: unit.base * times, slope: unit.slope * times }
    };
    let loss = |eighths: i32| {
        let rows = logits.chunks_exact(classes.max(1)).zip(labels);
        let losses = rows.map(|(row, &label)| loss(row, label, value(eighths).at(row), doubt));
        losses.sum::<f64>() / labels.len() as f64
    };
    // The loss is convex in what the unit is divided by, so that it falls and then rises along the grid.
    let (mut low, mut high) = (-32i32, 96i32);
    while low < high {
        let middle = (low + high).div_euclid(2);
        if loss(middle) <= loss(middle + 1) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Fit { temperature: value(low), loss: loss(low) }
}

/// Negative log-likelihood of a class that is the true one with probability `1 - doubt`, while the
/// others share the rest.
pub(super) fn loss(logits: &[f32], label: usize, temperature: f32, doubt: f64) -> f64 {
    // ln of the softmax's denominator by its largest term, which cannot underflow.
    let Some(top) = best(logits) else { return 0.0 };
    let scaled = |logit: f32| f64::from(logit) / f64::from(temperature);
    let power = |&logit: &f32| f64::from(math::exp((logit - logits[top]) / temperature));
    let denominator = scaled(logits[top]) + logits.iter().map(power).sum::<f64>().ln();
    let others = logits.iter().map(|&logit| scaled(logit)).sum::<f64>() - scaled(logits[label]);
    let others = doubt * others / (logits.len().max(2) - 1) as f64;
    denominator - (1.0 - doubt) * scaled(logits[label]) - others
}

/// The value that a share of `values` lies below; `otherwise` of none.
pub(super) fn quantile(mut values: Vec<f32>, share: f64, otherwise: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let at = (share * values.len() as f64).floor() as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::probabilities;

    #[test]
    fn answers_as_sure_as_they_are_right_have_no_error() {
        let answers = (0..100).map(|i| (0.8, i % 5 != 0));
        assert!(expected_error(answers) < 1e-7);
        let boasting = (0..100).map(|i| (0.99, i % 2 == 0));
        assert!((expected_error(boasting) - 0.49).abs() < 1e-6);
        assert_eq!(expected_error([].into_iter()), 0.0);
    }

    #[test]
    fn errors_of_bins_add_up_by_their_pictures() {
        // 3 pictures at 0.5 of which 0 are right, 1 picture at 1.0 that is right.
        let answers = [(0.5, false), (0.5, false), (0.5, false), (1.0, true)];
        assert!((expected_error(answers.into_iter()) - 0.375).abs() < 1e-7);
    }

    #[test]
    fn the_temperature_that_made_the_labels_is_found() {
        // Logit gap g is right with probability sigmoid(g / 4).
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for gap in 0..24 {
            let right = (1000.0 / (1.0 + (-f64::from(gap) / 4.0).exp())).round() as usize;
            for i in 0..1000 {
                logits.extend([gap as f32, 0.0]);
                labels.push(usize::from(i >= right));
            }
        }
        let found = temperature(&logits, &labels, 2).temperature;
        assert!((found.base / 4.0).log2().abs() < 0.1 && found.slope == 0.0, "{found:?}");
        assert_eq!(temperature(&[], &[], 2).temperature, Temperature::ONE);
    }

    /// Pictures whose logits differ by a factor of ten are equally sure: with one temperature half of them
    /// would seem to be guesses.
    #[test]
    fn pictures_of_any_unit_are_believed_alike() {
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for unit in [1.0, 10.0] {
            for i in 0..200 {
                logits.extend([unit, 0.0, 0.0]);
                labels.push(if i % 5 == 0 { 1 + i / 5 % 2 } else { 0 });
            }
        }
        let Fit { temperature: found, loss } = temperature(&logits, &labels, 3);
        assert!(loss < one_temperature(&logits, &labels, 3).loss - 0.05, "{found:?}");
        for row in [&logits[..3], &logits[logits.len() - 3..]] {
            let mut p = [0.0; 3];
            probabilities(row, found, &mut p);
            assert!((p[0] - 0.8).abs() < 0.1, "{p:?} at {found:?}");
        }
        let mut p = [0.0; 3];
        probabilities(&logits[..3], one_temperature(&logits, &labels, 3).temperature, &mut p);
        assert!(p[0] < 0.5, "{p:?}");
    }

    #[test]
    fn shots_that_all_come_out_right_leave_some_doubt() {
        // 48 shots of 3 classes, each right by a gap of 40: sure to 49/50, not to 1.
        let logits: Vec<f32> = [40.0, 0.0, 0.0].repeat(48);
        let temperature = temperature(&logits, &[0; 48], 3).temperature;
        let mut p = [0.0; 3];
        probabilities(&logits[..3], temperature, &mut p);
        assert!((p[0] - 0.98).abs() < 0.01, "{p:?} at {temperature}");
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile((0..100).map(|i| i as f32).collect(), 0.02, 9.0), 2.0);
        assert_eq!(quantile(vec![3.0], 1.0, 9.0), 3.0);
        assert_eq!(quantile(vec![], 0.5, 9.0), 9.0);
    }
}
