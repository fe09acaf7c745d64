//! The head: text weights and a cache of shots turn a feature into logits.
//!
//! Tip-Adapter (Zhang et al. 2022) as its authors' code computes it, for a class with text and shots:
//!
//! ```text
//! logit_c = 100 f·T_c + alpha * sum over the class's keys n of w_n exp(-(beta - beta q·k_n))
//! ```
//!
//! `f` is the feature in the text's space, `q` the one that the keys live in, `w_n` is 1 where all
//! classes have the same number of shots. The two sums are not comparable with nothing, so a class
//! that has only one of them must not be given 0 for the other:
//!
//! - Without text, row `T_c` is drawn from the class's shots when the asset is made
//!   (`fit::rows`); here it is a row like any other.
//! - Without shots, the cache term is what linear regression expects from the text term:
//!   `alpha * mean A + text_gain * (z_c - mean z)`, with `A` and `z` the two sums of this feature,
//!   their means over the classes that have shots, and over those that have both. The slope is
//!   fitted by leave-one-out.
//!
//! Where every class has text and equally many shots none of this happens and the logits are exactly
//! Tip-Adapter's.

mod affinity;
mod error;
mod nearest;
mod softmax;
mod workspace;

pub use affinity::{CodedQuery, scan};
pub use error::HeadError;
pub use nearest::{NEAREST, Nearest, Nearests};
pub use softmax::{best, probabilities};
#[cfg(feature = "std")]
pub use workspace::Buffers;
pub use workspace::Workspace;

use crate::asset::{Asset, Cache, HeadKind, HeadParams, Space, Tag, TextWeights};
use crate::kernels::Kernels;
use crate::math;

/// A feature's length may differ from 1 by this much (f16 storage, rounding).
const UNIT_TOLERANCE: f32 = 0.01;

/// Text weights, cache and hyper-parameters of one asset, ready to score features. Borrows all of
/// it; making one takes microseconds.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    kernels: &'static Kernels,
    params: HeadParams,
    classes: usize,
    text: Option<TextWeights<'a>>,
    cache: Option<Cache<'a>>,
}

impl<'a> Head<'a> {
    /// The head of an asset.
    ///
    /// # Errors
    /// The asset has no head, its text weights or its cache are missing for what the head computes,
    /// or no class has what it needs.
    pub fn new(asset: &Asset<'a>, kernels: &'static Kernels) -> Result<Self, HeadError> {
        let params = asset.head.ok_or(Tag::HEAD.missing())?;
        let text = asset.text;
        let cache = asset.cache;
        let classes = match (text, cache) {
            (Some(text), _) => text.classes,
            (None, Some(cache)) => cache.classes(),
            (None, None) => return Err(Tag::CACHE.missing().into()),
        };
        Self { kernels, params, classes, text, cache }.with_kind(params.kind)
    }

    /// The same asset with other terms: text alone, cache alone or both.
    ///
    /// # Errors
    /// The asset lacks what `kind` needs.
    pub fn with_kind(mut self, kind: HeadKind) -> Result<Self, HeadError> {
        self.params.kind = kind;
        match kind {
            HeadKind::ZeroShot if self.text.is_none() => Err(Tag::TEXT.missing().into()),
            HeadKind::CacheOnly if self.cache.is_none() => Err(Tag::CACHE.missing().into()),
            _ if !(0..self.classes).any(|class| self.is_candidate(class)) => {
                Err(HeadError::NoClass { kind: kind.name() })
            }
            _ => Ok(self),
        }
    }

    /// The same asset with other hyper-parameters (the kind stays).
    #[must_use]
    pub fn with_params(mut self, params: HeadParams) -> Self {
        self.params = HeadParams { kind: self.params.kind, ..params };
        self
    }

    /// The hyper-parameters in use.
    #[must_use]
    pub fn params(&self) -> &HeadParams {
        &self.params
    }

    /// Number of classes: the length of the logits.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Length that [`Workspace::codes`] must have.
    #[must_use]
    pub fn codes_len(&self) -> usize {
        self.cache.map_or(0, |cache| CodedQuery::codes_len(&cache))
    }

    /// Whether the class can be an answer: it has what the head's kind needs.
    #[must_use]
    pub fn is_candidate(&self, class: usize) -> bool {
        match self.params.kind {
            HeadKind::ZeroShot => self.has_text(class),
            HeadKind::CacheOnly => self.has_shots(class),
            HeadKind::Tip => self.has_text(class) || self.has_shots(class),
        }
    }

