use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Record {
    kind: u32,
    logit_scale: f32,
    alpha: f32,
    beta: f32,
    reference_shots: f32,
    reserved: [u32; 11],
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
}

impl HeadParams {
    /// Reads section [`Tag::HEAD`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::HEAD, bytes);
        let &Record { kind, logit_scale, alpha, beta, reference_shots, .. } = fields.record()?;
        fields.end()?;
        let Some(&kind) = HeadKind::ALL.get(kind as usize) else {
            return Err(Tag::HEAD.corrupt("its kind is unknown to this version"));
        };
        if ![logit_scale, alpha, beta, reference_shots].iter().all(|value| value.is_finite()) {
            return Err(Tag::HEAD.corrupt("a parameter is not finite"));
        }
        Ok(Self { kind, logit_scale, alpha, beta, reference_shots })
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { kind, logit_scale, alpha, beta, reference_shots } = self;
        let kind = kind as u32;
        let record = Record { kind, logit_scale, alpha, beta, reference_shots, reserved: [0; 11] };
        super::fields::Writer::new(&record).end()
    }
}
