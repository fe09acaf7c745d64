use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag};

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) kind: u32,
    pub(super) logit_scale: f32,
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) reference_shots: f32,
    pub(super) text_gain: f32,
    pub(super) row_gain: f32,
    pub(super) reserved: [u32; 9],
}

/// What the logits are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// Text weights alone.
    ZeroShot,
    /// Tip-Adapter: text weights and the cache of shots.
    Tip,
    /// The cache of shots alone.
    #[serde(rename = "cache")]
    CacheOnly,
}

impl HeadKind {
    /// Every kind; the place in this list is the number in the file.
    pub const ALL: [Self; 3] = [Self::ZeroShot, Self::Tip, Self::CacheOnly];

    /// The name for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroShot => "zero-shot",
            Self::Tip => "tip",
            Self::CacheOnly => "cache",
        }
    }
}

/// Hyper-parameters of the head, named as in Tip-Adapter (Zhang et al. 2022):
/// logits = logit_scale * f T + alpha * exp(-(beta - beta * f K^T)) V.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadParams {
    /// What the logits are made of.
    pub kind: HeadKind,
    /// Factor of the text term: 100 in CLIP.
    pub logit_scale: f32,
    /// Weight of the cache.
    pub alpha: f32,
    /// Sharpness of the affinity.
    pub beta: f32,
    /// Shots that a class is taken to have when classes have unequal numbers: a key's weight is
    /// this number over the shots of its class.
    pub reference_shots: f32,
    /// For a class without shots: how much its cache term grows with its text term.
    pub text_gain: f32,
    /// For a class without text: factor between its mean projected shot and its row of text weights;
    /// 0 if such classes have no row.
    pub row_gain: f32,
}

impl HeadParams {
    /// Reads section [`Tag::HEAD`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::HEAD, bytes);
        let &record = fields.record::<Record>()?;
        fields.end()?;
        let Record { logit_scale, alpha, beta, reference_shots, text_gain, row_gain, .. } = record;
        let Some(&kind) = HeadKind::ALL.get(record.kind as usize) else {
            return Err(Tag::HEAD.corrupt("its kind is unknown to this version"));
        };
        let values = [logit_scale, alpha, beta, reference_shots, text_gain, row_gain];
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Tag::HEAD.corrupt("a parameter is not finite"));
        }
        Ok(Self { kind, logit_scale, alpha, beta, reference_shots, text_gain, row_gain })
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { logit_scale, alpha, beta, reference_shots, text_gain, row_gain, .. } = self;
        let record = Record {
            kind: self.kind as u32,
            logit_scale,
            alpha,
            beta,
            reference_shots,
            text_gain,
            row_gain,
            reserved: [0; 9],
        };
        super::fields::Writer::new(&record).end()
    }
}
