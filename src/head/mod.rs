//! The head: text weights, and what was made of the shots, turn a feature into logits.
//!
//! Every method is one formula with some of its terms:
//!
//! ```text
//! g       = norm(keep f + ratio branch(f))                       with an adapter, or ProLIP's own
//!                                                                projection of the trunk, else f
//! logit_c = 100 g·T_c                                            the text term, and of the shots:
//!         + W_c·g' + b_c                                         a linear term
//!         + alpha * sum over keys n of class c of w_n exp(-(beta - beta q·k_n))
//! ```
//!
//! `f` is the feature in the text's space and `g'` the one that the linear term reads, adapted if the
//! adapter is for that space. `q` is the feature that the keys live in, as the encoder gives it, cut
//! down to the keys' channels where they have fewer. Tip-Adapter (Zhang et al. 2022) is text term and
//! keys, with `w_n` 1 where all classes have the same number of shots; GDA is text and linear term;
//! CLIP-Adapter is text behind an adapter. [`HeadKind`] lists the methods.
//!
//! The terms are not comparable with nothing, so a class that lacks one must not be given 0 for it:
//!
//! - Without text, row `T_c` is drawn from the class's shots when the asset is made
//!   (`fit::rows`); here it is a row like any other.
//! - Without a term of shots where other classes have one, it gets what linear regression expects
//!   from the text term: `mean S + text_gain * (z_c - mean z)`, with `S` and `z` the terms of shots and
//!   text of this feature, their means over the classes that have `S`, and over those that have both.
//!   The slope is fitted on held-out shots.
//!
//! Where every class has text and equally many shots none of this happens and the logits are exactly
//! those of the method.

mod adapt;
mod affinity;
mod error;
mod nearest;
mod softmax;
mod workspace;

pub use affinity::{CodedQuery, scan};
pub use error::HeadError;
pub use nearest::{NEAREST, Nearest, Nearests};
pub use softmax::{Temperature, best, probabilities};
#[cfg(feature = "std")]
pub use workspace::Buffers;
pub use workspace::Workspace;

use crate::asset::{
    Adapter, Asset, Bank, Cache, HeadKind, HeadParams, Linear, RowKind, Space, Tag, TextWeights,
};
use crate::kernels::Kernels;
use crate::math;

/// A feature's length may differ from 1 by this much (f16 storage, rounding).
const UNIT_TOLERANCE: f32 = 0.01;

/// The parts and hyper-parameters of one asset's head, ready to score features. Borrows all of it;
/// making one takes microseconds.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    kernels: &'static Kernels,
    params: HeadParams,
    made: HeadKind,
    classes: usize,
    text: Option<TextWeights<'a>>,
    adapter: Option<Adapter<'a>>,
    linear: Option<Linear<'a>>,
    bank: Option<Bank<'a>>,
    cache: Option<Cache<'a>>,
}

impl<'a> Head<'a> {
    /// The head of an asset.
    ///
    /// # Errors
    /// The asset has no head, parts are missing for what the head computes, or no class has what it
    /// needs.
    pub fn new(asset: &Asset<'a>, kernels: &'static Kernels) -> Result<Self, HeadError> {
        let params = asset.head.ok_or(Tag::HEAD.missing())?;
        let &Asset { text, adapter, linear, bank, cache, .. } = asset;
        let linear_classes = linear.map(|linear| linear.classes);
        let classes = match (text, cache) {
            (Some(text), _) => text.classes,
            (None, Some(cache)) => cache.classes(),
            (None, None) => linear_classes.ok_or(Tag::CACHE.missing())?,
        };
        let made = params.kind;
        Self { kernels, params, made, classes, text, adapter, linear, bank, cache }.with_kind(made)
    }

