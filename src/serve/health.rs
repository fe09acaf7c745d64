use serde::Serialize;

use crate::fit::Review;
use crate::fit::advice::{self, Confused};

/// How well the shots fit together: each was answered by the others.
#[derive(Clone, Debug, Serialize)]
pub struct HealthView {
    /// The state of things that this is about.
    pub generation: u64,
    /// The head that answered.
    pub head: &'static str,
    /// Shots that were held out.
    pub held_out: usize,
    /// Share of them that came out right; none of none.
    pub accuracy: Option<f64>,
    /// Every class that has shots or would need some.
    pub classes: Vec<ClassHealth>,
    /// Shots by class and answer; pairs without shots are left out.
    pub confusion: Vec<Pair>,
    /// What would help most, in words.
    pub advice: Vec<String>,
}

/// How one class does.
#[derive(Clone, Debug, Serialize)]
pub struct ClassHealth {
    /// Its name.
    pub label: String,
    /// Its shots.
    pub shots: usize,
    /// Those that were held out.
    pub held_out: usize,
    /// Those of them that came out right.
    pub right: usize,
    /// What its shots are taken for most, if they are.
    pub taken_for: Option<String>,
    /// Shots that it lacks beside the other classes.
    pub missing: usize,
}

/// Shots of one class with one answer.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// Their class.
    pub truth: String,
    /// What they were taken for.
    pub answer: String,
    /// How many.
    pub shots: usize,
}

/// Confused classes that are named in words, and classes with few shots.
const NAMED: usize = 5;
/// Shots that one class should have at least.
const ENOUGH: usize = 3;

impl HealthView {
    pub(super) fn new(review: &Review, labels: &[&str], generation: u64) -> Self {
        let label = |class: usize| labels.get(class).copied().unwrap_or_default();
        let confused = advice::confused(&review.held);
        let mut few = advice::few(&review.shots);
        for (class, &shots) in review.shots.iter().enumerate() {
            if shots < ENOUGH && !few.iter().any(|few| few.class == class) {
                few.push(advice::Few { class, shots, missing: ENOUGH - shots });
            }
        }
        let mut classes: Vec<_> = review
            .shots
            .iter()
            .enumerate()
            .map(|(class, &shots)| {
                let missing =
                    few.iter().find(|few| few.class == class).map_or(0, |few| few.missing);
                let taken_for = confused.iter().find(|other| other.truth == class);
                ClassHealth {
                    label: label(class).to_owned(),
                    shots,
                    held_out: 0,
                    right: 0,
                    taken_for: taken_for.map(|other| label(other.answer).to_owned()),
                    missing,
                }
            })
            .collect();
        let confusion = review.confusion();
        for &(truth, answer, shots) in &confusion {
            classes[truth].held_out += shots;
            classes[truth].right += if truth == answer { shots } else { 0 };
        }
        Self {
            generation,
            head: review.kind.name(),
            held_out: review.held.labels.len(),
            accuracy: review.held.accuracy(),
            classes,
            confusion: confusion
                .into_iter()
                .map(|(truth, answer, shots)| Pair {
                    truth: label(truth).to_owned(),
                    answer: label(answer).to_owned(),
                    shots,
                })
                .collect(),
            advice: words(&confused, &few, label),
        }
    }
}

fn words<'l>(
    confused: &[Confused],
    few: &[advice::Few],
    label: impl Fn(usize) -> &'l str,
) -> Vec<String> {
    let confused = confused.iter().take(NAMED).map(|&Confused { truth, answer, taken, wrong, of }| {
        format!(
            "{}: {wrong} of {of} shots are taken for something else, {taken} for {}. Show both where \
             they differ.",
            label(truth),
            label(answer)
        )
    });
    let few = few.iter().take(NAMED).map(|few| {
        let shots = if few.shots == 1 { "shot" } else { "shots" };
        format!("{} has {} {shots}: {} more would help.", label(few.class), few.shots, few.missing)
    });
    confused.chain(few).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::HeadKind;
    use crate::fit::folds::Held;

    #[test]
    fn figures_are_told_by_class_and_in_words() {
        let (a, b) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        let review = Review {
            kind: HeadKind::Tip,
            held: Held {
                logits: [a, a, b, b, b].concat(),
                labels: vec![0, 0, 0, 1, 1],
                classes: 3,
                ..Held::default()
            },
            shots: vec![3, 9, 1],
        };
        let view = HealthView::new(&review, &["cup", "mug", "pen"], 7);
        assert_eq!((view.generation, view.held_out, view.accuracy), (7, 5, Some(0.8)));
        let [cup, mug, pen] = &view.classes[..] else { panic!("{:?}", view.classes) };
        assert_eq!((cup.right, cup.held_out, cup.taken_for.as_deref()), (2, 3, Some("mug")));
        assert_eq!((mug.right, mug.held_out, &mug.taken_for), (2, 2, &None));
        assert_eq!((pen.shots, pen.held_out, pen.missing), (1, 0, 2));
        assert_eq!(view.confusion.len(), 3);
        assert!(
            view.advice[0].starts_with("cup: 1 of 3") && view.advice[1].contains("pen has 1 shot:")
        );
    }
}
