use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Identity of an encoder: SHA-256 over its sections (preprocessing, layers, weights, projection).
/// Features of different encoders cannot be compared, so every cache names the encoder of its keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct EncoderId(pub [u8; 32]);

/// The first twelve hexadecimal digits: enough to tell encoders apart. `{:#}` writes all 64.
impl fmt::Display for EncoderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { self.0.len() } else { 6 };
        self.0.iter().take(shown).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EncoderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

#[cfg(feature = "std")]
impl EncoderId {
    /// The identity of the encoder made of these sections: over each section of
    /// [`Tag::ENCODER`](super::Tag::ENCODER) that is present, in that order, its tag, its length
    /// (u64, little-endian) and its bytes. Sections with other tags do not matter. None without any
    /// of them.
    pub fn of<'a>(section: impl Fn(super::Tag) -> Option<&'a [u8]>) -> Option<Self> {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        let mut found = false;
        for tag in super::Tag::ENCODER {
            if let Some(bytes) = section(tag) {
                hash.update(tag.0);
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
                found = true;
            }
        }
        found.then(|| Self(hash.finalize().into()))
    }
}
