//! SS-Text: the sum of a class's shots beside its text, without hyper-parameters
//! (Silva-Rodriguez et al. 2025):
//!
//! ```text
//! w_c = t_c + 1 / (N λ_c τ) * sum of the shots of c,   λ_c = 1 / K_c,   τ = 1 / 100,   logit_c = f·w_c / τ
//! ```

use super::model::{LOGIT_SCALE, LinearTerm, Task};

/// What the shots add to the text term: `100 (w_c - t_c)`.
#[must_use]
pub fn fit(task: &Task) -> LinearTerm {
    let counts = task.counts();
    let mut weights = task.means();
    let all = task.labels.len().max(1) as f32;
    for (class, &count) in counts.iter().enumerate() {
        let count = count as f32;
        let factor = LOGIT_SCALE * LOGIT_SCALE * count * count / all;
        weights.row_mut(class).iter_mut().for_each(|value| *value *= factor);
    }
    let has = counts.iter().map(|&count| count > 0).collect();
    LinearTerm { has, bias: vec![0.0; task.classes], weights }
}
