//! Hyper-parameters by leave-one-out over the shots: nothing but the shots is looked at.
//!
//! For each beta and alpha of a grid the held-out shots that come out right are counted. Many settings
//! do almost equally well, and the sharpest of them give probabilities that cannot be believed: among
//! those within half a standard error of the best count, the one with the smallest negative
//! log-likelihood (at its own best temperature) is taken; the first of equal ones, beta outside, alpha
//! inside, both ascending. Alphas are spaced by what they make of a typical affinity sum, so that one
//! grid fits every beta and every encoder.

use super::calibration::one_temperature;
use super::leave_one_out::{LeaveOneOut, Statistics};
use crate::asset::Space;
use crate::head::best;

/// Fewer held-out shots than this say too little: the defaults are taken.
pub const MIN_SHOTS: usize = 32;

/// What is taken where the shots are too few to choose by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Weight of the cache.
    pub alpha: f32,
    /// Sharpness of the affinity.
    pub beta: f32,
    /// Softmax temperature.
    pub temperature: f32,
}

/// Tip-Adapter's defaults, for CLIP's own features.
const PROJECTED: Defaults = Defaults { alpha: 1.0, beta: 5.5, temperature: 1.0 };
/// Trunk features of one class lie further apart than CLIP's: the same affinity needs a larger alpha.
const TRUNK: Defaults = Defaults { alpha: 700.0, beta: 11.0, temperature: 8.0 };

/// Betas that are tried: half octaves from 1 to 64.
pub fn betas() -> impl Iterator<Item = f32> + Clone {
    (0..=12).map(|half| (half as f32 / 2.0).exp2())
}

/// Logits that alpha makes of the mean affinity sum of a shot's own class: half octaves from 1 to
/// 1024.
pub fn scales() -> impl Iterator<Item = f32> + Clone {
    (0..=20).map(|half| (half as f32 / 2.0).exp2())
}

/// How the hyper-parameters are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Search {
    /// By leave-one-out over the shots.
    LeaveOneOut,
    /// They are given.
    Fixed {
        /// Weight of the cache.
        alpha: f32,
        /// Sharpness of the affinity.
        beta: f32,
    },
}

/// Hyper-parameters and how well they did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Weight of the cache.
    pub alpha: f32,
    /// Sharpness of the affinity.
    pub beta: f32,
    /// See [`HeadParams::text_gain`](crate::asset::HeadParams::text_gain).
    pub text_gain: f32,
    /// See [`HeadParams::row_gain`](crate::asset::HeadParams::row_gain).
    pub row_gain: f32,
    /// Shots held out.
    pub held_out: usize,
    /// Share of them that came out right; none without any.
    pub accuracy: Option<f64>,
}

/// The defaults for features of this kind.
#[must_use]
pub fn defaults(space: Space) -> Defaults {
    match space {
        Space::Trunk => TRUNK,
        Space::Projected => PROJECTED,
    }
}

/// What one beta gives.
struct Column {
    beta: f32,
    /// Mean affinity sum of a held-out shot's own class.
    own: f64,
    /// Regression of the cache sums on the text term.
    slope: f32,
}

/// Chooses for these shots; how many come out right then is not looked at.
pub(super) fn choose(run: &LeaveOneOut<'_>, space: Space, search: Search) -> Choice {
    let row_gain = run.row_gain();
    let (alpha, column) = match search {
        Search::Fixed { alpha, beta } => (alpha, columns(run, &[beta]).remove(0)),
        Search::LeaveOneOut if run.len() < MIN_SHOTS => {
            let Defaults { alpha, beta, .. } = defaults(space);
            (alpha, columns(run, &[beta]).remove(0))
        }
        Search::LeaveOneOut => grid(run),
    };
    let Column { beta, slope, .. } = column;
    Choice { alpha, beta, text_gain: alpha * slope, row_gain, held_out: run.len(), accuracy: None }
}

fn columns(run: &LeaveOneOut<'_>, betas: &[f32]) -> Vec<Column> {
    let rows = run.map(|run, query| {
        betas.iter().map(|&beta| run.statistics(query, beta)).collect::<Vec<_>>()
    });
    let column = |(i, &beta): (usize, &f32)| {
        let sum =
            |value: fn(&Statistics) -> f64| rows.iter().map(|row| value(&row[i])).sum::<f64>();
        let own = sum(|s| s.own).max(0.0) / rows.len().max(1) as f64;
        let squares = sum(|s| s.text_text);
        let slope = match squares > 0.0 {
            true => (sum(|s| s.text_cache) / squares).max(0.0) as f32,
            false => 0.0,
        };
        Column { beta, own, slope }
    };
    betas.iter().enumerate().map(column).collect()
}

fn grid(run: &LeaveOneOut<'_>) -> (f32, Column) {
    let betas: Vec<f32> = betas().collect();
    let mut columns = columns(run, &betas);
    let alphas = |column: &Column| {
        let own = column.own.max(1e-30);
        scales().map(move |scale| (f64::from(scale) / own) as f32)
    };
    let rows = run.map(|run, query| {
        let mut right = Vec::new();
        for column in &columns {
            let terms = run.cache_terms(query, column.beta, column.slope);
            let answers = alphas(column).map(|alpha| answer(run, query, &terms, alpha));
            right.extend(answers.map(|class| class == Some(run.label(query))));
        }
        right
    });
    let cells = columns.len() * scales().count();
    let right: Vec<usize> =
        (0..cells).map(|cell| rows.iter().filter(|row| row[cell]).count()).collect();
    let most = right.iter().copied().max().unwrap_or(0) as f64;
    let error = (most * (1.0 - most / run.len() as f64)).sqrt();
    let enough = most - error / 2.0;

    let labels: Vec<usize> = (0..run.len()).map(|query| run.label(query)).collect();
    let mut chosen = (f64::INFINITY, 0, 1.0);
    for (i, column) in columns.iter().enumerate() {
        let right = &right[i * scales().count()..];
        let mut good = alphas(column).zip(right).filter(|(_, right)| **right as f64 >= enough);
        let Some(first) = good.next() else { continue };
        let terms =
            run.map(|run, query| run.cache_terms(query, column.beta, column.slope)).concat();
        for (alpha, _) in std::iter::once(first).chain(good) {
            let logits: Vec<f32> =
                terms.iter().zip(run.text_rows()).map(|(a, z)| alpha * a + z).collect();
            let loss = one_temperature(&logits, &labels, run.classes()).loss;
            if loss < chosen.0 {
                chosen = (loss, i, alpha);
            }
        }
    }
    let (_, column, alpha) = chosen;
    (alpha, columns.swap_remove(column))
}

fn answer(run: &LeaveOneOut<'_>, query: usize, cache: &[f32], alpha: f32) -> Option<usize> {
    let logits = run.text_row(query).iter().zip(cache).map(|(z, a)| alpha * a + z);
    best(&logits.collect::<Vec<f32>>())
}
