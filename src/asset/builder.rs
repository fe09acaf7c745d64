use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use zerocopy::IntoBytes;

use super::container::{Entry, Header, header_crc};
use super::format::{ALIGN, ENTRY_LEN, HEADER_LEN, MAGIC, MAJOR, MINOR};
use super::{AlignedBytes, AssetError, Container, EncoderId, FileError, Tag, limits, write};

/// Lays sections out as a file. The same sections give the same bytes, in whatever order they were
/// added.
#[derive(Clone, Debug)]
pub struct Builder<'a> {
    encoder: EncoderId,
    sections: Vec<(Tag, Cow<'a, [u8]>)>,
}

impl<'a> Builder<'a> {
    /// A file of this encoder, without sections yet. If encoder sections are added, their own hash
    /// becomes the file's encoder identity.
    #[must_use]
    pub fn new(encoder: EncoderId) -> Self {
        Self { encoder, sections: Vec::new() }
    }

    /// A file with the sections of another one, also those unknown to this version.
    #[must_use]
    pub fn from_container(container: &Container<'a>) -> Self {
        let sections = container
            .sections()
            .map(|(tag, range, _)| (tag, Cow::Borrowed(&container.bytes()[range])))
            .collect();
        Self { encoder: container.encoder_id(), sections }
    }

    /// Adds a section, or replaces the one of the same name.
    #[must_use]
    pub fn section(mut self, tag: Tag, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        self = self.without(tag);
        self.sections.push((tag, bytes.into()));
        self
    }

    /// Leaves a section out.
    #[must_use]
    pub fn without(mut self, tag: Tag) -> Self {
        self.sections.retain(|(other, _)| *other != tag);
        self
    }

    /// The identity that the file will carry.
    #[must_use]
    pub fn encoder_id(&self) -> EncoderId {
        let section = |tag| {
            self.sections.iter().find(|(other, _)| *other == tag).map(|(_, bytes)| bytes.as_ref())
        };
        EncoderId::of(section).unwrap_or(self.encoder)
    }

    /// The whole file in memory.
    ///
    /// # Errors
    /// [`AssetError::Limit`] above [`limits::MAX_SECTIONS`].
    pub fn to_bytes(&self) -> Result<AlignedBytes, AssetError> {
        let layout = self.layout()?;
        let mut bytes = AlignedBytes::zeroed(layout.header.file_len as usize);
        bytes[..HEADER_LEN].copy_from_slice(layout.header.as_bytes());
        bytes[HEADER_LEN..][..size_of_val(&layout.toc[..])].copy_from_slice(layout.toc.as_bytes());
        for (entry, section) in layout.toc.iter().zip(&layout.sections) {
            bytes[entry.offset as usize..][..section.len()].copy_from_slice(section);
        }
        Ok(bytes)
    }

    /// Writes the file so that `path` names the old contents or the new ones, never a part, and
    /// keeps the old ones on any error.
    ///
    /// # Errors
    /// [`FileError`] that names the path.
    pub fn write_atomic(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let layout = self.layout().map_err(|source| FileError::unusable(path, source))?;
        write::atomic(path, |out| {
            out.write_all(layout.header.as_bytes())?;
            out.write_all(layout.toc.as_bytes())?;
            let mut at = HEADER_LEN + size_of_val(&layout.toc[..]);
            for (entry, section) in layout.toc.iter().zip(&layout.sections) {
                out.write_all(&[0; ALIGN][..entry.offset as usize - at])?;
                out.write_all(section)?;
                at = entry.offset as usize + section.len();
            }
            Ok(())
        })
    }

    /// Sections in the order of [`Tag::ALL`], then the unknown ones by name.
    fn layout(&self) -> Result<Layout<'_>, AssetError> {
        limits::check("sections", self.sections.len(), limits::MAX_SECTIONS)?;
        let mut ordered: Vec<_> = self.sections.iter().collect();
        ordered.sort_by_key(|&&(tag, _)| {
            (Tag::ALL.iter().position(|&known| known == tag).unwrap_or(Tag::ALL.len()), tag)
        });
        let mut end = HEADER_LEN + ordered.len() * ENTRY_LEN;
        let (toc, sections): (Vec<_>, Vec<_>) = ordered
            .into_iter()
            .map(|&(tag, ref bytes)| {
                let offset = end.next_multiple_of(ALIGN);
                end = offset + bytes.len();
                let (offset, len) = (offset as u64, bytes.len() as u64);
                let crc = crc32fast::hash(bytes);
                (Entry { tag, crc, offset, len, reserved: 0 }, bytes.as_ref())
            })
            .unzip();
        let mut header = Header {
            magic: MAGIC,
            major: MAJOR,
            minor: MINOR,
            sections: toc.len() as u32,
            file_len: end as u64,
            encoder: self.encoder_id(),
            crc: 0,
            reserved: 0,
        };
        header.crc = header_crc(&header, &toc);
        Ok(Layout { header, toc, sections })
    }
}

/// Everything that goes into a file; entry i of the table of contents is section i.
struct Layout<'b> {
    header: Header,
    toc: Vec<Entry>,
    sections: Vec<&'b [u8]>,
}
