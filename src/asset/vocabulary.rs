use core::cmp::Ordering;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::strings::TextList;
use super::{AssetError, StringTable, Tag, limits};

const NAMES: TextList = TextList {
    tag: Tag::VOCABULARY,
    plural: "names in the vocabulary",
    max: limits::MAX_VOCABULARY,
    bytes: "bytes in one name of the vocabulary",
    max_bytes: limits::MAX_VOCABULARY_NAME_BYTES,
};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) count: u32,
    pub(super) dim: u32,
}

/// Text vectors of many names, so that a new class finds its text without a network. A vector is
/// `scale * codes`, of length 1, with the mean of all text already taken out.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// Dimensions of the projected feature.
    pub dim: usize,
    /// Names in ascending byte order.
    pub names: StringTable<'a>,
    /// `[names]`
    pub scale: &'a [f32],
    /// `[names][dim]`
    pub codes: &'a [i8],
}

impl<'a> Vocabulary<'a> {
    /// Reads section [`Tag::VOCABULARY`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::VOCABULARY, bytes);
        let record = fields.record::<Record>()?;
        let (count, dim) = (record.count as usize, record.dim as usize);
        check(count, dim)?;
        let view = Self {
            dim,
            names: StringTable::parse(Tag::VOCABULARY, &mut fields, count)?,
            scale: fields.array(count)?,
            codes: fields.array(count.saturating_mul(dim))?,
        };
        fields.end()?;
        Ok(view)
    }

    /// The place of exactly this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.names.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.names.get(middle)?.cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Codes and scale of name `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> Option<(&'a [i8], f32)> {
        let start = i.checked_mul(self.dim)?;
        Some((self.codes.get(start..start.checked_add(self.dim)?)?, *self.scale.get(i)?))
    }

    /// Names ascend and are not too long; vectors are finite and have length 1.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn validate(&self) -> Result<(), AssetError> {
        let corrupt = |what| Err(Tag::VOCABULARY.corrupt(what));
        NAMES.validate(&self.names)?;
        for i in 0..self.names.len() {
            if i > 0 && self.names.get(i - 1) >= self.names.get(i) {
                return corrupt("its names are not in ascending order");
            }
            let Some((codes, scale)) = self.row(i) else {
                return corrupt("it is shorter than its counts say");
            };
            let dot: i32 = codes.iter().map(|&code| i32::from(code) * i32::from(code)).sum();
            if !(0.9..1.1).contains(&(dot as f32 * scale * scale)) {
                return corrupt("the vector of a name does not have length 1");
            }
        }
        Ok(())
    }

    /// Writes the section: names in ascending byte order, `codes` `[names][dim]`, and one scale
    /// for each name.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the lengths do not fit or the names are
    /// out of order.
    #[cfg(feature = "std")]
    pub fn encode<S: AsRef<str>>(
        names: &[S],
        dim: usize,
        scale: &[f32],
        codes: &[i8],
    ) -> Result<Vec<u8>, AssetError> {
        check(names.len(), dim)?;
        if scale.len() != names.len() || codes.len() != names.len() * dim {
            return Err(Tag::VOCABULARY.corrupt("names, scales and codes are not of one size"));
        }
        if !names.is_sorted_by(|a, b| a.as_ref() < b.as_ref()) {
            return Err(Tag::VOCABULARY.corrupt("its names are not in ascending order"));
        }
        let (offsets, text) = NAMES.arrays(names)?;
        let record = Record { count: names.len() as u32, dim: dim as u32 };
        let section = super::fields::Writer::new(&record).array(&offsets).array(&text);
        Ok(section.array(scale).array(codes).end())
    }
}

fn check(names: usize, dim: usize) -> Result<(), AssetError> {
    limits::check(NAMES.plural, names, NAMES.max)?;
    limits::check("dimensions of a feature", dim, limits::MAX_DIM)
}