    /// The same asset with other terms: text alone, or, where it was made for the plain Tip-Adapter,
    /// cache alone or both.
    ///
    /// # Errors
    /// The asset lacks what `kind` needs.
    pub fn with_kind(mut self, kind: HeadKind) -> Result<Self, HeadError> {
        self.params.kind = kind;
        if kind != HeadKind::ZeroShot && kind != self.made && !(kind.is_plain() && self.is_plain())
        {
            return Err(HeadError::OtherHead { asked: kind.name(), made: self.made.name() });
        }
        match kind {
            HeadKind::ZeroShot if self.text.is_none() => Err(Tag::TEXT.missing().into()),
            HeadKind::CacheOnly if self.cache.is_none() => Err(Tag::CACHE.missing().into()),
            _ if !(0..self.classes).any(|class| self.is_candidate(class)) => {
                Err(HeadError::NoClass { kind: kind.name() })
            }
            _ => Ok(self),
        }
    }

    fn is_plain(&self) -> bool {
        self.made.is_plain()
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
        let keys = [self.cache, self.bank.map(|bank| bank.keys)].into_iter().flatten();
        keys.map(|keys| CodedQuery::codes_len(&keys)).max().unwrap_or(0)
    }

    /// Length that [`Workspace::features`] must have: an adapted feature with what lies between the
    /// layers, or the channels that the keys have.
    #[must_use]
    pub fn features_len(&self) -> usize {
        let adapted = self.adapter.map_or(0, |adapter| adapter.dim() + adapter.hidden());
        adapted.max(self.bank.map_or(0, |bank| bank.channels.len()))
    }

    /// Whether the class can be an answer: it has what the head's kind needs.
    #[must_use]
    pub fn is_candidate(&self, class: usize) -> bool {
        match self.params.kind {
            HeadKind::ZeroShot => self.has_text(class),
            HeadKind::CacheOnly => self.has_shots(class),
            _ => self.has_row(class) || self.has_shots(class),
        }
    }

    /// Logits of one picture.
    ///
    /// `trunk` and `projected` are the encoder's features, unit norm; either may be empty where
    /// nothing reads it, and an encoder without a projection gives a trunk that is in the text's space
    /// already. Afterwards `ws.zero_shot`, `ws.cache` and `ws.logits` hold what text and
    /// shots give to each class, and their sum (minus infinity for a class that is no candidate); the
    /// keys nearest to the picture are given back, the nearest first.
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
        ws.check(self.classes, self.codes_len(), self.features_len())?;
        let kind = self.params.kind;
        let projected = if projected.is_empty() { trunk } else { projected };
        let feature = |space| match space {
            Space::Trunk => trunk,
            Space::Projected => projected,
        };
        let adapter = self.adapter.filter(|_| kind.uses_shots());
        let adapted = match adapter {
            Some(adapter) => {
                let (space, dim) = adapter.reads();
                let from = feature(space);
                self.check(space, from, dim)?;
                adapt::run(self.kernels, &adapter, from, ws.features)
            }
            None => &[],
        };
        let read = |space| match adapter {
            Some(adapter) if adapter.space() == space => adapted,
            _ => feature(space),
        };
        ws.zero_shot.fill(0.0);
        if let Some(text) = &self.text
            && kind.uses_text()
        {
            self.check(Space::Projected, projected, text.dim)?;
            self.zero_shot(text, read(Space::Projected), ws.zero_shot);
        }
        ws.cache.fill(0.0);
        let linear = self.linear.filter(|_| kind.uses_shots());
        if let Some(linear) = &linear {
            self.check(linear.space, feature(linear.space), linear.dim)?;
            // into the logits, which are not needed yet
            self.kernels.matvec_f16(linear.weights, read(linear.space), ws.logits);
        }
        let mut nearests = Nearests::new();
        if kind.uses_shots() {
            nearests = self.keys(feature, ws)?;
        }
        if let Some(linear) = &linear {
            for (class, sum) in ws.cache.iter_mut().enumerate() {
                *sum += ws.logits[class] + linear.bias[class];
            }
        }
        if kind.uses_shots() {
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

    /// Finds the nearest shots, and adds up alpha times the affinities of the keys.
    fn keys<'f>(
        &self,
        feature: impl Fn(Space) -> &'f [f32],
        ws: &mut Workspace<'_>,
    ) -> Result<Nearests, HeadError> {
        let mut nearests = Nearests::new();
        let uses_keys = self.params.kind.uses_keys();
        if let Some(cache) = &self.cache
            && cache.len > 0
        {
            let query = feature(cache.space);
            self.check(cache.space, query, cache.dim)?;
            let codes = &mut ws.codes[..CodedQuery::codes_len(cache)];
            let query = CodedQuery::new(self.kernels, cache, query, codes);
            let sums = if uses_keys && self.bank.is_none() { &mut *ws.cache } else { &mut [] };
            self.class_sums(cache, &query, sums, |key, cosine| {
                nearest::offer(&mut nearests, key, cosine, cache);
            });
        }
        if let Some(Bank { channels, feature_dim, keys }) = &self.bank
            && uses_keys
        {
            let query = feature(keys.space);
            self.check(keys.space, query, *feature_dim)?;
            let query = match channels.is_empty() {
                true => query,
                false => adapt::choose(self.kernels, channels, query, ws.features),
            };
            let codes = &mut ws.codes[..CodedQuery::codes_len(keys)];
            let query = CodedQuery::new(self.kernels, keys, query, codes);
            self.class_sums(keys, &query, ws.cache, |_, _| {});
        }
        ws.cache.iter_mut().for_each(|sum| *sum *= self.params.alpha);
        Ok(nearests)
    }

