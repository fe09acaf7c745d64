use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Space, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) space: u32,
    pub(super) classes: u32,
    pub(super) dim: u32,
    pub(super) reserved: u32,
}

/// A linear term of the logits: `weights_c · g + bias_c` for the feature g of `space`, after the
/// adapter if that is for the same space. The mean over the classes is taken out of weights and
/// biases, which moves all logits alike and keeps f16 exact where classes differ.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// The feature that is read.
    pub space: Space,
    /// Number of classes, with or without a row.
    pub classes: usize,
    /// Dimensions of the feature.
    pub dim: usize,
    /// `[classes]`: 1 where a class has a row.
    pub rows: &'a [u8],
    /// `[classes]`
    pub bias: &'a [f32],
    /// `[classes][dim]`, bits of f16.
    pub weights: &'a [u16],
}

impl<'a> Linear<'a> {
    /// Reads section [`Tag::LINEAR`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::LINEAR, bytes);
        let record = fields.record::<Record>()?;
        let (classes, dim) = (record.classes as usize, record.dim as usize);
        check(classes, dim)?;
        let Some(&space) = Space::ALL.get(record.space as usize) else {
            return Err(Tag::LINEAR.corrupt("the space that it reads is unknown to this version"));
        };
        let view = Self {
            space,
            classes,
            dim,
            rows: fields.array(classes)?,
            bias: fields.array(classes)?,
            weights: fields.array(classes * dim)?,
        };
        fields.end()?;
        Ok(view)
    }

    /// Whether class `class` has a row.
    #[must_use]
    pub fn has(&self, class: usize) -> bool {
        self.rows.get(class) == Some(&1)
    }

    /// All values are finite, and classes without a row have zeros.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        if !self.bias.iter().all(|bias| bias.is_finite())
            || !self.weights.iter().all(|&bits| f16::from_bits(bits).is_finite())
        {
            return Err(Tag::LINEAR.corrupt("a weight or a bias is not finite"));
        }
        for (class, row) in self.weights.chunks_exact(self.dim.max(1)).enumerate() {
            let empty = self.bias[class] == 0.0 && row.iter().all(|&bits| bits << 1 == 0);
            if self.rows[class] > 1 || !self.has(class) && !empty {
                return Err(Tag::LINEAR.corrupt("a class without a row has weights"));
            }
        }
        Ok(())
    }

    /// Writes the section: `rows` and `bias` have one value for each class, `weights` is
    /// `[classes][dim]`.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit or a weight is
    /// beyond f16.
    #[cfg(feature = "std")]
    pub fn encode(
        space: Space,
        rows: &[bool],
        bias: &[f32],
        weights: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let classes = rows.len();
        let dim = weights.len() / classes.max(1);
        check(classes, dim)?;
        if bias.len() != classes || weights.len() != classes * dim {
            return Err(Tag::LINEAR.corrupt("weights, biases and flags are not of one size"));
        }
        let rows: Vec<u8> = rows.iter().map(|&row| row.into()).collect();
        let bits: Vec<u16> = weights.iter().map(|&value| f16::from_f32(value).to_bits()).collect();
        let record =
            Record { space: space as u32, classes: classes as u32, dim: dim as u32, reserved: 0 };
        let section =
            super::fields::Writer::new(&record).array(&rows).array(bias).array(&bits).end();
        let aligned = super::AlignedBytes::from(&section[..]);
        Linear::parse(&aligned)?.validate()?;
        Ok(section)
    }
}

fn check(classes: usize, dim: usize) -> Result<(), AssetError> {
    limits::check("classes", classes, limits::MAX_CLASSES)?;
    limits::check("dimensions of a feature", dim, limits::MAX_DIM)
}
