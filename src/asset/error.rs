use core::fmt;

use super::{EncoderId, Tag};

/// Why bytes cannot be used as an asset. The file's path is added where it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AssetError {
    /// There are fewer bytes than the header announces.
    Truncated {
        /// Bytes that should be there.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The first bytes are not those of an asset.
    BadMagic,
    /// The format's major version is newer than this program.
    TooNew {
        /// Major version of the file.
        found: u16,
        /// Newest major version that this program reads.
        supported: u16,
    },
    /// Checksums or fields contradict each other.
    Corrupt {
        /// The damaged section; none is the header with the table of contents.
        section: Option<Tag>,
        /// What is wrong.
        what: &'static str,
    },
    /// The bytes do not start at an address that allows their use in place.
    Misaligned {
        /// The address must be a multiple of this.
        align: usize,
    },
    /// The command needs a section that the file does not have.
    MissingSection {
        /// The section.
        tag: Tag,
    },
    /// The keys of the cache were made by another encoder than the asset's.
    ForeignCache {
        /// Encoder of the asset.
        asset: EncoderId,
        /// Encoder that made the keys.
        cache: EncoderId,
    },
    /// Two sections count the same thing differently.
    Disagree {
        /// What is counted, in the plural.
        what: &'static str,
        /// A section and its count.
        first: (Tag, u64),
        /// Another section and its count.
        second: (Tag, u64),
    },
    /// More of something than this version handles.
    Limit {
        /// What there is too much of, in the plural.
        name: &'static str,
        /// How many there are.
        found: u64,
        /// How many there may be.
        max: u64,
    },
}

impl fmt::Display for AssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, found } => write!(
                f,
                "{found} bytes where {needed} are needed: the file was cut short, copy or build it \
                 again"
            ),
            Self::BadMagic => write!(f, "not a tipcam asset: its first bytes are others"),
            Self::TooNew { found, supported } => write!(
                f,
                "format version {found}, this program reads up to {supported}: install a newer \
                 tipcam or build the asset with this one"
            ),
            Self::Corrupt { section: Some(tag), what } => write!(
                f,
                "section {tag} ({}) is damaged: {what}; copy or build the file again",
                tag.describe()
            ),
            Self::Corrupt { section: None, what } => {
                write!(f, "the header is damaged: {what}; copy or build the file again")
            }
            Self::Misaligned { align } => write!(
                f,
                "the asset must start at an address that is a multiple of {align}: align the \
                 static that holds it"
            ),
            Self::MissingSection { tag } => {
                write!(f, "no section {tag} ({}): give an asset that has it", tag.describe())
            }
            Self::ForeignCache { asset, cache } => write!(
                f,
                "the shots were encoded by encoder {cache}, the asset's encoder is {asset}: their \
                 features cannot be compared, learn the shots again with this asset"
            ),
            Self::Disagree { what, first, second } => write!(
                f,
                "section {} ({}) has {} {what}, section {} ({}) has {}: build the file again",
                first.0,
                first.0.describe(),
                first.1,
                second.0,
                second.0.describe(),
                second.1
            ),
            Self::Limit { name, found, max } => {
                write!(f, "{found} {name}: at most {max} are possible")
            }
        }
    }
}

impl core::error::Error for AssetError {}
