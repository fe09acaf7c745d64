use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Cache, Tag, limits};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    pub(super) channels: u32,
    pub(super) feature_dim: u32,
    pub(super) keys_len: u32,
    pub(super) reserved: u32,
}

/// Keys that a head has made of the shots: they stand in the sum in place of the cache's, which stay
/// as they are, to find near shots by and to make the head again.
#[derive(Clone, Copy, Debug)]
pub struct Bank<'a> {
    /// Channels of the feature that the keys have, ascending; empty when they have all. The query is
    /// cut down to these and made length 1 again.
    pub channels: &'a [u16],
    /// Dimensions of the feature.
    pub feature_dim: usize,
    /// The keys, of any length.
    pub keys: Cache<'a>,
}

impl<'a> Bank<'a> {
    /// Reads section [`Tag::BANK`].
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::BANK, bytes);
        let record = fields.record::<Record>()?;
        let feature_dim = record.feature_dim as usize;
        limits::check("dimensions of a feature", feature_dim, limits::MAX_DIM)?;
        limits::check("channels", record.channels as usize, feature_dim)?;
        let channels: &[u16] = fields.array(record.channels as usize)?;
        let keys = Cache::parse(fields.array(record.keys_len as usize)?);
        fields.end()?;
        let keys = keys.map_err(in_bank)?;
        let dim = if channels.is_empty() { feature_dim } else { channels.len() };
        if keys.dim != dim {
            return Err(Tag::BANK.corrupt("its keys do not have as many values as it says"));
        }
        let ascending = channels.is_sorted_by(|a, b| a < b);
        if !ascending || channels.last().is_some_and(|&last| usize::from(last) >= feature_dim) {
            return Err(Tag::BANK.corrupt("its channels do not ascend within the feature"));
        }
        Ok(Self { channels, feature_dim, keys })
    }

    /// Looks at every value, as [`Cache::validate`] does.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`].
    pub fn validate(&self) -> Result<(), AssetError> {
        self.keys.validate_values(false).map_err(in_bank)
    }

    /// Writes the section; `keys` is a cache's section.
    ///
    /// # Errors
    /// [`AssetError::Limit`]; [`AssetError::Corrupt`] if the keys do not fit.
    #[cfg(feature = "std")]
    pub fn encode(
        channels: &[u16],
        feature_dim: usize,
        keys: &[u8],
    ) -> Result<Vec<u8>, AssetError> {
        let record = Record {
            channels: channels.len() as u32,
            feature_dim: feature_dim as u32,
            keys_len: keys.len() as u32,
            reserved: 0,
        };
        let section = super::fields::Writer::new(&record).array(channels).array(keys).end();
        let aligned = super::AlignedBytes::from(&section[..]);
        Bank::parse(&aligned)?;
        Ok(section)
    }
}

/// The keys' own error names the cache.
fn in_bank(error: AssetError) -> AssetError {
    match error {
        AssetError::Corrupt { what, .. } => Tag::BANK.corrupt(what),
        other => other,
    }
}
