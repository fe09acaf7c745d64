use super::strings::TextList;
use super::{AssetError, StringTable, Tag, limits};

const LIST: TextList = TextList {
    tag: Tag::KEY_NAMES,
    plural: "names of shots",
    max: limits::MAX_KEYS,
    bytes: "bytes in the name of one shot",
    max_bytes: limits::MAX_KEY_NAME_BYTES,
};

/// The picture behind each key, as "Faces/image_0274.jpg", in the order of the keys: it explains
/// answers.
#[derive(Clone, Copy, Debug)]
pub struct KeyNames<'a>(StringTable<'a>);

impl<'a> KeyNames<'a> {
    /// Reads section [`Tag::KEY_NAMES`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_KEYS`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        LIST.parse(bytes).map(Self)
    }

    /// Number of names: that of the cache's keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Name of key `i` (its place in the cache, not its id).
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a str> {
        self.0.get(i)
    }

    /// Names in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter()
    }

    /// Texts are UTF-8 and not too long.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_KEY_NAME_BYTES`].
    pub fn validate(&self) -> Result<(), AssetError> {
        LIST.validate(&self.0)
    }

    /// Writes the section.
    ///
    /// # Errors
    /// [`AssetError::Limit`] for too many or too long texts.
    #[cfg(feature = "std")]
    pub fn encode<S: AsRef<str>>(texts: &[S]) -> Result<Vec<u8>, AssetError> {
        LIST.encode(texts)
    }
}
