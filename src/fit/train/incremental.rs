//! Classes that arrive in tasks: one linear adapter, trained on each task's shots alone, of which only
//! the entries that changed most are kept (parameter retention, after Liu et al., "Class Incremental
//! Learning with Pre-trained Vision-Language Models", arXiv 2310.20348; of the paper only the abstract
//! could be read, so the rule of retention is ours).
//!
//! ```text
//! logits = 100 norm(f + B f) T,    B <- B + (change of B by this task, all but its largest 20 % set to 0)
//! ```

use super::Progress;
use super::prolip::descend;
use crate::fit::heads::{BranchWeights, Classifier, Task};
use crate::fit::matrix::Matrix;

/// Share of the entries that a task may change.
const KEPT: f64 = 0.2;
const STEPS: usize = 100;

/// B after tasks of `classes_per_task` classes in their order, as an adapter.
#[must_use]
pub fn train(task: &Task, classes_per_task: usize, report: &dyn Fn(Progress)) -> BranchWeights {
    let dim = task.shots.keys.columns();
    let mut b = Matrix::zeros(dim, dim);
    let size = classes_per_task.max(1);
    for first in (0..task.classes).step_by(size) {
        b = next(task, first..(first + size).min(task.classes), &b, report);
    }
    BranchWeights { keep: 1.0, ratio: 1.0, down: None, up: b }
}

/// B after one more task: the classes of `new`, of which alone shots are looked at. They compete with
/// the text and mean shots of all classes before them.
#[must_use]
pub fn next(
    task: &Task,
    new: std::ops::Range<usize>,
    before: &Matrix,
    report: &dyn Fn(Progress),
) -> Matrix {
    let own: Vec<usize> =
        (0..task.labels.len()).filter(|&i| new.contains(&task.labels[i])).collect();
    let mut classifier = Classifier::new(task).of_shots(&own);
    classifier.forget_from(new.end);
    let part = Task { shots: task.shots.pick(&own), ..task.clone() };
    let labels = own.iter().map(|&i| task.labels[i]).collect();
    let part = Task { labels, ..part };
    let mut after = before.clone();
    let lambda = new.len() as f32 / own.len().max(1) as f32;
    descend(&part, &classifier, &mut after, lambda, STEPS, report);
    retain(before, after)
}

/// The largest changes alone.
fn retain(before: &Matrix, mut after: Matrix) -> Matrix {
    let change = |(a, b): (&f32, &f32)| (a - b).abs();
    let mut sizes: Vec<f32> = after.data.iter().zip(&before.data).map(change).collect();
    let kept = ((sizes.len() as f64 * KEPT) as usize).min(sizes.len().saturating_sub(1));
    if sizes.is_empty() {
        return after;
    }
    let (_, &mut least, _) = sizes.select_nth_unstable_by(kept, |a, b| b.total_cmp(a));
    for (a, b) in after.data.iter_mut().zip(&before.data) {
        if (*a - b).abs() <= least {
            *a = *b;
        }
    }
    after
}
