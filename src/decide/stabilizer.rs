use core::borrow::BorrowMut;
use core::time::Duration;

use super::Decision;
use crate::head::best;
use crate::math;

/// How calm a stream's label is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Time in which a picture's weight falls to 1/e; zero looks at each picture alone.
    pub memory: Duration,
    /// A class becomes the label when its smoothed probability reaches this.
    pub enter: f32,
    /// The label goes when its smoothed probability falls below this; at most `enter`.
    pub leave: f32,
}

impl Default for Rules {
    fn default() -> Self {
        Self { memory: Duration::from_millis(500), enter: 0.6, leave: 0.4 }
    }
}

/// Smooths probabilities over time and keeps a label until it is clearly gone. Reads no clock: the
/// same pictures with the same times give the same labels.
pub struct Stabilizer<S> {
    rules: Rules,
    smoothed: S,
    last: Option<Duration>,
    label: Option<usize>,
}

impl<S: BorrowMut<[f32]>> Stabilizer<S> {
    /// A stabilizer that has seen nothing; `smoothed` has one value for each class and is overwritten.
    #[must_use]
    pub fn new(rules: Rules, mut smoothed: S) -> Self {
        smoothed.borrow_mut().fill(0.0);
        Self { rules, smoothed, last: None, label: None }
    }

    /// Takes the answer for the picture of time `at` (since any fixed start) and gives the stable
    /// label, none while nothing is sure, with its smoothed probability.
    ///
    /// An unknown picture counts as one in which no class is probable. A picture that is not newer
    /// than the one before changes nothing. Values behind the number of classes are ignored.
    pub fn push(&mut self, at: Duration, probabilities: &[f32], decision: &Decision) -> Stable {
        let weight = match self.last {
            None => 1.0,
            Some(last) => self.weight(at.saturating_sub(last)),
        };
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let smoothed = self.smoothed.borrow_mut();
        for (smoothed, &p) in smoothed.iter_mut().zip(probabilities) {
            let target = if decision.unknown { 0.0 } else { p };
            *smoothed = math::mul_add(weight, target - *smoothed, *smoothed);
        }
        let smoothed: &[f32] = smoothed;
        let score = |class: usize| smoothed.get(class).copied().unwrap_or(0.0);
        let challenger = best(smoothed).filter(|&class| score(class) >= self.rules.enter);
        let kept = self.label.filter(|&class| score(class) >= self.rules.leave);
        // A class that has entered displaces the label only when it is the more probable one, which
        // the best class is.
        self.label = challenger.or(kept);
        Stable { class: self.label, score: self.label.map_or(0.0, score) }
    }

    /// Share of a picture `passed` after the one before it.
    fn weight(&self, passed: Duration) -> f32 {
        let (passed, memory) = (passed.as_secs_f32(), self.rules.memory.as_secs_f32());
        if memory > 0.0 { 1.0 - math::exp(-passed / memory) } else { 1.0 }
    }
}

/// A stream's label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stable {
    /// The class; none while nothing is sure.
    pub class: Option<usize>,
    /// Its smoothed probability.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    const RULES: Rules = Rules { memory: Duration::from_millis(300), enter: 0.6, leave: 0.4 };
    const FRAME: Duration = Duration::from_millis(100);

    fn known(probabilities: &[f32]) -> Decision {
        let class = best(probabilities);
        Decision { class, score: class.map_or(0.0, |class| probabilities[class]), unknown: false }
    }

    /// Labels of a sequence of frames 100 ms apart.
    fn replay(rules: Rules, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
        let mut smoothed = [0.0; 3];
        let mut stabilizer = Stabilizer::new(rules, &mut smoothed[..]);
        let times = (0u32..).map(|i| FRAME * i);
        let labels = frames.iter().zip(times);
        labels.map(|(p, at)| stabilizer.push(at, p, &known(p)).class).collect()
    }

    const A: [f32; 3] = [0.9, 0.05, 0.05];
    const B: [f32; 3] = [0.05, 0.9, 0.05];
    const UNSURE: [f32; 3] = [0.4, 0.3, 0.3];

    #[test]
    fn one_wrong_picture_does_not_change_the_label() {
        assert_eq!(replay(RULES, &[A, A, A, B, A, A]), [Some(0); 6]);
    }

    #[test]
    fn a_lasting_change_changes_the_label_once() {
        let labels = replay(RULES, &[A, A, A, B, B, B, B, B, B]);
        assert_eq!(labels[..4], [Some(0); 4]);
        assert_eq!(labels.last(), Some(&Some(1)));
        // A, perhaps nothing, B: it never goes back.
        let first_b = labels.iter().position(|&label| label == Some(1)).unwrap();
        assert!(labels[first_b..].iter().all(|&label| label == Some(1)));
        assert!(labels[..first_b].iter().all(|&label| label != Some(2)));
    }

    #[test]
    fn between_the_two_thresholds_the_label_stays_but_does_not_come() {
        let between = [0.5, 0.3, 0.2];
        assert_eq!(replay(RULES, &[between; 20]), [None; 20]);
        let mut frames = vec![A; 5];
        frames.extend([between; 20]);
        assert_eq!(replay(RULES, &frames), [Some(0); 25]);
        frames.extend([[0.2, 0.4, 0.4]; 20]);
        assert_eq!(replay(RULES, &frames).last(), Some(&None));
    }

    #[test]
    fn without_memory_each_picture_speaks_for_itself() {
        let rules = Rules { memory: Duration::ZERO, ..RULES };
        assert_eq!(replay(rules, &[A, B, UNSURE, A]), [Some(0), Some(1), None, Some(0)]);
    }

    #[test]
    fn unknown_pictures_end_a_label() {
        let mut smoothed = [0.0; 3];
        let mut stabilizer = Stabilizer::new(RULES, &mut smoothed[..]);
        assert_eq!(stabilizer.push(FRAME, &A, &known(&A)).class, Some(0));
        let unknown = Decision { unknown: true, ..known(&A) };
        let labels = (2..12).map(|i| stabilizer.push(FRAME * i, &A, &unknown).class);
        let labels: Vec<_> = labels.collect();
        assert_eq!(labels[0], Some(0));
        assert_eq!(labels.last(), Some(&None));
    }

    #[test]
    fn the_weight_follows_the_time_that_passed_not_the_number_of_pictures() {
        let score = |pieces: u32| {
            let mut smoothed = [0.0; 3];
            let mut stabilizer = Stabilizer::new(RULES, &mut smoothed[..]);
            stabilizer.push(Duration::ZERO, &A, &known(&A));
            let step = Duration::from_millis(240) / pieces;
            (1..=pieces).map(|i| stabilizer.push(step * i, &B, &known(&B)).score).last().unwrap()
        };
        assert!((score(1) - score(8)).abs() < 1e-5, "{} {}", score(1), score(8));
    }

    #[test]
    fn time_that_runs_backwards_changes_nothing() {
        let mut smoothed = [0.0; 3];
        let mut stabilizer = Stabilizer::new(RULES, &mut smoothed[..]);
        let before = stabilizer.push(FRAME * 5, &A, &known(&A));
        assert_eq!(stabilizer.push(FRAME, &B, &known(&B)), before);
        assert_eq!(stabilizer.push(FRAME * 5, &B, &known(&B)), before);
    }
}
