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
    pub(super) gamma: f32,
    pub(super) reserved: [u32; 8],
}

/// The method that made the head. All are computed by one formula ([`crate::head`]); the method says
/// which of its terms there are.
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
    /// Tip-Adapter-F: keys trained from the shots (Zhang et al. 2022, arXiv 2207.09519).
    TipF,
    /// APE: chosen channels and weighted keys (Zhu et al. 2023, arXiv 2304.01195).
    Ape,
    /// APE-T: the same with a trained residual for each class.
    ApeT,
    /// Gaussian discriminant analysis (Wang et al. 2024, arXiv 2402.04087).
    Gda,
    /// SS-Text: text and the sum of the shots (Silva-Rodriguez et al. 2025).
    SsText,
    /// CLIP-Adapter: a trained bottleneck on the feature (Gao et al. 2021, arXiv 2110.04544).
    ClipAdapter,
    /// Meta-Adapter: attention over a class's shots (Cheng et al. 2023, arXiv 2311.03774).
    MetaAdapter,
    /// ProLIP: the encoder's last projection, trained and held near to what it was; for features that
    /// come without one, a square matrix held near to the identity (Fahes et al. 2024, arXiv 2410.05270).
    #[serde(rename = "prolip")]
    ProLip,
    /// A linear adapter for classes that come in tasks, with retention of what it knew (Liu et al.
    /// 2023, arXiv 2310.20348).
    Incremental,
}

impl HeadKind {
    /// Every kind; the place in this list is the number in the file.
    pub const ALL: [Self; 12] = [
        Self::ZeroShot,
        Self::Tip,
        Self::CacheOnly,
        Self::TipF,
        Self::Ape,
        Self::ApeT,
        Self::Gda,
        Self::SsText,
        Self::ClipAdapter,
        Self::MetaAdapter,
        Self::ProLip,
        Self::Incremental,
    ];

    /// The name for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroShot => "zero-shot",
            Self::Tip => "tip",
            Self::CacheOnly => "cache",
            Self::TipF => "tip-f",
            Self::Ape => "ape",
            Self::ApeT => "ape-t",
            Self::Gda => "gda",
            Self::SsText => "ss-text",
            Self::ClipAdapter => "clip-adapter",
            Self::MetaAdapter => "meta-adapter",
            Self::ProLip => "prolip",
            Self::Incremental => "incremental",
        }
    }

    /// Whether text weights have a part in the logits.
    #[must_use]
    pub const fn uses_text(self) -> bool {
        !matches!(self, Self::CacheOnly)
    }

    /// Whether shots, or what was made of them, have a part in the logits.
    #[must_use]
    pub const fn uses_shots(self) -> bool {
        !matches!(self, Self::ZeroShot)
    }

    /// Whether keys are compared with the feature and their affinities added up.
    #[must_use]
    pub const fn uses_keys(self) -> bool {
        matches!(self, Self::Tip | Self::CacheOnly | Self::TipF | Self::Ape | Self::ApeT)
    }

    /// Whether the head has no parts besides text weights and cache, so that text alone, cache alone
    /// and both can be had from one asset.
    #[must_use]
    pub const fn is_plain(self) -> bool {
        matches!(self, Self::ZeroShot | Self::Tip | Self::CacheOnly)
    }
}

/// Hyper-parameters of the head, named as in Tip-Adapter (Zhang et al. 2022):
/// logits = logit_scale * f T + alpha * exp(-(beta - beta * f K^T)) V. Heads without keys have the
/// weight of their own term as alpha (GDA) or ignore these.
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
    /// For APE: how much a key's weight grows with its divergence from its class.
    pub gamma: f32,
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
        let Record {
            logit_scale, alpha, beta, reference_shots, text_gain, row_gain, gamma, ..
        } = record;
        let Some(&kind) = HeadKind::ALL.get(record.kind as usize) else {
            return Err(Tag::HEAD.corrupt("its kind is unknown to this version"));
        };
        let values = [logit_scale, alpha, beta, reference_shots, text_gain, row_gain, gamma];
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Tag::HEAD.corrupt("a parameter is not finite"));
        }
        Ok(Self { kind, logit_scale, alpha, beta, reference_shots, text_gain, row_gain, gamma })
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { logit_scale, alpha, beta, reference_shots, text_gain, row_gain, gamma, .. } =
            self;
        let record = Record {
            kind: self.kind as u32,
            logit_scale,
            alpha,
            beta,
            reference_shots,
            text_gain,
            row_gain,
            gamma,
            reserved: [0; 8],
        };
        super::fields::Writer::new(&record).end()
    }
}
