use super::RuleError;
use super::error::range;
use crate::asset::Calibration;

/// When one picture's answer is believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Below this probability the answer is "unknown"; 0 never.
    pub unknown_score: f32,
    /// Below this cosine with the nearest key the answer is "unknown"; -1 never.
    pub unknown_cosine: f32,
    /// The answer is "unknown" when the next best answer is less than this behind; 0 never.
    pub margin: f32,
}

impl Default for Thresholds {
    /// Every picture gets a class.
    fn default() -> Self {
        Self { unknown_score: 0.0, unknown_cosine: -1.0, margin: 0.0 }
    }
}

impl From<&Calibration> for Thresholds {
    /// What was found when the asset was made; a calibration knows no margin.
    fn from(calibration: &Calibration) -> Self {
        let &Calibration { unknown_score, unknown_cosine, .. } = calibration;
        Self { unknown_score, unknown_cosine, ..Self::default() }
    }
}

impl Thresholds {
    /// Refuses values that mean nothing.
    ///
    /// # Errors
    /// [`RuleError::Range`] names the field.
    pub fn check(&self) -> Result<(), RuleError> {
        range("unknown_score", self.unknown_score, 0.0, 1.0)?;
        range("unknown_cosine", self.unknown_cosine, -1.0, 1.0)?;
        range("margin", self.margin, 0.0, 1.0)
    }
}

/// What holds for one class alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassRule {
    /// In place of [`Thresholds::unknown_score`].
    pub score: Option<f32>,
    /// In place of [`Rules::enter`](super::Rules::enter).
    pub enter: Option<f32>,
    /// The class takes part and is never an answer: "unknown" is (an empty desk, a wall).
    pub negative: bool,
}

impl ClassRule {
    /// Refuses values that mean nothing, and an `enter` below the `leave` of `rules`.
    ///
    /// # Errors
    /// What is wrong and how to write it; the caller knows the class's name.
    pub fn check(&self, rules: &super::Rules) -> Result<(), RuleError> {
        if let Some(score) = self.score {
            range("score", score, 0.0, 1.0)?;
        }
        self.enter.map_or(Ok(()), |enter| super::Rules { enter, ..*rules }.check())
    }
}

/// The answer for one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The most probable class that is not negative; none when there is none.
    pub class: Option<usize>,
    /// Its probability.
    pub score: f32,
    /// How far it is ahead of the next best answer; below 0 when "unknown" is the better one.
    pub margin: f32,
    /// Whether the picture resembles nothing that was learned: `class` is then only the least bad
    /// guess.
    pub unknown: bool,
}

impl Default for Decision {
    /// Of no picture: nothing is known.
    fn default() -> Self {
        Self { class: None, score: 0.0, margin: 0.0, unknown: true }
    }
}

