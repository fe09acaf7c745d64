use super::model::{LOGIT_SCALE, LinearTerm, Task};
use crate::fit::matrix::{Matrix, Workers};

/// What a trained adapter is read by: 100 times the text weights where a class has some in the space of
/// the keys, else 100 times its mean shot. It stays fixed while the adapter is trained.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// `[classes][dim]`
    pub weights: Matrix,
    /// `[shots][classes]`: the text term, where the text lives in another space than the keys.
    offset: Option<Matrix>,
    /// Classes that are read by their mean shot.
    by_shots: Vec<bool>,
    /// Classes that are read by their text.
    by_text: Vec<bool>,
    /// Classes that are not there yet.
    absent_from: usize,
}

impl Classifier {
    /// Of these classes.
    #[must_use]
    pub fn new(task: &Task) -> Self {
        let anchors = task.anchors();
        let mut weights = Matrix::zeros(task.classes, task.shots.keys.columns());
        let by_text: Vec<bool> = (0..task.classes).map(|class| task.has_row(class)).collect();
        let mut by_shots = vec![false; task.classes];
        for class in 0..task.classes {
            let row = match &task.rows {
                Some(rows) if by_text[class] => {
                    &rows.weights[class * rows.mean.len()..][..rows.mean.len()]
                }
                _ => anchors.row(class),
            };
            by_shots[class] = !by_text[class] && row.iter().any(|&value| value != 0.0);
            let out = weights.row_mut(class).iter_mut().zip(row);
            out.for_each(|(weight, value)| *weight = LOGIT_SCALE * value);
        }
        let text = || task.text_terms(task.shots.text.as_ref(), task.labels.len());
        let offset = (!task.shared && task.rows.is_some()).then(text);
        Self { weights, offset, by_shots, by_text, absent_from: task.classes }
    }

    /// For these shots alone.
    #[must_use]
    pub fn of_shots(mut self, places: &[usize]) -> Self {
        self.offset = self.offset.map(|offset| offset.pick(places));
        self
    }

    /// Classes from this one on are not there yet.
    pub fn forget_from(&mut self, class: usize) {
        self.absent_from = class;
    }

    /// `[n][classes]`: logits of all shots, whose adapted features are `g`.
    #[must_use]
    pub fn logits(&self, g: &Matrix, workers: Workers) -> Matrix {
        self.logits_of(g, None, workers)
    }

    /// The same for the shots at these places.
    #[must_use]
    pub fn logits_of(&self, g: &Matrix, places: Option<&[usize]>, workers: Workers) -> Matrix {
        let mut logits = g.times_transposed(&self.weights, workers);
        if let Some(offset) = &self.offset {
            let own = places.map(|places| offset.pick(places));
            logits = logits.scaled_plus(1.0, own.as_ref().unwrap_or(offset));
        }
        if self.absent_from < logits.columns() {
            for i in 0..logits.rows() {
                logits.row_mut(i)[self.absent_from..].fill(f32::NEG_INFINITY);
            }
        }
        logits
    }

    /// The rows that are no text weights, for the asset's linear term; none if all are.
    #[must_use]
    pub fn linear(&self) -> Option<LinearTerm> {
        if !self.by_shots.contains(&true) {
            return None;
        }
        let mut weights = self.weights.clone();
        for (class, _) in self.by_shots.iter().enumerate().filter(|(_, own)| !**own) {
            weights.row_mut(class).fill(0.0);
        }
        // A class that is read by its text has all that it needs: its row is of zeros, not missing.
        let has = self.by_shots.iter().zip(&self.by_text).map(|(shots, text)| *shots || *text);
        Some(LinearTerm { has: has.collect(), bias: vec![0.0; weights.rows()], weights })
    }
}
