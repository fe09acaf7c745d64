use core::cmp::Ordering;
use core::fmt;

use crate::asset::Asset;
use crate::math;

/// What logits are divided by before the softmax: `base + slope * (greatest logit - mean logit)`.
///
/// Affinities are exponentials: the logits of a picture that is near to its shots are a hundred times
/// those of one that is not, and with one temperature for both (Guo et al. 2017, arXiv 1706.04599) the
/// second seems to be a guess, which it is not. A temperature that depends on the picture (parameterized
/// temperature scaling, Tomani et al. 2022, arXiv 2102.12182) tells how far the best stands out from the
/// others, in whatever unit. The order of the classes stays as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// Above 0.
    pub base: f32,
    /// 0 or more.
    pub slope: f32,
}

impl Temperature {
    /// Softmax as it is.
    pub const ONE: Self = Self { base: 1.0, slope: 0.0 };

    /// The asset's; [`ONE`](Self::ONE) without calibration.
    #[must_use]
    pub fn of(asset: &Asset<'_>) -> Self {
        asset.calibration.map_or(Self::ONE, |calibration| calibration.temperature())
    }

    /// For the picture with these logits; minus infinity is no logit.
    #[must_use]
    pub fn at(self, logits: &[f32]) -> f32 {
        if self.slope == 0.0 {
            return self.base;
        }
        math::mul_add(self.slope, Self::spread(logits), self.base)
    }

    /// How far the greatest logit is above their mean, in the order of the classes; 0 of none.
    #[must_use]
    pub fn spread(logits: &[f32]) -> f32 {
        let (mut max, mut sum, mut count) = (f32::NEG_INFINITY, 0.0, 0u32);
        for &logit in logits.iter().filter(|logit| **logit != f32::NEG_INFINITY) {
            max = max.max(logit);
            sum += logit;
            count += 1;
        }
        if count == 0 { 0.0 } else { max - sum / count as f32 }
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, slope } = self;
        match slope {
            0.0 => write!(f, "{base}"),
            _ => write!(f, "{base} + {slope} (greatest - mean logit)"),
        }
    }
}

/// `out = softmax(logits / temperature)`, summed in the order of the classes. A class with a logit of
/// minus infinity gets 0; if all have, all get 0.
pub fn probabilities(logits: &[f32], temperature: Temperature, out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let temperature = temperature.at(logits);
    let mut sum = 0.0;
    for (p, &logit) in out.iter_mut().zip(logits) {
        *p = if logit == f32::NEG_INFINITY { 0.0 } else { math::exp((logit - max) / temperature) };
        sum += *p;
    }
    if sum > 0.0 {
        out.iter_mut().for_each(|p| *p /= sum);
    }
}

/// The class with the largest score; the first of equal ones, none of none.
#[must_use]
pub fn best(scores: &[f32]) -> Option<usize> {
    let largest =
        |best: (usize, f32), (class, &score): (usize, &f32)| match score.partial_cmp(&best.1) {
            Some(Ordering::Greater) => (class, score),
            _ => best,
        };
    let first = *scores.first()?;
    Some(scores.iter().enumerate().fold((0, first), largest).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_follow_the_temperature() {
        let logits = [2.0, 0.0, f32::NEG_INFINITY, 1.0];
        let mut sharp = [0.0; 4];
        let mut soft = [0.0; 4];
        let flat = |base| Temperature { base, slope: 0.0 };
        probabilities(&logits, flat(0.5), &mut sharp);
        probabilities(&logits, flat(5.0), &mut soft);
        for p in [sharp, soft] {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert_eq!(p[2], 0.0);
        }
        assert!(sharp[0] > 0.8 && soft[0] < 0.5);
        let e = |x: f64| libm::exp(x);
        let expected = e(4.0) / (e(4.0) + e(0.0) + e(2.0));
        assert!((f64::from(sharp[0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let mut p = [0.0; 2];
        probabilities(&[3e38, -3e38], Temperature::ONE, &mut p);
        assert_eq!(p, [1.0, 0.0]);
    }

    #[test]
    fn a_slope_makes_logits_comparable_whatever_their_unit() {
        let none = f32::NEG_INFINITY;
        let logits = [7.0, none, 1.0, 1.0];
        assert_eq!(Temperature::spread(&logits), 4.0);
        assert_eq!(Temperature { base: 1.0, slope: 0.25 }.at(&logits), 2.0);
        let [mut small, mut large] = [[0.0; 4]; 2];
        let relative = Temperature { base: 1e-6, slope: 0.5 };
        probabilities(&logits, relative, &mut small);
        probabilities(&logits.map(|logit| 100.0 * logit + 9.0), relative, &mut large);
        for (a, b) in small.into_iter().zip(large) {
            assert!((a - b).abs() < 1e-5, "{small:?} {large:?}");
        }
        assert_eq!([Temperature::spread(&[]), Temperature::spread(&[none; 2])], [0.0; 2]);
        let mut equal = [0.0; 2];
        probabilities(&[5.0; 2], relative, &mut equal);
        assert_eq!(equal, [0.5; 2]);
    }

    #[test]
    fn of_equal_scores_the_first_class_wins() {
        assert_eq!(best(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[f32::NEG_INFINITY; 2]), Some(0));
    }
}
