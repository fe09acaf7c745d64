//! Rows of text weights, also for classes that have no text.
//!
//! A class without text gets a row drawn from its shots: `gain * (mean projected shot - mean of all
//! classes' mean shots)`, beside text rows that are centred alike. The gain is the one with which a
//! shot's logit stands out from the other classes' as far as it does with text; both margins are
//! measured by leave-one-out (`search`), so that a class is neither favoured nor put back for
//! lacking text.

use super::Projector;
use super::keys::decode;
use super::matrix::Matrix;
use crate::asset::{AssetError, Cache, RowKind, Space, TextWeights};

/// Rows of text weights before they are rounded to f16.
#[derive(Clone, Debug)]
pub struct Rows {
    /// `[classes]`
    pub kinds: Vec<RowKind>,
    /// `[dim]`: mean of the text vectors, taken out of them.
    pub mean: Vec<f32>,
    /// `[classes][dim]`
    pub weights: Vec<f32>,
}

impl Rows {
    /// Rows of the classes that have text, centred; empty rows for the others. All vectors have `dim`
    /// values.
    #[must_use]
    pub fn from_text(texts: &[Option<Vec<f32>>], dim: usize) -> Self {
        let mean = super::keys::mean(texts.iter().flatten().map(Vec::as_slice), dim);
        let mut weights = vec![0.0; texts.len() * dim];
        for (row, text) in weights.chunks_exact_mut(dim.max(1)).zip(texts) {
            if let Some(text) = text {
                row.iter_mut().zip(text.iter().zip(&mean)).for_each(|(w, (t, m))| *w = t - m);
            }
        }
        let kind = |text: &Option<_>| if text.is_some() { RowKind::Text } else { RowKind::Empty };
        Self { kinds: texts.iter().map(kind).collect(), mean, weights }
    }

    /// `[classes][dim]`
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        let dim = self.mean.len();
        Matrix::from_rows(self.weights.chunks_exact(dim.max(1)), dim)
    }

    /// Empties the rows that come from shots.
    pub fn clear_shots(&mut self) {
        let rows = self.weights.chunks_exact_mut(self.mean.len().max(1));
        for (kind, row) in self.kinds.iter_mut().zip(rows).filter(|(k, _)| **k == RowKind::Shots) {
            *kind = RowKind::Empty;
            row.fill(0.0);
        }
    }

    /// Fills the rows of classes that have shots but no text.
    pub fn fill(&mut self, shots: &ClassShots, gain: f32) {
        let dim = self.mean.len();
        for class in 0..self.kinds.len() {
            if self.kinds[class] != RowKind::Empty || gain == 0.0 {
                continue;
            }
            if let Some(centred) = shots.centred(class) {
                let row = &mut self.weights[class * dim..][..dim];
                row.iter_mut().zip(centred).for_each(|(w, v)| *w = (f64::from(gain) * v) as f32);
                self.kinds[class] = RowKind::Shots;
            }
        }
    }

    /// Section [`Tag::TEXT`](crate::asset::Tag::TEXT).
    ///
    /// # Errors
    /// A limit is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, AssetError> {
        TextWeights::encode(&self.kinds, &vec![0.0; self.kinds.len()], &self.mean, &self.weights)
    }
}

/// Projected shots added up by class.
#[derive(Clone, Debug)]
pub struct ClassShots {
    dim: usize,
    /// `[shots][dim]`: the projected keys.
    projected: Vec<f32>,
    /// `[classes][dim]`
    sums: Vec<f64>,
    counts: Vec<u32>,
    /// Mean over the classes of their mean shots.
    mean: Vec<f64>,
}

impl ClassShots {
    /// Projects every key of a cache. None if the keys live in the trunk and there is no projection.
    #[must_use]
    pub fn new(cache: &Cache<'_>, project: Option<&dyn Projector>) -> Option<Self> {
        let rows: Vec<Vec<f32>> = match (cache.space, project) {
            (Space::Projected, _) => (0..cache.len).map(|key| decode(cache, key)).collect(),
            (Space::Trunk, Some(project)) => {
                (0..cache.len).map(|key| project.project(&decode(cache, key))).collect()
            }
            (Space::Trunk, None) => return None,
        };
        let labels: Vec<usize> = cache.class.iter().map(|&class| class as usize).collect();
        Self::of(&rows, &labels, cache.classes())
    }

    /// Of projected features with the class of each. None without any.
    #[must_use]
    pub fn of(rows: &[Vec<f32>], labels: &[usize], classes: usize) -> Option<Self> {
        let dim = rows.first()?.len();
        let (mut sums, mut counts) = (vec![0.0; classes * dim], vec![0; classes]);
        for (row, &class) in rows.iter().zip(labels) {
            counts[class] += 1;
            let sum = &mut sums[class * dim..][..dim];
            sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let covered = counts.iter().filter(|&&count| count > 0).count() as f64;
        let mut mean = vec![0.0; dim];
        for (sum, &count) in sums.chunks_exact(dim).zip(&counts).filter(|(_, count)| **count > 0) {
            let share = 1.0 / (f64::from(count) * covered);
            mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean += sum * share);
        }
        Some(Self { dim, projected: rows.concat(), sums, counts, mean })
    }

    /// Dimensions of a projected feature.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Mean shot of a class, less the mean of all classes; none without shots.
    fn centred(&self, class: usize) -> Option<impl Iterator<Item = f64> + '_> {
        let count = self.counts.get(class).copied().filter(|&count| count > 0)?;
        let sum = &self.sums[class * self.dim..][..self.dim];
        Some(sum.iter().zip(&self.mean).map(move |(sum, mean)| sum / f64::from(count) - mean))
    }

    /// `feature · (mean shot of the class - mean of all classes)`; none without shots.
    #[must_use]
    pub fn score(&self, class: usize, feature: &[f32]) -> Option<f64> {
        let centred = self.centred(class)?;
        Some(centred.zip(feature).map(|(value, &f)| value * f64::from(f)).sum())
    }

    /// The same for the shot's own class without the shot itself; none if it is the only one.
    #[must_use]
    pub fn score_without(&self, shot: usize, class: usize, feature: &[f32]) -> Option<f64> {
        let others = f64::from(self.counts.get(class)?.checked_sub(1).filter(|&n| n > 0)?);
        let own = &self.projected[shot * self.dim..][..self.dim];
        let sum = &self.sums[class * self.dim..][..self.dim];
        let values = sum.iter().zip(own).zip(&self.mean);
        let centred = values.map(|((sum, &own), mean)| (sum - f64::from(own)) / others - mean);
        Some(centred.zip(feature).map(|(value, &f)| value * f64::from(f)).sum())
    }
}
