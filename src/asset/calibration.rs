use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) temperature: f32,
    pub(super) unknown_score: f32,
    pub(super) unknown_cosine: f32,
    pub(super) ece: f32,
    pub(super) samples: u32,
    pub(super) reserved: [u32; 11],
}

/// What makes a probability believable and an answer "unknown".
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Probabilities are softmax(logits / temperature).
    pub temperature: f32,
    /// Below this probability the answer is "unknown"; 0 never.
    pub unknown_score: f32,
    /// Below this cosine with the nearest key the answer is "unknown"; -1 never.
    pub unknown_cosine: f32,
    /// Expected calibration error (0 to 1) on the pictures that the temperature was chosen with.
    pub ece: f32,
    /// Number of these pictures.
    pub samples: u32,
}

impl Calibration {
    /// Reads section [`Tag::CALIBRATION`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::CALIBRATION, bytes);
        let &Record { temperature, unknown_score, unknown_cosine, ece, samples, .. } =
            fields.record()?;
        fields.end()?;
        let values = [temperature, unknown_score, unknown_cosine, ece];
        if !values.iter().all(|value| value.is_finite()) || temperature <= 0.0 {
            return Err(Tag::CALIBRATION.corrupt("temperature or thresholds are not usable"));
        }
        Ok(Self { temperature, unknown_score, unknown_cosine, ece, samples })
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { temperature, unknown_score, unknown_cosine, ece, samples } = self;
        let reserved = [0; 11];
        let record = Record { temperature, unknown_score, unknown_cosine, ece, samples, reserved };
        super::fields::Writer::new(&record).end()
    }
}
