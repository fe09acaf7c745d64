use super::strings::TextList;
use super::{AssetError, StringTable, Tag, limits};

const LIST: TextList = TextList {
    tag: Tag::PROMPTS,
    plural: "prompts",
    max: limits::MAX_PROMPTS,
    bytes: "bytes in one prompt",
    max_bytes: limits::MAX_PROMPT_BYTES,
};

/// The templates behind the text weights, as "a photo of a {}.".
#[derive(Clone, Copy, Debug)]
pub struct Prompts<'a>(StringTable<'a>);

impl<'a> Prompts<'a> {
    /// Reads section [`Tag::PROMPTS`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_PROMPTS`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        LIST.parse(bytes).map(Self)
    }

    /// Number of templates.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Template `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a str> {
        self.0.get(i)
    }

    /// Templates in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter()
    }

    /// Texts are UTF-8 and not too long.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_PROMPT_BYTES`].
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
