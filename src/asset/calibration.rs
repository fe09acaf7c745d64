use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag};
use crate::head::Temperature;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) temperature: f32,
    pub(super) unknown_score: f32,
    pub(super) unknown_cosine: f32,
    pub(super) ece: f32,
    pub(super) samples: u32,
    pub(super) temperature_slope: f32,
    pub(super) reserved: [u32; 10],
}

/// What makes a probability believable and an answer "unknown".
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The base of the [`Temperature`] that logits are divided by before the softmax.
    pub temperature: f32,
    /// Its slope.
    pub temperature_slope: f32,
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
        let &Record {
            temperature,
            unknown_score,
            unknown_cosine,
            ece,
            samples,
            temperature_slope,
            ..
        } = fields.record()?;
        fields.end()?;
        let values = [temperature, temperature_slope, unknown_score, unknown_cosine, ece];
        let usable = temperature > 0.0 && temperature_slope >= 0.0;
        if !usable || !values.iter().all(|value| value.is_finite()) {
            return Err(Tag::CALIBRATION.corrupt("temperature or thresholds are not usable"));
        }
        Ok(Self { temperature, temperature_slope, unknown_score, unknown_cosine, ece, samples })
    }

    /// What logits are divided by.
    #[must_use]
    pub fn temperature(&self) -> Temperature {
        Temperature { base: self.temperature, slope: self.temperature_slope }
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { temperature, temperature_slope, unknown_score, unknown_cosine, ece, samples } =
            self;
        let record = Record {
            temperature,
            unknown_score,
            unknown_cosine,
            ece,
            samples,
            temperature_slope,
            reserved: [0; 10],
        };
        super::fields::Writer::new(&record).end()
    }
}
