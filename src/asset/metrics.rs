use super::fields::Fields;
use super::strings::{Record, TextList};
use super::{AssetError, StringTable, Tag, limits};

const LIST: TextList = TextList {
    tag: Tag::METRICS,
    plural: "metrics",
    max: limits::MAX_NOTES,
    bytes: "bytes in the name of one metric",
    max_bytes: limits::MAX_NOTE_BYTES,
};

/// Measured figures with their names, as `test.top1` (percent).
#[derive(Clone, Copy, Debug)]
pub struct Metrics<'a> {
    names: StringTable<'a>,
    values: &'a [f64],
}

impl<'a> Metrics<'a> {
    /// Reads section [`Tag::METRICS`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_NOTES`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(LIST.tag, bytes);
        let count = fields.record::<Record>()?.count as usize;
        limits::check(LIST.plural, count, LIST.max)?;
        let names = StringTable::parse(LIST.tag, &mut fields, count)?;
        let values = fields.array(count)?;
        fields.end()?;
        Ok(Self { names, values })
    }

    /// The figure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// Names and figures in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
        self.names.iter().zip(self.values.iter().copied())
    }

    /// Names are UTF-8 and not too long, figures are finite.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`] above [`limits::MAX_NOTE_BYTES`].
    pub fn validate(&self) -> Result<(), AssetError> {
        LIST.validate(&self.names)?;
        if !self.values.iter().all(|value| value.is_finite()) {
            return Err(LIST.tag.corrupt("a figure is not finite"));
        }
        Ok(())
    }

    /// Writes the section from pairs of name and figure.
    ///
    /// # Errors
    /// [`AssetError::Limit`] for too many pairs or too long names.
    #[cfg(feature = "std")]
    pub fn encode(pairs: &[(&str, f64)]) -> Result<Vec<u8>, AssetError> {
        let (names, values): (Vec<&str>, Vec<f64>) = pairs.iter().copied().unzip();
        let (offsets, text) = LIST.arrays(&names)?;
        let record = Record { count: names.len() as u32, reserved: 0 };
        let section = super::fields::Writer::new(&record).array(&offsets).array(&text);
        Ok(section.array(&values).end())
    }
}
