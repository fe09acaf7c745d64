//! Which class was taken for which.

use crate::cli::table::Table;
use crate::fit::Evaluation;

/// With at most this many classes the text form is the whole matrix; with more, the confused pairs.
const MATRIX_CLASSES: usize = 20;

/// Counts of photographs by their class and the class that was answered.
pub(super) struct Confusion {
    labels: Vec<String>,
    /// `[true class][answered class]`
    counts: Vec<u32>,
}

/// Photographs of class `truth` that were taken for `answer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) truth: usize,
    pub(super) answer: usize,
    pub(super) count: u32,
}

impl Confusion {
    /// The counts of an evaluation of as many classes as there are labels.
    pub(super) fn new(labels: Vec<String>, evaluation: &Evaluation) -> Self {
        let classes = 0..labels.len();
        let counts = classes
            .clone()
            .flat_map(|truth| classes.clone().map(move |answer| (truth, answer)))
            .map(|(truth, answer)| evaluation.confusion(truth, answer))
            .collect();
        Self { labels, counts }
    }

    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    pub(super) fn count(&self, truth: usize, answer: usize) -> u32 {
        self.counts[truth * self.labels.len() + answer]
    }

    /// Photographs of a class.
    pub(super) fn row_sum(&self, truth: usize) -> u32 {
        let classes = self.labels.len();
        self.counts[truth * classes..(truth + 1) * classes].iter().sum()
    }

    /// The confused pairs, most photographs first.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let classes = self.labels.len();
        let mut pairs: Vec<Pair> = self
            .counts
            .iter()
            .enumerate()
            .map(|(at, &count)| Pair { truth: at / classes, answer: at % classes, count })
            .filter(|pair| pair.count > 0 && pair.truth != pair.answer)
            .collect();
        pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.count), pair.truth, pair.answer));
        pairs
    }

    /// The matrix, or for many classes the `most` confused pairs, for people.
    pub(super) fn text(&self, most: usize) -> String {
        if self.labels.len() <= MATRIX_CLASSES { self.matrix() } else { self.pairs_text(most) }
    }

    fn matrix(&self) -> String {
        let classes = 0..self.labels.len();
        let mut table = Table::new(&(1..=self.labels.len()).collect::<Vec<_>>());
        let letters = classes.clone().map(|c| format!("({})", c + 1));
        table.row(std::iter::once("is / was taken for".to_owned()).chain(letters));
        for truth in classes.clone() {
            let cells = classes.clone().map(|answer| match self.count(truth, answer) {
                0 => ".".to_owned(),
                count => count.to_string(),
            });
            let name = format!("({}) {}", truth + 1, self.labels[truth]);
            table.row(std::iter::once(name).chain(cells));
        }
        table.text()
    }

    fn pairs_text(&self, most: usize) -> String {
        let pairs = self.pairs();
        let mut table = Table::new(&[2, 3]);
        table.row(["is", "was taken for", "photographs", "of"]);
        for pair in pairs.iter().take(most) {
            table.row([
                &*self.labels[pair.truth],
                &*self.labels[pair.answer],
                &pair.count.to_string(),
                &self.row_sum(pair.truth).to_string(),
            ]);
        }
        let mut text = table.text();
        if pairs.len() > most {
            text.push_str(&format!("... and {} pairs with fewer\n", pairs.len() - most));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(labels: Vec<String>, answers: &[(usize, usize)]) -> Confusion {
        let mut evaluation = Evaluation::new(labels.len());
        for &(truth, answer) in answers {
            let mut probabilities = vec![0.0; labels.len()];
            probabilities[answer] = 1.0;
            evaluation.push(truth, &probabilities).unwrap();
        }
        Confusion::new(labels, &evaluation)
    }

    fn three() -> Confusion {
        let answers = [(0, 0), (0, 1), (0, 1), (1, 1), (2, 2), (2, 0)];
        confusion(["cat", "dog", "cup"].map(String::from).to_vec(), &answers)
    }

    #[test]
    fn sums_and_pairs_are_those_of_the_counts() {
        let confusion = three();
        assert_eq!([0, 1, 2].map(|c| confusion.row_sum(c)), [3, 1, 2]);
        let pairs = confusion.pairs();
        assert_eq!(pairs[0], Pair { truth: 0, answer: 1, count: 2 });
        assert_eq!(pairs[1], Pair { truth: 2, answer: 0, count: 1 });
        assert_eq!(pairs.len(), 2);
    }

    #[test]
    fn few_classes_are_shown_as_a_matrix() {
        let expected = "is / was taken for  (1)  (2)  (3)\n\
                        (1) cat               1    2    .\n\
                        (2) dog               .    1    .\n\
                        (3) cup               1    .    1\n";
        assert_eq!(three().text(10), expected);
    }

    #[test]
    fn many_classes_are_shown_as_pairs() {
        let labels = (0..30).map(|c| format!("c{c}")).collect();
        let confusion = confusion(labels, &[(3, 4), (3, 4), (3, 3), (5, 6)]);
        let text = confusion.text(1);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["c3", "c4", "2", "3"]);
        assert_eq!(lines[2], "... and 1 pairs with fewer");
    }
}
