use core::cmp::Ordering;

use crate::math;

/// `out = softmax(logits / temperature)`, summed in the order of the classes. A class with a logit of
/// minus infinity gets 0; if all have, all get 0.
pub fn probabilities(logits: &[f32], temperature: f32, out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
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
        probabilities(&logits, 0.5, &mut sharp);
        probabilities(&logits, 5.0, &mut soft);
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
        probabilities(&[3e38, -3e38], 1.0, &mut p);
        assert_eq!(p, [1.0, 0.0]);
    }

    #[test]
    fn of_equal_scores_the_first_class_wins() {
        assert_eq!(best(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[f32::NEG_INFINITY; 2]), Some(0));
    }
}
