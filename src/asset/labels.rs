use super::strings::TextList;
use super::{AssetError, StringTable, Tag, limits};

const LIST: TextList = TextList {
    tag: Tag::LABELS,
    plural: "classes",
    max: limits::MAX_CLASSES,
    bytes: "bytes in one label",
    max_bytes: limits::MAX_LABEL_BYTES,
};

/// The classes' names; their order is the order of the logits.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a>(StringTable<'a>);

impl<'a> Labels<'a> {
    /// Reads section [`Tag::LABELS`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_CLASSES`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        LIST.parse(bytes).map(Self)
    }

    /// Number of classes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Label of class `i`; none behind the last, or where the file is damaged.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a str> {
        self.0.get(i)
    }

    /// The class of this label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        (0..self.count()).find(|&i| self.get(i) == Some(label))
    }

    /// Labels in class order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter()
    }

    /// Labels are UTF-8, not empty, not too long, and no two are equal.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_LABEL_BYTES`].
    pub fn validate(&self) -> Result<(), AssetError> {
        LIST.validate(&self.0)?;
        for (i, label) in self.iter().enumerate() {
            if label.is_empty() {
                return Err(Tag::LABELS.corrupt("a label is empty"));
            }
            if self.iter().take(i).any(|other| other == label) {
                return Err(Tag::LABELS.corrupt("two classes have the same label"));
            }
        }
        Ok(())
    }

    /// Writes the section.
    ///
    /// # Errors
    /// [`AssetError::Limit`] for too many or too long labels.
    #[cfg(feature = "std")]
    pub fn encode<S: AsRef<str>>(labels: &[S]) -> Result<Vec<u8>, AssetError> {
        LIST.encode(labels)
    }
}
