//! The numbers that make a file an asset. Also read by the build script, which refuses to link
//! anything else.

/// First eight bytes of every asset. The first byte is not ASCII and the last is a newline, so a
/// transfer that treats the file as text is noticed at once.
pub const MAGIC: [u8; 8] = *b"\x89TIPCAM\n";
/// Readers refuse a greater major version: the meaning of known fields changed.
pub const MAJOR: u16 = 1;
/// A greater minor version only adds sections, or gives a meaning to fields that were zero.
pub const MINOR: u16 = 0;
/// Sections, and the arrays inside a section, start at multiples of this many bytes.
pub const ALIGN: usize = 64;
/// Bytes of the file header.
pub const HEADER_LEN: usize = 64;
/// Bytes of one entry in the table of contents.
pub const ENTRY_LEN: usize = 32;