    /// Logits of one picture.
    ///
    /// `trunk` and `projected` are the encoder's features, unit norm; `projected` may be empty where
    /// there is no text, `trunk` where the keys live in the projected space. Afterwards
    /// `ws.zero_shot`, `ws.cache` and `ws.logits` hold the two terms and their sum for each class
    /// (minus infinity for a class that is no candidate); the keys nearest to the picture are given
    /// back, the nearest first.
    ///
    /// # Errors
    /// A feature of the wrong length, of zeros, not finite or not of unit norm; a slice of `ws` of
    /// the wrong length.
    pub fn logits(
        &self,
        trunk: &[f32],
        projected: &[f32],
        ws: &mut Workspace<'_>,
    ) -> Result<Nearests, HeadError> {
        ws.check(self.classes, self.codes_len())?;
        match &self.text {
            Some(text) if self.params.kind != HeadKind::CacheOnly => {
                self.check(Space::Projected, projected, text.dim)?;
                self.zero_shot(text, projected, ws.zero_shot);
            }
            _ => ws.zero_shot.fill(0.0),
        }
        ws.cache.fill(0.0);
        let mut nearests = Nearests::new();
        if let Some(cache) = &self.cache
            && self.params.kind != HeadKind::ZeroShot
            && cache.len > 0
        {
            let feature = match cache.space {
                Space::Trunk => trunk,
                Space::Projected => projected,
            };
            self.check(cache.space, feature, cache.dim)?;
            let query = CodedQuery::new(self.kernels, cache, feature, ws.codes);
            nearests = self.class_sums(cache, &query, ws.cache);
            self.cover(ws.zero_shot, ws.cache);
        }
        for class in 0..self.classes {
            ws.logits[class] = match self.is_candidate(class) {
                true => ws.zero_shot[class] + ws.cache[class],
                false => f32::NEG_INFINITY,
            };
        }
        Ok(nearests)
    }

    fn zero_shot(&self, text: &TextWeights<'_>, feature: &[f32], out: &mut [f32]) {
        self.kernels.matvec_f16(text.weights, feature, out);
        for (z, bias) in out.iter_mut().zip(text.bias) {
            *z = math::mul_add(self.params.logit_scale, *z, *bias);
        }
    }

    /// `A_c`: the weighted affinities of each class's keys, added in the order of the keys.
    fn class_sums(&self, cache: &Cache<'_>, query: &CodedQuery<'_>, sums: &mut [f32]) -> Nearests {
        let mut nearests = Nearests::new();
        scan(self.kernels, cache, query, self.params.beta, |key, cosine, affinity| {
            let class = cache.class[key] as usize;
            if let Some(sum) = sums.get_mut(class) {
                *sum += cache.weight[key] * affinity;
            }
            nearest::offer(&mut nearests, key, cosine, cache);
        });
        nearests
    }

    /// Turns the sums `A` into the cache term: alpha times the sum where a class has shots, and what
    /// the text term lets expect where it has none.
    fn cover(&self, zero_shot: &[f32], cache: &mut [f32]) {
        let mut affinity = Mean::default();
        let mut text = Mean::default();
        for class in 0..self.classes {
            if self.has_shots(class) {
                affinity.add(cache[class]);
                if self.has_text(class) {
                    text.add(zero_shot[class]);
                }
            }
        }
        let (alpha, gain) = (self.params.alpha, self.params.text_gain);
        let (affinity, text) = (affinity.value(), text.value());
        for class in 0..self.classes {
            cache[class] = match self.has_shots(class) {
                true => alpha * cache[class],
                false => math::mul_add(gain, zero_shot[class] - text, alpha * affinity),
            };
        }
    }

    fn has_text(&self, class: usize) -> bool {
        self.text.is_some_and(|text| text.has(class))
    }

    fn has_shots(&self, class: usize) -> bool {
        self.cache.is_some_and(|cache| cache.shots.get(class).is_some_and(|&shots| shots > 0))
    }

    fn check(&self, space: Space, feature: &[f32], expected: usize) -> Result<(), HeadError> {
        if feature.len() != expected {
            let found = feature.len();
            return Err(HeadError::Length { space: space.name(), expected, found });
        }
        let norm = math::sqrt(self.kernels.dot_f32(feature, feature));
        if !norm.is_finite() || (norm - 1.0).abs() > UNIT_TOLERANCE {
            return Err(HeadError::NotUnit { space: space.name(), norm });
        }
        Ok(())
    }
}

/// A mean in the order of its values; 0 of none.
#[derive(Default)]
struct Mean {
    sum: f32,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f32) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> f32 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f32 }
    }
}

#[cfg(all(test, feature = "fit"))]
mod tests;
