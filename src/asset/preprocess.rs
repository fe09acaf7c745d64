use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) size: u32,
    pub(super) mode: u32,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
    pub(super) reserved: [u32; 8],
}

/// How a picture becomes the encoder's square input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeMode {
    /// The shorter side becomes the input size, the middle of the longer one is kept.
    FitShortest,
    /// The longer side becomes the input size, the rest is filled with the mean colour.
    FitLongest,
    /// Both sides become the input size, whatever the picture's shape.
    Squash,
}

impl ResizeMode {
    /// Every mode; the place in this list is the number in the file.
    pub const ALL: [Self; 3] = [Self::FitShortest, Self::FitLongest, Self::Squash];

    /// The name for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FitShortest => "fit-shortest",
            Self::FitLongest => "fit-longest",
            Self::Squash => "squash",
        }
    }
}

/// What happens to a picture before the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Preprocess {
    /// Side of the square input in pixels.
    pub size: u32,
    /// How a picture of another shape is fitted.
    pub mode: ResizeMode,
    /// Mean of red, green and blue, in units of the 8-bit values 0 to 255.
    pub mean: [f32; 3],
    /// Deviation of red, green and blue in the same units: the encoder sees (value - mean) / std.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Reads section [`Tag::PREPROCESS`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_INPUT_SIZE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AssetError> {
        let corrupt = |what| Err(Tag::PREPROCESS.corrupt(what));
        let mut fields = Fields::new(Tag::PREPROCESS, bytes);
        let record = fields.record::<Record>()?;
        fields.end()?;
        limits::check("pixels of the input's side", record.size as usize, limits::MAX_INPUT_SIZE)?;
        let Some(&mode) = ResizeMode::ALL.get(record.mode as usize) else {
            return corrupt("its resize mode is unknown to this version");
        };
        if record.size == 0 {
            return corrupt("the input size is 0");
        }
        let finite = record.mean.iter().chain(&record.std).all(|value| value.is_finite());
        if !finite || record.std.iter().any(|&std| std <= 0.0) {
            return corrupt("mean or deviation is not a usable number");
        }
        Ok(Self { size: record.size, mode, mean: record.mean, std: record.std })
    }

    /// Writes the section.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let &Self { size, mode, mean, std } = self;
        let record = Record { size, mode: mode as u32, mean, std, reserved: [0; 8] };
        super::fields::Writer::new(&record).end()
    }
}
