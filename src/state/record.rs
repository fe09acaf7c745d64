//! Header and records of a journal as bytes; `docs/state.md` lists them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::operation::{Entry, Operation};
use crate::asset::EncoderId;
use crate::asset::limits::{MAX_DIM, MAX_KEY_NAME_BYTES, MAX_LABEL_BYTES};

pub(super) const MAGIC: [u8; 8] = *b"\x89TIPJRN\n";
pub(super) const VERSION: u16 = 1;
/// Where every record starts.
pub(super) const MARK: [u8; 4] = *b"\xA7rec";
pub(super) const HEADER_LEN: usize = size_of::<Header>();
pub(super) const RECORD_LEN: usize = size_of::<RecordHeader>();
/// Shots of one operation.
pub(super) const MAX_SHOTS: usize = 1024;
/// Bytes of a record's payload.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;

/// First bytes of a journal.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: u16,
    pub(super) reserved: [u8; 6],
    pub(super) encoder: EncoderId,
    /// Identity of the base asset's head.
    pub(super) base: [u8; 32],
    /// Identity of what the records apply to: the snapshot, or the base.
    pub(super) applies_to: [u8; 32],
    /// Number in the snapshot's name; 0 for the base.
    pub(super) snapshot: u64,
    /// Keys from this id on were learned, those before it are the base's.
    pub(super) first_learned: u64,
    /// No key gets an id below this one any more.
    pub(super) next_id: u64,
    /// No operation gets a number below this one any more.
    pub(super) next_number: u64,
    pub(super) reserved_too: [u8; 12],
    /// CRC-32 of the bytes before it.
    pub(super) crc: u32,
}

const _: () = assert!(HEADER_LEN == 160 && RECORD_LEN == 24);

impl Header {
    pub(super) fn sealed(mut self) -> Self {
        self.crc = self.checksum();
        self
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..HEADER_LEN - size_of::<u32>()])
    }

    /// The header of a journal, whose version may be one that this program does not read; none if it
    /// is no header, or damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(bytes).ok()?;
        let newer = header.version > VERSION;
        (header.magic == MAGIC && (newer || header.crc == header.checksum())).then_some(header)
    }
}

/// First bytes of a record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RecordHeader {
    mark: [u8; 4],
    len: u32,
    number: u64,
    kind: u32,
    crc: u32,
}

impl RecordHeader {
    /// The journal's own checksum goes in, so that a record of another journal, or bytes inside of a
    /// name that look like one, are none here.
    fn checksum(&self, journal: u32, payload: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(journal.as_bytes());
        crc.update(&self.as_bytes()[..RECORD_LEN - size_of::<u32>()]);
        crc.update(payload);
        crc.finalize()
    }
}

/// A record of the journal whose header has the checksum `journal`.
pub(super) fn encode(number: u64, entry: &Entry<&Operation>, journal: u32) -> Vec<u8> {
    let (kind, payload) = payload(entry);
    let mut header = RecordHeader { mark: MARK, len: payload.len() as u32, number, kind, crc: 0 };
    header.crc = header.checksum(journal, &payload);
    [header.as_bytes(), &payload].concat()
}

/// The record at the start of `bytes` with its number and length; none if there is no whole one.
pub(super) fn decode(bytes: &[u8], journal: u32) -> Option<(u64, Entry, usize)> {
    let (header, rest) = RecordHeader::read_from_prefix(bytes).ok()?;
    if header.mark != MARK || header.len as usize > MAX_PAYLOAD {
        return None;
    }
    let payload = rest.get(..header.len as usize)?;
    if header.checksum(journal, payload) != header.crc {
        return None;
    }
    let entry = entry(header.kind, payload)?;
    Some((header.number, entry, RECORD_LEN + payload.len()))
}

