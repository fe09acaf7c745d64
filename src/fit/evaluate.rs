use std::cmp::Ordering;

use super::calibration::expected_error;

/// Answers compared with the truth.
#[derive(Clone, Debug)]
pub struct Evaluation {
    classes: usize,
    top5: u32,
    /// `[classes][classes]`: true class, answer.
    confusion: Vec<u32>,
    confidences: Vec<(f32, bool)>,
}

/// The figures of an [`Evaluation`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Pictures.
    pub n: usize,
    /// Percent of pictures whose best class is the true one.
    pub top1: f64,
    /// Percent of pictures whose true class is among the best five.
    pub top5: f64,
    /// Expected calibration error, 0 to 1.
    pub ece: f64,
}

/// How one class fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassScore {
    /// Pictures that show it.
    pub n: u32,
    /// Those that were recognised.
    pub right: u32,
    /// Pictures that were taken for it.
    pub answered: u32,
}

impl Evaluation {
    /// An evaluation of nothing yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        let confusion = vec![0; classes * classes];
        Self { classes, top5: 0, confusion, confidences: Vec::new() }
    }

    /// Adds a picture of class `truth`; gives the answer, the first of equally probable classes.
    /// None, and nothing is added, if a class lies outside of the evaluation's.
    pub fn push(&mut self, truth: usize, probabilities: &[f32]) -> Option<usize> {
        let &p = probabilities.get(truth)?;
        let answer = crate::head::best(probabilities)?;
        if truth.max(answer) >= self.classes {
            return None;
        }
        // Classes that come before the true one: more probable, or equally and earlier.
        let before = probabilities.iter().enumerate().filter(|&(class, other)| {
            match other.partial_cmp(&p) {
                Some(Ordering::Greater) => true,
                Some(Ordering::Equal) => class < truth,
                _ => false,
            }
        });
        self.top5 += u32::from(before.count() < 5);
        self.confusion[truth * self.classes + answer] += 1;
        self.confidences.push((probabilities[answer], answer == truth));
        Some(answer)
    }

    /// The figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let n = self.confidences.len();
        let percent = |count: usize| 100.0 * count as f64 / n.max(1) as f64;
        let right = self.confidences.iter().filter(|answer| answer.1).count();
        let ece = expected_error(self.confidences.iter().copied());
        Summary { n, top1: percent(right), top5: percent(self.top5 as usize), ece }
    }

    /// How each class fared, in order.
    #[must_use]
    pub fn per_class(&self) -> Vec<ClassScore> {
        let score = |class: usize| ClassScore {
            n: (0..self.classes).map(|answer| self.confusion(class, answer)).sum(),
            right: self.confusion(class, class),
            answered: (0..self.classes).map(|truth| self.confusion(truth, class)).sum(),
        };
        (0..self.classes).map(score).collect()
    }

    /// Pictures of class `truth` that were taken for `answer`.
    #[must_use]
    pub fn confusion(&self, truth: usize, answer: usize) -> u32 {
        let inside = truth < self.classes && answer < self.classes;
        if inside { self.confusion[truth * self.classes + answer] } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_few_pictures() {
        let mut evaluation = Evaluation::new(7);
        let p = [0.4, 0.2, 0.15, 0.1, 0.1, 0.05, 0.0];
        assert_eq!(evaluation.push(0, &p), Some(0));
        assert_eq!(evaluation.push(4, &p), Some(0));
        assert_eq!(evaluation.push(5, &p), Some(0));
        assert_eq!(evaluation.push(7, &p), None);
        let summary = evaluation.summary();
        assert_eq!(summary.n, 3);
        assert!((summary.top1 - 100.0 / 3.0).abs() < 1e-9);
        assert!((summary.top5 - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!(evaluation.confusion(4, 0), 1);
        assert_eq!(evaluation.per_class()[0], ClassScore { n: 1, right: 1, answered: 3 });
        assert_eq!(evaluation.per_class()[5], ClassScore { n: 1, right: 0, answered: 0 });
    }

    #[test]
    fn equal_probabilities_are_ranked_by_their_order() {
        let mut evaluation = Evaluation::new(6);
        assert_eq!(evaluation.push(4, &[0.0; 6]), Some(0));
        assert_eq!(evaluation.push(5, &[0.0; 6]), Some(0));
        assert_eq!(evaluation.summary().top5, 50.0);
    }
}
