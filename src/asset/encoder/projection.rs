//! The linear map from the trunk into the space of the text weights.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::asset::fields::Fields;
use crate::asset::{AssetError, Tag, limits};

/// The record at the start of the projection. Bias, image mean and the f16 rows follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ProjectionHeader {
    /// Length of the trunk's feature.
    pub trunk: u32,
    /// Length of the projected feature.
    pub dim: u32,
}

/// The linear map from the unit-norm trunk into the space of the text weights, and the mean that
/// centres what comes out.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// Length of the trunk's feature.
    pub trunk: usize,
    /// Length of the projected feature.
    pub dim: usize,
    /// Bits of f16, `[dim][trunk]`.
    pub weight: &'a [u16],
    /// Added to the product, `[dim]`.
    pub bias: &'a [f32],
    /// Mean of unit-norm projected features over photographs, `[dim]`.
    pub image_mean: &'a [f32],
}

impl<'a> Projection<'a> {
    /// Checks the section.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`] or [`AssetError::Limit`], naming what is wrong.
    pub fn parse(section: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::PROJECTION, section);
        let header: &ProjectionHeader = fields.record()?;
        let (trunk, dim) = (header.trunk as usize, header.dim as usize);
        limits::check("trunk dimensions", trunk, limits::MAX_DIM)?;
        limits::check("projected dimensions", dim, limits::MAX_DIM)?;
        let bias = fields.array(dim)?;
        let image_mean = fields.array(dim)?;
        let weight = fields.array(dim * trunk)?;
        fields.end()?;
        Ok(Self { trunk, dim, weight, bias, image_mean })
    }
}

/// Writes a projection.
#[cfg(feature = "std")]
#[must_use]
pub fn projection_section(projection: Projection) -> std::vec::Vec<u8> {
    crate::asset::fields::Writer::new(&ProjectionHeader {
        trunk: projection.trunk as u32,
        dim: projection.dim as u32,
    })
    .array(projection.bias)
    .array(projection.image_mean)
    .array(projection.weight)
    .end()
}
