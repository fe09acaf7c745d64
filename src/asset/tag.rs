use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::AssetError;

/// The name of a section: four ASCII capitals.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct Tag(pub [u8; 4]);

impl Tag {
    /// Size, resize mode, mean and deviation of the encoder's input.
    pub const PREPROCESS: Self = Self(*b"PREP");
    /// The encoder's graph: one record for each layer.
    pub const LAYERS: Self = Self(*b"LAYR");
    /// The encoder's integer weights, scales and biases.
    pub const WEIGHTS: Self = Self(*b"WGHT");
    /// The map from the trunk's feature into the space of the text.
    pub const PROJECTION: Self = Self(*b"PROJ");
    /// Class labels.
    pub const LABELS: Self = Self(*b"LABL");
    /// Prompt templates that the text weights were made with.
    pub const PROMPTS: Self = Self(*b"PRMT");
    /// Text weights of the classes.
    pub const TEXT: Self = Self(*b"TEXT");
    /// The int8 cache of shots.
    pub const CACHE: Self = Self(*b"CACH");
    /// The picture behind each key of the cache.
    pub const KEY_NAMES: Self = Self(*b"KEYN");
    /// A linear term of the logits, made from the shots.
    pub const LINEAR: Self = Self(*b"LINR");
    /// A small network between the encoder's feature and the text weights.
    pub const ADAPTER: Self = Self(*b"ADPT");
    /// Keys that a head has made of the shots.
    pub const BANK: Self = Self(*b"BANK");
    /// The network that makes rows of the linear term for new classes.
    pub const META: Self = Self(*b"META");
    /// Hyper-parameters of the head.
    pub const HEAD: Self = Self(*b"HEAD");
    /// Temperature and the thresholds of "unknown".
    pub const CALIBRATION: Self = Self(*b"CALB");
    /// Text vectors of many names, for classes that come later.
    pub const VOCABULARY: Self = Self(*b"VOCB");
    /// Measured figures.
    pub const METRICS: Self = Self(*b"METR");
    /// Where the contents come from.
    pub const PROVENANCE: Self = Self(*b"PROV");

    /// Every tag of this version in the order in which sections are laid out.
    pub const ALL: [Self; 18] = [
        Self::PREPROCESS,
        Self::LAYERS,
        Self::WEIGHTS,
        Self::PROJECTION,
        Self::LABELS,
        Self::PROMPTS,
        Self::TEXT,
        Self::HEAD,
        Self::LINEAR,
        Self::ADAPTER,
        Self::BANK,
        Self::META,
        Self::CALIBRATION,
        Self::CACHE,
        Self::KEY_NAMES,
        Self::VOCABULARY,
        Self::METRICS,
        Self::PROVENANCE,
    ];

    /// The sections that are the encoder: its identity is the hash over them.
    pub const ENCODER: [Self; 4] =
        [Self::PREPROCESS, Self::LAYERS, Self::WEIGHTS, Self::PROJECTION];

    /// What a section of this name holds, in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::PREPROCESS => "preprocessing",
            Self::LAYERS => "encoder layers",
            Self::WEIGHTS => "encoder weights",
            Self::PROJECTION => "projection into the text space",
            Self::LABELS => "labels",
            Self::PROMPTS => "prompts",
            Self::TEXT => "text weights",
            Self::LINEAR => "linear term",
            Self::ADAPTER => "adapter",
            Self::BANK => "keys of the head",
            Self::META => "meta-adapter",
            Self::CACHE => "cache of shots",
            Self::KEY_NAMES => "names of the shots",
            Self::HEAD => "head parameters",
            Self::CALIBRATION => "calibration",
            Self::VOCABULARY => "text vocabulary",
            Self::METRICS => "metrics",
            Self::PROVENANCE => "provenance",
            _ => "unknown to this version",
        }
    }

    /// The error for a file that lacks this section.
    #[must_use]
    pub const fn missing(self) -> AssetError {
        AssetError::MissingSection { tag: self }
    }

    /// The error for a section whose contents contradict themselves.
    pub(crate) const fn corrupt(self, what: &'static str) -> AssetError {
        AssetError::Corrupt { section: Some(self), what }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
