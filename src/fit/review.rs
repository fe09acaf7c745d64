use super::build::Ground;
use super::folds::{Held, hold_out};
use super::heads::Setting;
use super::matrix::Workers;
use super::{FitError, Ingredients, Projector, search};
use crate::asset::{Asset, HeadKind, HeadParams, Tag};

/// How the shots of an asset are answered by the others.
#[derive(Clone, Debug)]
pub struct Review {
    /// The head that answered.
    pub kind: HeadKind,
    /// Its answers.
    pub held: Held,
    /// Shots of each class.
    pub shots: Vec<usize>,
}

/// Holds out the shots of an asset and lets its head, with the hyper-parameters that it has, answer them
/// by the rest. Tip-Adapter stands in for a head that would have to be trained again for that.
///
/// # Errors
/// The asset has no head.
pub fn review(
    asset: &Asset<'_>,
    project: Option<&dyn Projector>,
    workers: Workers,
) -> Result<Review, FitError> {
    let HeadParams { kind, alpha, beta, gamma, text_gain, row_gain, .. } =
        asset.head.ok_or(Tag::HEAD.missing())?;
    let ingredients = Ingredients::of(asset)?;
    let shots = asset.classes().map(|class| class.shots as usize).collect();
    if matches!(kind, HeadKind::Gda | HeadKind::SsText | HeadKind::Ape) {
        let task = ingredients.recipe(kind.into(), project, workers).task(row_gain);
        let setting = Setting { alpha, beta, gamma, ratio: 0.0 };
        return Ok(Review { kind, held: hold_out(kind, &task, setting, &|_| {}), shots });
    }
    let defaults = search::defaults(ingredients.space);
    let (kind, alpha, beta) = match kind {
        kind if kind.is_plain() => (kind, alpha, beta),
        _ => (HeadKind::Tip, defaults.alpha, defaults.beta),
    };
    let recipe = ingredients.recipe(kind.into(), project, workers);
    let slope = if alpha > 0.0 { text_gain / alpha } else { 0.0 };
    let held = Ground::new(&recipe)?
        .leave_one_out(&recipe, |run| Ok(run.held(kind, alpha, beta, slope)))?;
    Ok(Review { kind, held: held.unwrap_or_default(), shots })
}

impl Review {
    /// Held-out shots by true class and answer; pairs without shots are left out.
    #[must_use]
    pub fn confusion(&self) -> Vec<(usize, usize, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        let rows = self.held.logits.chunks_exact(self.held.classes.max(1));
        for (row, &truth) in rows.zip(&self.held.labels) {
            if let Some(answer) = crate::head::best(row) {
                *counts.entry((truth, answer)).or_insert(0) += 1;
            }
        }
        counts.into_iter().map(|((truth, answer), count)| (truth, answer, count)).collect()
    }
}
