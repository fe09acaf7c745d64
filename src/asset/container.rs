//! Header, table of contents and checksums: where the sections lie, not what they mean.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::format::{ALIGN, ENTRY_LEN, HEADER_LEN, MAGIC, MAJOR};
use super::{AssetError, EncoderId, Tag, limits};

/// An asset in use must start at a multiple of this: the widest element of a section is a u64.
/// (Within the file everything is aligned to [`ALIGN`] bytes, so a map keeps that alignment.)
pub const BASE_ALIGN: usize = align_of::<Header>();

/// First 64 bytes of the file.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) major: u16,
    pub(super) minor: u16,
    pub(super) sections: u32,
    pub(super) file_len: u64,
    pub(super) encoder: EncoderId,
    /// CRC-32 of the bytes before it and of the table of contents.
    pub(super) crc: u32,
    pub(super) reserved: u32,
}

/// One section in the table of contents.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) tag: Tag,
    pub(super) crc: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) reserved: u64,
}

const _: () = assert!(size_of::<Header>() == HEADER_LEN && size_of::<Entry>() == ENTRY_LEN);
const CRC_AT: usize = core::mem::offset_of!(Header, crc);

/// The checksum over header and table of contents.
pub(super) fn header_crc(header: &Header, toc: &[Entry]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header.as_bytes()[..CRC_AT]);
    crc.update(toc.as_bytes());
    crc.finalize()
}

/// An asset whose sections have been found. Nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    toc: &'a [Entry],
}

impl<'a> Container<'a> {
    /// Checks header and table of contents: magic, version, checksum, bounds, order and alignment.
    /// Takes microseconds whatever the size; the sections' contents are [verified](Self::verify)
    /// separately. Bytes after the announced length are ignored, so that a whole flash partition
    /// can be given.
    ///
    /// # Errors
    /// All of [`AssetError`] except those of the sections' contents.
    pub fn open(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let found = bytes.len() as u64;
        let short = |needed: usize| AssetError::Truncated { needed: needed as u64, found };
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if start != &MAGIC[..start.len()] || start.is_empty() {
            return Err(AssetError::BadMagic);
        }
        let header = bytes.get(..HEADER_LEN).ok_or(short(HEADER_LEN))?;
        let header = Header::ref_from_bytes(header)
            .map_err(|_| AssetError::Misaligned { align: BASE_ALIGN })?;
        // Before the checksum: a newer version may compute that differently.
        if header.major > MAJOR {
            return Err(AssetError::TooNew { found: header.major, supported: MAJOR });
        }
        let sections = header.sections as usize;
        limits::check("sections", sections, limits::MAX_SECTIONS)?;
        let toc_end = HEADER_LEN + sections * ENTRY_LEN;
        let toc = bytes.get(HEADER_LEN..toc_end).ok_or(short(toc_end))?;
        let toc = <[Entry]>::ref_from_bytes(toc)
            .map_err(|_| AssetError::Misaligned { align: BASE_ALIGN })?;

        let corrupt = |what| Err(AssetError::Corrupt { section: None, what });
        if header_crc(header, toc) != header.crc {
            return corrupt("its checksum differs");
        }
        if header.reserved != 0 || header.major == 0 {
            return corrupt("it has values that no version writes");
        }
        if found < header.file_len {
            return Err(AssetError::Truncated { needed: header.file_len, found });
        }
        let mut end = toc_end as u64;
        for (i, entry) in toc.iter().enumerate() {
            if entry.offset % ALIGN as u64 != 0 || entry.offset < end {
                return corrupt("its sections overlap or are not aligned");
            }
            end = match entry.offset.checked_add(entry.len) {
                Some(end) if end <= header.file_len => end,
                _ => return corrupt("a section ends behind the file"),
            };
            if toc[..i].iter().any(|other| other.tag == entry.tag) {
                return corrupt("it names a section twice");
            }
        }
        if end != header.file_len {
            return corrupt("the file does not end with its last section");
        }
        // `end` is at most `bytes.len()`, so every offset fits a usize from here on.
        Ok(Self { bytes: &bytes[..end as usize], header, toc })
    }

    /// Compares every section with its checksum, and the gaps between sections with zero. Reads the
    /// whole file.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`] that names the section.
    pub fn verify(&self) -> Result<(), AssetError> {
        let mut end = HEADER_LEN + size_of_val(self.toc);
        for (tag, range, crc) in self.sections() {
            if self.bytes[end..range.start].iter().any(|&byte| byte != 0) {
                return Err(tag.corrupt("bytes before it are not zero"));
            }
            end = range.end;
            if crc32fast::hash(&self.bytes[range]) != crc {
                return Err(tag.corrupt("its checksum differs"));
            }
        }
        Ok(())
    }

    /// The bytes of a section; they start at a multiple of [`ALIGN`] from the file's start.
    #[must_use]
    pub fn section(&self, tag: Tag) -> Option<&'a [u8]> {
        let entry = self.toc.iter().find(|entry| entry.tag == tag)?;
        Some(&self.bytes[range(entry)])
    }

    /// Every section in file order: its name, where it lies in [`bytes`](Self::bytes), and its
    /// CRC-32 as announced.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = (Tag, Range<usize>, u32)> + use<'a> {
        self.toc.iter().map(|entry| (entry.tag, range(entry), entry.crc))
    }

    /// The encoder that this asset belongs to.
    #[must_use]
    pub fn encoder_id(&self) -> EncoderId {
        self.header.encoder
    }

    /// Format version of the file: major, minor.
    #[must_use]
    pub fn version(&self) -> (u16, u16) {
        (self.header.major, self.header.minor)
    }

    /// The whole file, without what may follow it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

fn range(entry: &Entry) -> Range<usize> {
    entry.offset as usize..(entry.offset + entry.len) as usize
}
