use core::str::from_utf8;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};

/// Texts one behind the other: text `i` is the UTF-8 bytes from `offsets[i]` to `offsets[i + 1]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringTable<'a> {
    offsets: &'a [u32],
    text: &'a [u8],
}

impl<'a> StringTable<'a> {
    /// The next two arrays of a section: `count + 1` offsets and the bytes.
    pub(super) fn parse(
        tag: Tag,
        fields: &mut Fields<'a>,
        count: usize,
    ) -> Result<Self, AssetError> {
        let ends = count.checked_add(1).ok_or(tag.corrupt("it counts too many texts"))?;
        let offsets = fields.array::<u32>(ends)?;
        let (Some(&0), Some(&end)) = (offsets.first(), offsets.last()) else {
            return Err(tag.corrupt("its texts do not start at 0"));
        };
        Ok(Self { offsets, text: fields.array::<u8>(end as usize)? })
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text `i`; none behind the last, or where the file is damaged.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a str> {
        let (&start, &end) = (self.offsets.get(i)?, self.offsets.get(i.checked_add(1)?)?);
        from_utf8(self.text.get(start as usize..end as usize)?).ok()
    }

    /// Every text in order, up to the first that is damaged.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let table = *self;
        (0..table.len()).map_while(move |i| table.get(i))
    }
}

/// A section that is a list of texts: a record with their number, offsets, bytes. Shared by labels,
/// prompts, key names and provenance.
pub(super) struct TextList {
    pub(super) tag: Tag,
    /// What the texts are, in the plural, and how many there may be.
    pub(super) plural: &'static str,
    pub(super) max: usize,
    /// "bytes in one ..." and how many there may be.
    pub(super) bytes: &'static str,
    pub(super) max_bytes: usize,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) count: u32,
    pub(super) reserved: u32,
}

impl TextList {
    pub(super) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<StringTable<'a>, AssetError> {
        let mut fields = Fields::new(self.tag, bytes);
        let count = fields.record::<Record>()?.count as usize;
        limits::check(self.plural, count, self.max)?;
        let table = StringTable::parse(self.tag, &mut fields, count)?;
        fields.end()?;
        Ok(table)
    }

    /// Every text is UTF-8, in order and not too long.
    pub(super) fn validate(&self, table: &StringTable<'_>) -> Result<(), AssetError> {
        (0..table.len()).try_for_each(|i| {
            let text = table.get(i).ok_or(self.tag.corrupt("a text is not UTF-8"))?;
            limits::check(self.bytes, text.len(), self.max_bytes)
        })
    }

    /// The two arrays of a [`StringTable`].
    #[cfg(feature = "std")]
    pub(super) fn arrays<S: AsRef<str>>(
        &self,
        texts: &[S],
    ) -> Result<(Vec<u32>, Vec<u8>), AssetError> {
        limits::check(self.plural, texts.len(), self.max)?;
        let mut offsets = vec![0];
        let mut bytes = Vec::new();
        for text in texts {
            limits::check(self.bytes, text.as_ref().len(), self.max_bytes)?;
            bytes.extend_from_slice(text.as_ref().as_bytes());
            offsets.push(u32::try_from(bytes.len()).map_err(|_| AssetError::Limit {
                name: "bytes of text in one section",
                found: bytes.len() as u64,
                max: u64::from(u32::MAX),
            })?);
        }
        Ok((offsets, bytes))
    }

    #[cfg(feature = "std")]
    pub(super) fn encode<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<u8>, AssetError> {
        let (offsets, bytes) = self.arrays(texts)?;
        let record = Record { count: texts.len() as u32, reserved: 0 };
        Ok(super::fields::Writer::new(&record).array(&offsets).array(&bytes).end())
    }
}
