//! Thresholds below which an answer is "unknown".

use super::calibration::quantile;

/// The share of held-out shots that a threshold for "unknown" may refuse.
const REFUSED: f64 = 0.02;
/// What is more probable than not is never refused for its probability: few and easy shots would
/// otherwise ask for certainty.
const MAX_SCORE: f32 = 0.5;
/// With pictures of nothing to compare, a threshold may refuse this share of the known ones.
const MAX_REFUSED: f64 = 0.1;
/// Thresholds that are tried between nothing refused and that share.
const STEPS: usize = 20;

/// Thresholds for "unknown", and how they divide held-out shots from pictures of nothing known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unknown {
    /// Below this probability the answer is "unknown".
    pub score: f32,
    /// Below this cosine with the nearest key the answer is "unknown".
    pub cosine: f32,
    /// Share of held-out shots that are known.
    pub known_pass: f64,
    /// Share of pictures of nothing known that are refused: of shots whose whole class is held out, or
    /// of the negatives that were given.
    pub foreign_refused: f64,
}

/// What the thresholds look at: probability of the answer, cosine with the nearest key.
pub type Seen = (f32, f32);

fn passed(seen: &[Seen], score: f32, cosine: f32) -> f64 {
    let passed = seen.iter().filter(|&&(s, c)| s >= score && c >= cosine).count();
    passed as f64 / seen.len().max(1) as f64
}

/// Thresholds that few of the known pictures fall below.
#[must_use]
pub fn thresholds(known: &[Seen], foreign: &[Seen]) -> Unknown {
    let score = quantile(known.iter().map(|seen| seen.0).collect(), REFUSED, 0.0).min(MAX_SCORE);
    let cosine = quantile(known.iter().map(|seen| seen.1).collect(), REFUSED, -1.0);
    let foreign_refused = 1.0 - passed(foreign, score, cosine);
    Unknown { score, cosine, known_pass: passed(known, score, cosine), foreign_refused }
}

/// Thresholds with which known pictures that pass and negatives that are refused are most, in shares,
/// added up; at most a tenth of the known ones is refused by either threshold.
#[must_use]
pub fn with_negatives(known: &[Seen], negatives: &[Seen]) -> Unknown {
    let candidates = |values: Vec<f32>, none: f32| -> Vec<f32> {
        let share = |step: usize| MAX_REFUSED * step as f64 / STEPS as f64;
        let quantiles = (0..=STEPS).map(|step| quantile(values.clone(), share(step), none));
        std::iter::once(none).chain(quantiles).collect()
    };
    let scores = candidates(known.iter().map(|seen| seen.0).collect(), 0.0);
    let cosines = candidates(known.iter().map(|seen| seen.1).collect(), -1.0);
    let mut best = Unknown { score: 0.0, cosine: -1.0, known_pass: 1.0, foreign_refused: 0.0 };
    for &score in &scores {
        for &cosine in &cosines {
            let known_pass = passed(known, score, cosine);
            let foreign_refused = 1.0 - passed(negatives, score, cosine);
            if known_pass + foreign_refused > best.known_pass + best.foreign_refused {
                best = Unknown { score, cosine, known_pass, foreign_refused };
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negatives_move_the_thresholds_between_them_and_the_known() {
        let known: Vec<Seen> = (0..100).map(|i| (0.4 + i as f32 / 200.0, 0.8)).collect();
        let negatives: Vec<Seen> = (0..50).map(|i| (i as f32 / 120.0, 0.2)).collect();
        let found = with_negatives(&known, &negatives);
        assert_eq!((found.known_pass, found.foreign_refused), (1.0, 1.0), "{found:?}");
        // Nothing tells them apart: nothing is refused.
        let found = with_negatives(&known, &known);
        assert!(found.known_pass + found.foreign_refused < 1.0 + 1e-9);
    }

    #[test]
    fn few_of_the_known_are_refused() {
        let known: Vec<Seen> = (0..100).map(|i| (i as f32 / 100.0, i as f32 / 100.0)).collect();
        let found = thresholds(&known, &known[..2]);
        assert_eq!((found.score, found.cosine), (0.02, 0.02));
        assert_eq!((found.known_pass, found.foreign_refused), (0.98, 1.0));
        assert_eq!(thresholds(&[], &[]).cosine, -1.0);
    }
}
