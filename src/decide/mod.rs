//! From probabilities to an answer: "unknown" where nothing fits, and a stable label for a stream.

mod stabilizer;

pub use stabilizer::{Rules, Stabilizer, Stable};

use crate::asset::Calibration;
use crate::head::best;

/// The answer for one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The most probable class; none when there are no classes.
    pub class: Option<usize>,
    /// Its probability.
    pub score: f32,
    /// Whether the picture resembles nothing that was learned: `class` is then only the least bad
    /// guess.
    pub unknown: bool,
}

impl Decision {
    /// Decides by the asset's thresholds. `nearest` is the cosine of the nearest key, none where the
    /// head has no keys (only the probability counts then).
    #[must_use]
    pub fn new(probabilities: &[f32], nearest: Option<f32>, thresholds: &Calibration) -> Self {
        let class = best(probabilities);
        let score = class.map_or(0.0, |class| probabilities[class]);
        let far = nearest.is_some_and(|cosine| cosine < thresholds.unknown_cosine);
        let unknown = class.is_none() || score < thresholds.unknown_score || far;
        Self { class, score, unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Calibration = Calibration {
        temperature: 1.0,
        unknown_score: 0.5,
        unknown_cosine: 0.4,
        ece: 0.0,
        samples: 0,
    };

    #[test]
    fn a_probable_class_near_to_a_key_is_known() {
        let decision = Decision::new(&[0.1, 0.7, 0.2], Some(0.8), &THRESHOLDS);
        assert_eq!(decision, Decision { class: Some(1), score: 0.7, unknown: false });
    }

    #[test]
    fn an_improbable_class_is_unknown() {
        assert!(Decision::new(&[0.4, 0.3, 0.3], Some(0.8), &THRESHOLDS).unknown);
    }

    #[test]
    fn far_from_every_key_is_unknown_however_probable() {
        assert!(Decision::new(&[0.99, 0.01], Some(0.3), &THRESHOLDS).unknown);
        assert!(!Decision::new(&[0.99, 0.01], None, &THRESHOLDS).unknown);
    }

    #[test]
    fn no_class_is_unknown() {
        let decision = Decision::new(&[], None, &THRESHOLDS);
        assert_eq!(decision, Decision { class: None, score: 0.0, unknown: true });
    }
}
