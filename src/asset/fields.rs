//! A section's inside: a small record, then arrays, each at the next multiple of [`ALIGN`] bytes
//! from the section's start. The section ends with its last array.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::container::BASE_ALIGN;
use super::format::ALIGN;
use super::{AssetError, Tag};

/// Reads a section from front to back without copying.
pub(super) struct Fields<'a> {
    tag: Tag,
    bytes: &'a [u8],
    at: usize,
}

const SHORT: &str = "it is shorter than its counts say";
const LONG: &str = "it is longer than its counts say";
const MISALIGNED: AssetError = AssetError::Misaligned { align: BASE_ALIGN };

impl<'a> Fields<'a> {
    pub(super) fn new(tag: Tag, bytes: &'a [u8]) -> Self {
        Self { tag, bytes, at: 0 }
    }

    /// The record at the section's start.
    pub(super) fn record<T>(&mut self) -> Result<&'a T, AssetError>
    where
        T: FromBytes + KnownLayout + Immutable,
    {
        let range = place::<T>(self.at, 1).ok_or(self.tag.corrupt(SHORT))?;
        let part = self.bytes.get(range.clone()).ok_or(self.tag.corrupt(SHORT))?;
        self.at = range.end;
        T::ref_from_bytes(part).map_err(|_| MISALIGNED)
    }

    /// The next array.
    pub(super) fn array<T>(&mut self, count: usize) -> Result<&'a [T], AssetError>
    where
        T: FromBytes + Immutable,
    {
        let range = place::<T>(self.at, count).ok_or(self.tag.corrupt(SHORT))?;
        let part = self.bytes.get(range.clone()).ok_or(self.tag.corrupt(SHORT))?;
        self.at = range.end;
        <[T]>::ref_from_bytes(part).map_err(|_| MISALIGNED)
    }

    /// Nothing may follow the last array.
    pub(super) fn end(self) -> Result<(), AssetError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.tag.corrupt(LONG)) }
    }
}

/// The same for a section that is edited in place.
pub(super) struct FieldsMut<'a> {
    tag: Tag,
    rest: &'a mut [u8],
    at: usize,
}

impl<'a> FieldsMut<'a> {
    pub(super) fn new(tag: Tag, bytes: &'a mut [u8]) -> Self {
        Self { tag, rest: bytes, at: 0 }
    }

    fn take(&mut self, range: Option<core::ops::Range<usize>>) -> Result<&'a mut [u8], AssetError> {
        let short = self.tag.corrupt(SHORT);
        let range = range.ok_or(short)?;
        let rest = core::mem::take(&mut self.rest);
        let (_, rest) = rest.split_at_mut_checked(range.start - self.at).ok_or(short)?;
        let (part, rest) = rest.split_at_mut_checked(range.len()).ok_or(short)?;
        self.rest = rest;
        self.at = range.end;
        Ok(part)
    }

    /// The record at the section's start.
    pub(super) fn record<T>(&mut self) -> Result<&'a mut T, AssetError>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable,
    {
        let part = self.take(place::<T>(self.at, 1))?;
        T::mut_from_bytes(part).map_err(|_| MISALIGNED)
    }

    /// The next array.
    pub(super) fn array<T>(&mut self, count: usize) -> Result<&'a mut [T], AssetError>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        let part = self.take(place::<T>(self.at, count))?;
        <[T]>::mut_from_bytes(part).map_err(|_| MISALIGNED)
    }

    /// Nothing may follow the last array.
    pub(super) fn end(self) -> Result<(), AssetError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.tag.corrupt(LONG)) }
    }
}

/// Where `count` values of `T` lie when the fields before them end at `at`; none when that is
/// beyond a usize.
pub(super) fn place<T>(at: usize, count: usize) -> Option<core::ops::Range<usize>> {
    let start = at.checked_next_multiple_of(ALIGN)?;
    Some(start..start.checked_add(count.checked_mul(size_of::<T>())?)?)
}

/// Writes a section from front to back.
#[cfg(feature = "std")]
pub(super) struct Writer(Vec<u8>);

#[cfg(feature = "std")]
impl Writer {
    pub(super) fn new<T: IntoBytes + Immutable>(record: &T) -> Self {
        Self(record.as_bytes().to_vec())
    }

    pub(super) fn array<T: IntoBytes + Immutable>(mut self, values: &[T]) -> Self {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self.0.extend_from_slice(values.as_bytes());
        self
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}
