use half::f16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) classes: u32,
    pub(super) dim: u32,
}

/// Where a class's row of text weights comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// Nowhere: weights and bias are 0.
    Empty,
    /// The text encoder.
    Text,
    /// The class's own shots, in place of the text that it lacks; such a row has any length.
    Shots,
}

impl RowKind {
    /// Every kind; the place in this list is the number in the file.
    pub const ALL: [Self; 3] = [Self::Empty, Self::Text, Self::Shots];
}

/// Text weights of the classes: logit of class c = logit_scale * (weights_c · f) + bias_c for the
/// projected feature f. The vector of class c is `weights_c + mean`, of length 1: taking out the
/// mean keeps f16 exact where classes differ and moves all logits alike.
#[derive(Clone, Copy, Debug)]
pub struct TextWeights<'a> {
    /// Number of classes, with or without text.
    pub classes: usize,
    /// Dimensions of the projected feature.
    pub dim: usize,
    /// Per class: where its row comes from, see [`RowKind`].
    pub kind: &'a [u8],
    /// `[classes]`
    pub bias: &'a [f32],
    /// `[dim]`: what was taken out of every row.
    pub mean: &'a [f32],
    /// `[classes][dim]`, bits of f16.
    pub weights: &'a [u16],
}

impl<'a> TextWeights<'a> {
    /// Reads section [`Tag::TEXT`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::TEXT, bytes);
        let record = fields.record::<Record>()?;
        let (classes, dim) = (record.classes as usize, record.dim as usize);
        check(classes, dim)?;
        let view = Self {
            classes,
            dim,
            kind: fields.array(classes)?,
            bias: fields.array(classes)?,
            mean: fields.array(dim)?,
            weights: fields.array(classes * dim)?,
        };
        fields.end()?;
        Ok(view)
    }

    /// Whether class `class` has text.
    #[must_use]
    pub fn has(&self, class: usize) -> bool {
        self.kind(class) == RowKind::Text
    }

    /// Where the row of class `class` comes from.
    #[must_use]
    pub fn kind(&self, class: usize) -> RowKind {
        let number = self.kind.get(class).map_or(0, |&number| usize::from(number));
        RowKind::ALL.get(number).copied().unwrap_or(RowKind::Empty)
    }

    /// Weights of class `class`: `dim` values, bits of f16.
    #[must_use]
    pub fn row(&self, class: usize) -> Option<&'a [u16]> {
        let start = class.checked_mul(self.dim)?;
        self.weights.get(start..start.checked_add(self.dim)?)
    }

    /// All values are finite, vectors of text have length 1, and classes without a row have zeros.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        let corrupt = |what| Err(Tag::TEXT.corrupt(what));
        if !self.bias.iter().chain(self.mean).all(|value| value.is_finite()) {
            return corrupt("a bias or the mean is not finite");
        }
        for class in 0..self.classes {
            let (Some(row), Some(&flag)) = (self.row(class), self.kind.get(class)) else {
                return corrupt("it is shorter than its counts say");
            };
            let values = row.iter().map(|&bits| f16::from_bits(bits).to_f32());
            if values.clone().any(|value| !value.is_finite()) {
                return corrupt("a weight is not finite");
            }
            match flag {
                0 if values.clone().any(|value| value != 0.0) || self.bias[class] != 0.0 => {
                    return corrupt("a class without a row has weights");
                }
                0 => {}
                1 => {
                    let norm: f32 = values.zip(self.mean).map(|(v, m)| (v + m) * (v + m)).sum();
                    if !(0.9..1.1).contains(&norm) {
                        return corrupt("the text vector of a class does not have length 1");
                    }
                }
                2 => {}
                _ => return corrupt("it is unclear where the row of a class comes from"),
            }
        }
        Ok(())
    }

    /// Writes the section. `weights` is `[classes][dim]` after taking out `mean` (`[dim]`);
    /// `kinds` and `bias` have one value for each class.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the slices' lengths do not fit.
    #[cfg(feature = "std")]
    pub fn encode(
        kinds: &[RowKind],
        bias: &[f32],
        mean: &[f32],
        weights: &[f32],
    ) -> Result<Vec<u8>, AssetError> {
        let (classes, dim) = (kinds.len(), mean.len());
        check(classes, dim)?;
        if bias.len() != classes || weights.len() != classes * dim {
            return Err(Tag::TEXT.corrupt("weights, biases and flags are not of one size"));
        }
        let kinds: Vec<u8> = kinds.iter().map(|&kind| kind as u8).collect();
        let bits: Vec<u16> = weights.iter().map(|&value| f16::from_f32(value).to_bits()).collect();
        let record = Record { classes: classes as u32, dim: dim as u32 };
        let section = super::fields::Writer::new(&record);
        Ok(section.array(&kinds).array(bias).array(mean).array(&bits).end())
    }
}

fn check(classes: usize, dim: usize) -> Result<(), AssetError> {
    limits::check("classes", classes, limits::MAX_CLASSES)?;
    limits::check("dimensions of a feature", dim, limits::MAX_DIM)
}
