use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be published at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A setting is not what it should be.
    #[error("{name}: {reason}; {remedy}")]
    Setting {
        /// The setting's name, with its value where that helps.
        name: String,
        /// What is wrong.
        reason: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A file or a folder that a setting names.
    #[error("{}: {error}; {remedy}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The system gave no thread.
    #[error("starting a thread: {0}")]
    Thread(#[source] io::Error),
}

impl PublishError {
    pub(super) fn setting(
        name: impl Into<String>,
        reason: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self::Setting { name: name.into(), reason: reason.into(), remedy }
    }

    pub(super) fn file(path: &Path, error: io::Error, remedy: &'static str) -> Self {
        Self::File { path: path.to_owned(), error, remedy }
    }
}
