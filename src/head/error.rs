use core::fmt;

use crate::asset::AssetError;

/// Why a head cannot be made or cannot score a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HeadError {
    /// The asset lacks a section.
    Asset(AssetError),
    /// No class has what this kind of head needs.
    NoClass {
        /// The kind.
        kind: &'static str,
    },
    /// The asset's parts were made for another head.
    OtherHead {
        /// The head that was asked for.
        asked: &'static str,
        /// The head that the asset was made for.
        made: &'static str,
    },
    /// A feature has another length than the asset wants.
    Length {
        /// Which feature.
        space: &'static str,
        /// Length that the asset wants.
        expected: usize,
        /// Length that was given.
        found: usize,
    },
    /// A feature is zero, not finite or not scaled to length 1: no cosine can be computed from it.
    NotUnit {
        /// Which feature.
        space: &'static str,
        /// Its norm.
        norm: f32,
    },
    /// A slice of the workspace has the wrong length.
    Workspace {
        /// The slice.
        slice: &'static str,
        /// Length that the head wants.
        expected: usize,
        /// Length that was given.
        found: usize,
    },
}

impl From<AssetError> for HeadError {
    fn from(error: AssetError) -> Self {
        Self::Asset(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Asset(error) => write!(f, "{error}"),
            Self::NoClass { kind } => write!(
                f,
                "no class can be recognised by head \"{kind}\": zero-shot needs text, cache needs \
                 shots; learn some or choose another head"
            ),
            Self::OtherHead { asked, made } => write!(
                f,
                "this asset was made for head \"{made}\" and has no parts for \"{asked}\"; \
                 `tipcam fit --head {asked}` makes them"
            ),
            Self::Length { space, expected, found } => write!(
                f,
                "the {space} feature has {found} values, this asset wants {expected}: it was made \
                 for another encoder"
            ),
            Self::NotUnit { space, norm } => write!(
                f,
                "the {space} feature has length {norm} instead of 1: the picture gave the encoder \
                 nothing to see, or the feature was not normalised"
            ),
            Self::Workspace { slice, expected, found } => {
                write!(f, "workspace slice {slice} has {found} values, the head needs {expected}")
            }
        }
    }
}

impl core::error::Error for HeadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Asset(error) => Some(error),
            _ => None,
        }
    }
}
