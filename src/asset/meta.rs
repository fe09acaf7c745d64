use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) dim: u32,
    pub(super) bias: f32,
    pub(super) reserved: [u32; 2],
}

/// The weights of Meta-Adapter's attention, with which new classes get their rows of the linear term.
/// Only making heads reads them.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// Dimensions of the keys.
    pub dim: usize,
    /// The gate's bias.
    pub bias: f32,
    /// `[dim]`
    pub gate: &'a [f32],
    /// `[dim][dim]`, bits of f16.
    pub query: &'a [u16],
    /// `[dim][dim]`, bits of f16.
    pub key: &'a [u16],
}

impl<'a> Meta<'a> {
    /// Reads section [`Tag::META`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::META, bytes);
        let record = fields.record::<Record>()?;
        let dim = record.dim as usize;
        limits::check("dimensions of a feature", dim, limits::MAX_DIM)?;
        let view = Self {
            dim,
            bias: record.bias,
            gate: fields.array(dim)?,
            query: fields.array(dim * dim)?,
            key: fields.array(dim * dim)?,
        };
        fields.end()?;
        Ok(view)
    }

    /// All values are finite.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        let mut weights = self.query.iter().chain(self.key);
        let finite = weights.all(|&bits| f16::from_bits(bits).is_finite());
        if !finite || !self.gate.iter().chain([&self.bias]).all(|value| value.is_finite()) {
            return Err(Tag::META.corrupt("a weight is not finite"));
        }
        Ok(())
    }

    /// Writes the section.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit.
    #[cfg(feature = "std")]
    pub fn encode(
        gate: &[f32],
        bias: f32,
        query: &[f32],
        key: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let bits = |values: &[f32]| -> Vec<u16> {
            values.iter().map(|&value| f16::from_f32(value).to_bits()).collect()
        };
        let record = Record { dim: gate.len() as u32, bias, reserved: [0; 2] };
        let section = super::fields::Writer::new(&record).array(gate);
        let section = section.array(&bits(query)).array(&bits(key)).end();
        let aligned = super::AlignedBytes::from(&section[..]);
        Meta::parse(&aligned)?.validate()?;
        Ok(section)
    }
}