    fn zero_shot(&self, text: &TextWeights<'_>, feature: &[f32], out: &mut [f32]) {
        self.kernels.matvec_f16(text.weights, feature, out);
        for (z, bias) in out.iter_mut().zip(text.bias) {
            *z = math::mul_add(self.params.logit_scale, *z, *bias);
        }
    }

    /// The weighted affinities of each class's keys, added in the order of the keys to `sums`, which
    /// may be empty. `visit` is told each key's cosine.
    fn class_sums(
        &self,
        keys: &Cache<'_>,
        query: &CodedQuery<'_>,
        sums: &mut [f32],
        mut visit: impl FnMut(usize, f32),
    ) {
        scan(self.kernels, keys, query, self.params.beta, |key, cosine, affinity| {
            let class = keys.class[key] as usize;
            if let Some(sum) = sums.get_mut(class) {
                *sum += keys.weight[key] * affinity;
            }
            visit(key, cosine);
        });
    }

    /// Gives classes without a term of shots what their text term lets expect, if others have one.
    fn cover(&self, zero_shot: &[f32], shots: &mut [f32]) {
        let mut mean = Mean::default();
        let mut text = Mean::default();
        for class in 0..self.classes {
            if self.has_shots(class) {
                mean.add(shots[class]);
                if self.has_text(class) {
                    text.add(zero_shot[class]);
                }
            }
        }
        if mean.count == 0 {
            return;
        }
        let (mean, text, gain) = (mean.value(), text.value(), self.params.text_gain);
        for class in (0..self.classes).filter(|&class| !self.has_shots(class)) {
            shots[class] = math::mul_add(gain, zero_shot[class] - text, mean);
        }
    }

    /// Whether the class has a row of text weights, be it drawn from its shots.
    fn has_row(&self, class: usize) -> bool {
        self.text.is_some_and(|text| text.kind(class) != RowKind::Empty)
    }

    fn has_text(&self, class: usize) -> bool {
        self.text.is_some_and(|text| text.has(class))
    }

    /// Whether the class has a linear term or keys.
    fn has_shots(&self, class: usize) -> bool {
        let keys = match self.bank {
            Some(bank) => Some(bank.keys),
            None => self.cache,
        };
        let keys = keys.filter(|_| self.params.kind.uses_keys());
        keys.is_some_and(|keys| keys.shots.get(class).is_some_and(|&shots| shots > 0))
            || self.linear.is_some_and(|linear| linear.has(class))
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
