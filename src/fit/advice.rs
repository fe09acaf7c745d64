//! What would make a head better: read off the shots that it got wrong when it had not seen them.

use super::folds::Held;
use crate::head::best;

/// A class whose held-out shots are taken for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confused {
    /// The class.
    pub truth: usize,
    /// What its shots are taken for most.
    pub answer: usize,
    /// How many of them.
    pub taken: usize,
    /// How many are taken for anything else.
    pub wrong: usize,
    /// How many were held out.
    pub of: usize,
}

/// A class with few shots beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few {
    /// The class.
    pub class: usize,
    /// Its shots.
    pub shots: usize,
    /// Shots with which it would have as many as half of the classes.
    pub missing: usize,
}

/// Classes by how many of their held-out shots went wrong, the worst first; those without a mistake are
/// left out.
#[must_use]
pub fn confused(held: &Held) -> Vec<Confused> {
    let classes = held.classes;
    let mut counts = vec![0usize; classes * classes];
    for (row, &truth) in held.logits.chunks_exact(classes.max(1)).zip(&held.labels) {
        if let Some(answer) = best(row) {
            counts[truth * classes + answer] += 1;
        }
    }
    let of_class = |(truth, row): (usize, &[usize])| {
        let of: usize = row.iter().sum();
        let others = row.iter().enumerate().filter(|&(answer, _)| answer != truth);
        // the first of equal ones
        let most = |best: (usize, usize), (answer, &n): (usize, &usize)| {
            if n > best.1 { (answer, n) } else { best }
        };
        let (answer, taken) = others.fold((truth, 0), most);
        Confused { truth, answer, taken, wrong: of - row[truth], of }
    };
    let rows = counts.chunks_exact(classes.max(1)).enumerate();
    let mut out: Vec<_> = rows.map(of_class).filter(|class| class.wrong > 0).collect();
    out.sort_by_key(|class| std::cmp::Reverse(class.wrong));
    out
}

/// Classes that have less than half as many shots as the class in the middle.
#[must_use]
pub fn few(counts: &[usize]) -> Vec<Few> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let few = |(class, &shots): (usize, &usize)| {
        (2 * shots < middle).then(|| Few { class, shots, missing: middle - shots })
    };
    let mut out: Vec<_> = counts.iter().enumerate().filter_map(few).collect();
    out.sort_by_key(|class| std::cmp::Reverse(class.missing));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_class_comes_first_with_what_it_is_taken_for() {
        let (a, b, c) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        let held = Held {
            logits: [a, a, b, c, c, a, b, c, c].concat(),
            labels: vec![0, 0, 0, 1, 1, 1, 1, 2, 2],
            classes: 3,
            ..Held::default()
        };
        let worst = Confused { truth: 1, answer: 2, taken: 2, wrong: 3, of: 4 };
        let next = Confused { truth: 0, answer: 1, taken: 1, wrong: 1, of: 3 };
        assert_eq!(confused(&held), [worst, next]);
        assert_eq!(confused(&Held::default()), []);
    }

    #[test]
    fn classes_with_few_shots_are_told_how_many_are_missing() {
        assert_eq!(few(&[16, 16, 3, 16, 9]), [Few { class: 2, shots: 3, missing: 13 }]);
        assert_eq!(few(&[]), []);
    }
}
