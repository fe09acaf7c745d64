use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::encoder::Projection;
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

/// Numbers of the kinds in the file: places in [`Adapter::KINDS`].
const LINEAR: u32 = 0;
const BOTTLENECK: u32 = 1;
const PROJECTION: u32 = 2;

/// What text weights and linear term read in place of one of the encoder's features. Keys are
/// compared with the feature itself.
#[derive(Clone, Copy, Debug)]
pub enum Adapter<'a> {
    /// A branch beside a feature: linear or a bottleneck.
    Branch(Branch<'a>),
    /// From the trunk's feature, in place of the encoder's own projection.
    Projection(Projection<'a>),
}

/// A map of a feature onto one of the same size: `norm(keep f + ratio branch(f))`.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// The feature that is replaced.
    pub space: Space,
    /// Dimensions of the feature.
    pub dim: usize,
    /// Values between the two layers of a bottleneck, `relu(up relu(down f))`; 0 for a linear branch,
    /// `up f`.
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
    /// Names of the kinds, for people; the place in this list is the number in the file.
    pub const KINDS: [&'static str; 3] = ["linear", "bottleneck", "projection"];

    /// Reads section [`Tag::ADAPTER`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::ADAPTER, bytes);
        let record = fields.record::<Record>()?;
        let (dim, hidden) = (record.dim as usize, record.hidden as usize);
        limits::check("dimensions of a feature", dim, limits::MAX_DIM)?;
        limits::check("values that an adapter reads", hidden, limits::MAX_DIM)?;
        let Some(&space) = Space::ALL.get(record.space as usize) else {
            return Err(Tag::ADAPTER.corrupt("its space is unknown to this version"));
        };
        if record.kind == BOTTLENECK && hidden == 0 || record.kind == LINEAR && hidden != 0 {
            return Err(Tag::ADAPTER.corrupt("a bottleneck has a width, a linear branch has none"));
        }
        let view = match record.kind {
            LINEAR | BOTTLENECK => Self::Branch(Branch {
                space,
                dim,
                hidden,
                keep: record.keep,
                ratio: record.ratio,
                down: fields.array(hidden * dim)?,
                up: fields.array(dim * if hidden == 0 { dim } else { hidden })?,
            }),
            PROJECTION if space == Space::Projected => Self::Projection(Projection {
                trunk: hidden,
                dim,
                bias: fields.array(dim)?,
                image_mean: fields.array(dim)?,
                weight: fields.array(dim * hidden)?,
            }),
            PROJECTION => {
                return Err(Tag::ADAPTER.corrupt("a projection replaces the projected feature"));
            }
            _ => return Err(Tag::ADAPTER.corrupt("its kind is unknown to this version")),
        };
        fields.end()?;
        Ok(view)
    }

    /// The feature that is replaced.
    #[must_use]
    pub const fn space(&self) -> Space {
        match self {
            Self::Branch(branch) => branch.space,
            Self::Projection(_) => Space::Projected,
        }
    }

    /// Dimensions of the feature that is replaced.
    #[must_use]
    pub const fn dim(&self) -> usize {
        match self {
            Self::Branch(branch) => branch.dim,
            Self::Projection(projection) => projection.dim,
        }
    }

    /// The feature that is read, and its dimensions.
    #[must_use]
    pub const fn reads(&self) -> (Space, usize) {
        match self {
            Self::Branch(branch) => (branch.space, branch.dim),
            Self::Projection(projection) => (Space::Trunk, projection.trunk),
        }
    }

    /// Values between two layers.
    #[must_use]
    pub const fn hidden(&self) -> usize {
        match self {
            Self::Branch(branch) => branch.hidden,
            Self::Projection(_) => 0,
        }
    }

    /// All values are finite.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        let finite = |bits: &[u16]| bits.iter().all(|&bits| f16::from_bits(bits).is_finite());
        let all = match self {
            Self::Branch(Branch { keep, ratio, down, up, .. }) => {
                finite(down) && finite(up) && keep.is_finite() && ratio.is_finite()
            }
            Self::Projection(Projection { weight, bias, image_mean, .. }) => {
                finite(weight) && bias.iter().chain(*image_mean).all(|value| value.is_finite())
            }
        };
        if all { Ok(()) } else { Err(Tag::ADAPTER.corrupt("a weight is not finite")) }
    }

    /// Writes the section of a branch; `down` is empty for a linear one.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit.
    #[cfg(feature = "std")]
    pub fn encode_branch(
        space: Space,
        dim: usize,
        [keep, ratio]: [f32; 2],
        down: &[f32],
        up: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let hidden = down.len() / dim.max(1);
        let record = Record {
            kind: if hidden == 0 { LINEAR } else { BOTTLENECK },
            space: space as u32,
            dim: dim as u32,
            hidden: hidden as u32,
            keep,
            ratio,
            reserved: [0; 2],
        };
        let writer = super::fields::Writer::new(&record);
        checked(writer.array(&bits(down)).array(&bits(up)).end())
    }

    /// Writes the section of a projection: `weight` `[dim][trunk]`, `bias` and `image_mean` `[dim]`.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit.
    #[cfg(feature = "std")]
    pub fn encode_projection(
        weight: &[f32],
        bias: &[f32],
        image_mean: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let dim = bias.len();
        let record = Record {
            kind: PROJECTION,
            space: Space::Projected as u32,
            dim: dim as u32,
            hidden: (weight.len() / dim.max(1)) as u32,
            keep: 0.0,
            ratio: 1.0,
            reserved: [0; 2],
        };
        let writer = super::fields::Writer::new(&record);
        checked(writer.array(bias).array(image_mean).array(&bits(weight)).end())
    }
}

#[cfg(feature = "std")]
fn bits(values: &[f32]) -> Vec<u16> {
    values.iter().map(|&value| f16::from_f32(value).to_bits()).collect()
}

#[cfg(feature = "std")]
fn checked(section: Vec<u8>) -> Result<Vec<u8>, AssetError> {
    let aligned = super::AlignedBytes::from(&section[..]);
    Adapter::parse(&aligned)?.validate()?;
    Ok(section)
}
