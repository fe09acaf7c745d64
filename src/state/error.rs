use std::io;

use crate::asset::{EncoderId, FileError};
use crate::fit::FitError;

/// Why something was not learned, kept or installed. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A file cannot be read, written or used.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was asked for is not possible with this asset.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A class cannot have this name.
    #[error("\"{0}\" cannot name a class: give a name of visible characters")]
    Label(String),
    /// Too much at once.
    #[error("{found} {what} at once: at most {max} are possible, learn the others afterwards")]
    TooMuch {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Another program uses the directory.
    #[error("{path} is in use by {by}: stop that first, or choose another directory")]
    InUse {
        /// The directory.
        path: String,
        /// The other program, as far as it told.
        by: String,
    },
    /// The state was learned with another encoder.
    #[error(
        "{path}: what was learned there belongs to encoder {state}, the asset has encoder {asset}, and \
         their features cannot be compared: use the asset of before, or move the directory away and \
         teach again (nothing was deleted)"
    )]
    OtherEncoder {
        /// The journal.
        path: String,
        /// Encoder of what was learned.
        state: EncoderId,
        /// Encoder of the asset.
        asset: EncoderId,
    },
    /// A newer program wrote the state.
    #[error(
        "{path}: format version {found}, this program reads version {supported}: install a newer \
         tipcam, or move the directory away and teach again"
    )]
    TooNew {
        /// The file.
        path: String,
        /// Version of the file.
        found: u16,
        /// Version that this program reads.
        supported: u16,
    },
    /// A file of the state is damaged so that nothing can be built on it.
    #[error(
        "{path}: damaged: {what}; copy the directory back from a backup, or move it away and teach \
         again (nothing was deleted)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A public key cannot be used.
    #[error(
        "{given}: {problem}; give the file minisign.pub, or its last line, which begins with RW"
    )]
    Key {
        /// What was given.
        given: String,
        /// What is wrong.
        problem: String,
    },
    /// An asset is not signed, or not by the right key.
    #[error("{0}")]
    Signature(String),
    /// An asset is whole but does not work here.
    #[error("{path}: not installed, its test failed: {what}; nothing was changed")]
    SelfTest {
        /// The file.
        path: String,
        /// What failed.
        what: String,
    },
}

impl StateError {
    /// A file that could not be written.
    pub(super) fn write(path: String, source: io::Error) -> Self {
        FileError::Write { path, source }.into()
    }

    /// A file that could not be read.
    pub(super) fn read(path: String, source: io::Error) -> Self {
        FileError::Read { path, source }.into()
    }
}