impl Decision {
    /// Decides by `thresholds` and the rules of `classes`, in the order of the classes; a class behind
    /// their end has none. `nearest` is the cosine of the nearest key, none where the head has no
    /// keys (only the probability counts then).
    ///
    /// The answers that compete are the classes that are not negative, each with its probability, and
    /// "unknown" with that of all negative ones together. So the most probable answer wins, two
    /// negative classes that are equally probable make nothing unsure, and cutting one negative class
    /// into several changes nothing.
    #[must_use]
    pub fn new(
        probabilities: &[f32],
        nearest: Option<f32>,
        thresholds: &Thresholds,
        classes: &[ClassRule],
    ) -> Self {
        let rule = |class: usize| classes.get(class).copied().unwrap_or_default();
        let (mut best, mut second, mut negative) = (None, 0.0f32, 0.0f32);
        for (class, &p) in probabilities.iter().enumerate() {
            // what is not a number is not probable
            let p = p.max(0.0);
            match best {
                _ if rule(class).negative => negative += p,
                Some((_, score)) if p <= score => second = second.max(p),
                _ => {
                    second = best.map_or(0.0, |(_, score)| score);
                    best = Some((class, p));
                }
            }
        }
        let Some((class, score)) = best else { return Self::default() };
        let margin = score - second.max(negative);
        let known = score > negative
            && score >= rule(class).score.unwrap_or(thresholds.unknown_score)
            && margin >= thresholds.margin
            && nearest.is_none_or(|cosine| cosine >= thresholds.unknown_cosine);
        Self { class: Some(class), score, margin, unknown: !known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds =
        Thresholds { unknown_score: 0.5, unknown_cosine: 0.4, margin: 0.0 };
    const NEGATIVE: ClassRule = ClassRule { score: None, enter: None, negative: true };
    const PLAIN: ClassRule = ClassRule { negative: false, ..NEGATIVE };

    fn decide(probabilities: &[f32], classes: &[ClassRule]) -> Decision {
        Decision::new(probabilities, Some(0.8), &THRESHOLDS, classes)
    }

    #[test]
    fn a_probable_class_near_to_a_key_is_known() {
        let decision = decide(&[0.125, 0.75, 0.125], &[]);
        let expected = Decision { class: Some(1), score: 0.75, margin: 0.625, unknown: false };
        assert_eq!(decision, expected);
    }

    #[test]
    fn an_improbable_class_is_unknown() {
        assert!(decide(&[0.4, 0.3, 0.3], &[]).unknown);
    }

    #[test]
    fn far_from_every_key_is_unknown_however_probable() {
        assert!(Decision::new(&[0.99, 0.01], Some(0.3), &THRESHOLDS, &[]).unknown);
        assert!(!Decision::new(&[0.99, 0.01], None, &THRESHOLDS, &[]).unknown);
    }

    #[test]
    fn no_class_is_unknown() {
        assert_eq!(decide(&[], &[]), Decision::default());
        assert_eq!(decide(&[0.9, 0.1], &[NEGATIVE; 2]), Decision::default());
    }

    #[test]
    fn two_classes_close_together_are_unknown() {
        let thresholds = Thresholds { margin: 0.25, ..THRESHOLDS };
        let unknown = |p: &[f32]| Decision::new(p, None, &thresholds, &[]).unknown;
        assert!(unknown(&[0.53, 0.0, 0.47]) && unknown(&[0.47, 0.53]));
        assert!(!unknown(&[0.625, 0.375]) && !unknown(&[0.1, 0.3, 0.6]));
    }

    #[test]
    fn a_negative_class_takes_part_and_is_never_the_answer() {
        let decision = decide(&[0.3, 0.7], &[PLAIN, NEGATIVE]);
        assert_eq!((decision.class, decision.unknown), (Some(0), true));
        assert!(decision.margin < 0.0);
        // the rules of the negative class come first here, and the second class has none
        assert!(!decide(&[0.3, 0.7], &[NEGATIVE]).unknown);
    }

    #[test]
    fn negative_classes_count_together_and_not_against_each_other() {
        let thresholds = Thresholds { unknown_score: 0.0, margin: 0.1, ..THRESHOLDS };
        let classes = [PLAIN, NEGATIVE, NEGATIVE];
        let decide = |p: &[f32]| Decision::new(p, None, &thresholds, &classes);
        assert!(!decide(&[0.6, 0.2, 0.2]).unknown);
        let outvoted = decide(&[0.4, 0.3, 0.3]);
        assert!(outvoted.unknown && (outvoted.margin + 0.2).abs() < 1e-6);
        let one = Decision::new(&[0.4, 0.6], None, &thresholds, &classes);
        assert_eq!((one.class, one.unknown), (outvoted.class, outvoted.unknown));
    }

    #[test]
    fn a_class_has_its_own_threshold() {
        let strict = ClassRule { score: Some(0.9), ..PLAIN };
        let lax = ClassRule { score: Some(0.2), ..PLAIN };
        assert!(decide(&[0.8, 0.1], &[strict]).unknown);
        assert!(!decide(&[0.1, 0.8], &[strict]).unknown);
        assert!(!decide(&[0.3, 0.2], &[lax]).unknown);
    }

    #[test]
    fn what_is_not_a_number_is_never_believed() {
        let lax = Thresholds::default();
        assert!(Decision::new(&[f32::NAN; 2], None, &lax, &[]).unknown);
        assert!(Decision::new(&[0.9, 0.1], Some(f32::NAN), &lax, &[]).unknown);
        let decision = Decision::new(&[f32::NAN, 0.9], None, &lax, &[NEGATIVE]);
        assert_eq!((decision.class, decision.unknown), (Some(1), false));
    }

    #[test]
    fn an_assets_calibration_gives_the_thresholds() {
        let calibration = Calibration {
            temperature: 1.0,
            temperature_slope: 0.0,
            unknown_score: 0.5,
            unknown_cosine: 0.4,
            ece: 0.0,
            samples: 0,
        };
        assert_eq!(Thresholds::from(&calibration), THRESHOLDS);
        assert_eq!(THRESHOLDS.check(), Ok(()));
    }

    #[test]
    fn thresholds_that_mean_nothing_are_refused_by_name() {
        let refused = |thresholds: Thresholds| match thresholds.check() {
            Err(RuleError::Range { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(Thresholds { unknown_score: 1.5, ..THRESHOLDS }), "unknown_score");
        assert_eq!(refused(Thresholds { unknown_cosine: -2.0, ..THRESHOLDS }), "unknown_cosine");
        assert_eq!(refused(Thresholds { margin: f32::NAN, ..THRESHOLDS }), "margin");
    }

    #[test]
    fn a_classs_rules_are_checked_with_those_of_the_stream() {
        let rules = super::super::Rules::default();
        assert_eq!(ClassRule::default().check(&rules), Ok(()));
        assert_eq!(ClassRule { enter: Some(0.9), ..PLAIN }.check(&rules), Ok(()));
        let below = ClassRule { enter: Some(0.3), ..PLAIN }.check(&rules);
        assert_eq!(below, Err(RuleError::LeaveAboveEnter { enter: 0.3, leave: rules.leave }));
        assert!(ClassRule { score: Some(f32::NAN), ..PLAIN }.check(&rules).is_err());
    }
}
