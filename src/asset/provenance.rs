use super::strings::TextList;
use super::{AssetError, StringTable, Tag, limits};

const LIST: TextList = TextList {
    tag: Tag::PROVENANCE,
    plural: "names and texts in the provenance",
    max: 2 * limits::MAX_NOTES,
    bytes: "bytes in one text of the provenance",
    max_bytes: limits::MAX_NOTE_BYTES,
};

/// Where the contents come from: sources, licences, recipe, seed, as pairs of name and text.
#[derive(Clone, Copy, Debug)]
pub struct Provenance<'a>(StringTable<'a>);

impl<'a> Provenance<'a> {
    /// Reads section [`Tag::PROVENANCE`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_NOTES`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let table = LIST.parse(bytes)?;
        if table.len() % 2 != 0 {
            return Err(Tag::PROVENANCE.corrupt("a name has no text"));
        }
        Ok(Self(table))
    }

    /// The text of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// Names and texts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let table = self.0;
        (0..table.len() / 2).map_while(move |i| Some((table.get(2 * i)?, table.get(2 * i + 1)?)))
    }

    /// Texts are UTF-8 and not too long.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_NOTE_BYTES`].
    pub fn validate(&self) -> Result<(), AssetError> {
        LIST.validate(&self.0)
    }

    /// Writes the section from pairs of name and text.
    ///
    /// # Errors
    /// [`AssetError::Limit`] for too many pairs or too long texts.
    #[cfg(feature = "std")]
    pub fn encode(pairs: &[(&str, &str)]) -> Result<Vec<u8>, AssetError> {
        let texts: Vec<&str> = pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect();
        LIST.encode(&texts)
    }
}
