use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Space, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) kind: u32,
    pub(super) space: u32,
    pub(super) dim: u32,
    pub(super) hidden: u32,
    pub(super) keep: f32,
    pub(super) ratio: f32,
    pub(super) reserved: [u32; 2],
}

/// The branch of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// `up f`, with `up` square.
    Linear,
    /// `relu(up relu(down f))`.
    Bottleneck,
}

impl Branch {
    /// Every kind; the place in this list is the number in the file.
    pub const ALL: [Self; 2] = [Self::Linear, Self::Bottleneck];

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Bottleneck => "bottleneck",
        }
    }
}

/// A map of a feature onto one of the same size, `g = norm(keep f + ratio branch(f))`, which text
/// weights and linear term of its space read in place of f. Keys are compared with f itself.
#[derive(Clone, Copy, Debug)]
pub struct Adapter<'a> {
    /// What the branch computes.
    pub branch: Branch,
    /// The feature that is replaced.
    pub space: Space,
    /// Dimensions of the feature.
    pub dim: usize,
    /// Values between the two layers of a bottleneck; 0 for a linear branch.
    pub hidden: usize,
    /// Factor of the feature itself.
    pub keep: f32,
    /// Factor of the branch.
    pub ratio: f32,
    /// `[hidden][dim]`, bits of f16.
    pub down: &'a [u16],
    /// `[dim][hidden]`, for a linear branch `[dim][dim]`, bits of f16.
    pub up: &'a [u16],
}

impl<'a> Adapter<'a> {
    /// Reads section [`Tag::ADAPTER`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::ADAPTER, bytes);
        let record = fields.record::<Record>()?;
        let (dim, hidden) = (record.dim as usize, record.hidden as usize);
        limits::check("dimensions of a feature", dim, limits::MAX_DIM)?;
        limits::check("dimensions of a bottleneck", hidden, limits::MAX_DIM)?;
        let branch = Branch::ALL.get(record.kind as usize);
        let (Some(&branch), Some(&space)) = (branch, Space::ALL.get(record.space as usize)) else {
            return Err(Tag::ADAPTER.corrupt("its kind or its space is unknown to this version"));
        };
        if (branch == Branch::Linear) != (hidden == 0) {
            return Err(Tag::ADAPTER.corrupt("a bottleneck, and nothing else, has a width"));
        }
        let up = if hidden == 0 { dim } else { hidden };
        let view = Self {
            branch,
            space,
            dim,
            hidden,
            keep: record.keep,
            ratio: record.ratio,
            down: fields.array(hidden * dim)?,
            up: fields.array(dim * up)?,
        };
        fields.end()?;
        Ok(view)
    }

    /// All values are finite.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        let mut weights = self.down.iter().chain(self.up);
        let finite = weights.all(|&bits| f16::from_bits(bits).is_finite());
        if !finite || !self.keep.is_finite() || !self.ratio.is_finite() {
            return Err(Tag::ADAPTER.corrupt("a weight is not finite"));
        }
        Ok(())
    }

    /// Writes the section; `down` is empty for a linear branch.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit.
    #[cfg(feature = "std")]
    pub fn encode(
        space: Space,
        dim: usize,
        [keep, ratio]: [f32; 2],
        down: &[f32],
        up: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let hidden = down.len() / dim.max(1);
        let branch = if hidden == 0 { Branch::Linear } else { Branch::Bottleneck };
        let bits = |values: &[f32]| -> Vec<u16> {
            values.iter().map(|&value| f16::from_f32(value).to_bits()).collect()
        };
        let record = Record {
            kind: branch as u32,
            space: space as u32,
            dim: dim as u32,
            hidden: hidden as u32,
            keep,
            ratio,
            reserved: [0; 2],
        };
        let section = super::fields::Writer::new(&record).array(&bits(down)).array(&bits(up)).end();
        let aligned = super::AlignedBytes::from(&section[..]);
        Adapter::parse(&aligned)?.validate()?;
        Ok(section)
    }
}