fn payload(entry: &Entry<&Operation>) -> (u32, Vec<u8>) {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let kind = match entry {
        Entry::Do(Operation::Learn { first_id, label, shots }) => {
            let dim = shots.first().map_or(0, |(feature, _)| feature.len());
            out.extend(first_id.to_le_bytes());
            out.extend((shots.len() as u32).to_le_bytes());
            out.extend((dim as u32).to_le_bytes());
            text(&mut out, label);
            for (feature, name) in shots {
                text(&mut out, name);
                out.extend(feature.as_bytes());
            }
            1
        }
        Entry::Do(Operation::ForgetKey(id)) => {
            out.extend(id.to_le_bytes());
            2
        }
        Entry::Do(Operation::ForgetClass(label)) => {
            text(&mut out, label);
            3
        }
        Entry::Do(Operation::Move { id, label }) => {
            out.extend(id.to_le_bytes());
            text(&mut out, label);
            4
        }
        Entry::Do(Operation::Rename { label, new }) => {
            text(&mut out, label);
            text(&mut out, new);
            5
        }
        Entry::Undo(number) => {
            out.extend(number.to_le_bytes());
            6
        }
    };
    (kind, out)
}

/// What a payload says; none where it contradicts itself or is of a kind that this version does not
/// know.
fn entry(kind: u32, payload: &[u8]) -> Option<Entry> {
    let mut reader = Reader(payload);
    let entry = match kind {
        1 => {
            let first_id = reader.u64()?;
            let (count, dim) = (reader.u32()? as usize, reader.u32()? as usize);
            if count > MAX_SHOTS || dim > MAX_DIM {
                return None;
            }
            let label = reader.text(MAX_LABEL_BYTES)?;
            let mut shots = Vec::new();
            for _ in 0..count {
                let name = reader.text(MAX_KEY_NAME_BYTES)?;
                shots.push((reader.floats(dim)?, name));
            }
            Entry::Do(Operation::Learn { first_id, label, shots })
        }
        2 => Entry::Do(Operation::ForgetKey(reader.u64()?)),
        3 => Entry::Do(Operation::ForgetClass(reader.text(MAX_LABEL_BYTES)?)),
        4 => {
            let id = reader.u64()?;
            Entry::Do(Operation::Move { id, label: reader.text(MAX_LABEL_BYTES)? })
        }
        5 => {
            let label = reader.text(MAX_LABEL_BYTES)?;
            Entry::Do(Operation::Rename { label, new: reader.text(MAX_LABEL_BYTES)? })
        }
        6 => Entry::Undo(reader.u64()?),
        _ => return None,
    };
    reader.0.is_empty().then_some(entry)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        u32::read_from_bytes(self.bytes(size_of::<u32>())?).ok()
    }

    fn u64(&mut self) -> Option<u64> {
        u64::read_from_bytes(self.bytes(size_of::<u64>())?).ok()
    }

    fn text(&mut self, max: usize) -> Option<String> {
        let len = self.u32()? as usize;
        let bytes = (len <= max).then(|| self.bytes(len)).flatten()?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let (values, _) = self.bytes(count * size_of::<f32>())?.as_chunks();
        Some(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_document_says_where_each_field_is() {
        let page = include_str!("../../docs/state.md");
        let table = |fields: &[(usize, &str, usize)], len: usize| {
            let mut end = 0;
            for &(offset, name, len) in fields {
                let line = format!("| {offset} | {len} | `{name}` |");
                assert!(page.contains(&line), "no line {line}");
                assert_eq!(offset, end, "{name}");
                end += len;
            }
            assert_eq!(end, len);
        };
        let header = [
            (offset_of!(Header, magic), "magic", 8),
            (offset_of!(Header, version), "version", 2),
            (offset_of!(Header, reserved), "reserved", 6),
            (offset_of!(Header, encoder), "encoder", 32),
            (offset_of!(Header, base), "base", 32),
            (offset_of!(Header, applies_to), "applies_to", 32),
            (offset_of!(Header, snapshot), "snapshot", 8),
            (offset_of!(Header, first_learned), "first_learned", 8),
            (offset_of!(Header, next_id), "next_id", 8),
            (offset_of!(Header, next_number), "next_number", 8),
            (offset_of!(Header, reserved_too), "reserved_too", 12),
            (offset_of!(Header, crc), "crc", 4),
        ];
        table(&header, HEADER_LEN);
        let record = [
            (offset_of!(RecordHeader, mark), "mark", 4),
            (offset_of!(RecordHeader, len), "len", 4),
            (offset_of!(RecordHeader, number), "number", 8),
            (offset_of!(RecordHeader, kind), "kind", 4),
            (offset_of!(RecordHeader, crc), "crc", 4),
        ];
        table(&record, RECORD_LEN);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
        for bytes in [&MAGIC[..], &MARK] {
            assert!(page.contains(&hex(bytes).join(" ")), "{bytes:?}");
        }
    }
}
