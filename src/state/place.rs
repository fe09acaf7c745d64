use std::fs;
use std::path::PathBuf;

use super::StateError;
use super::journal::Journal;
use super::lock::Lock;

/// The directory and the right to write there; none where that could not be had.
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) lock: Option<Lock>,
}

impl Place {
    pub(super) fn take(&mut self) -> Result<(), StateError> {
        let made = fs::create_dir_all(&self.path);
        made.map_err(|error| StateError::write(self.path.display().to_string(), error))?;
        self.lock = Some(Lock::take(&self.path)?);
        Ok(())
    }

    /// Takes the directory if that was not possible before, and nobody has written there since.
    pub(super) fn take_again(&mut self, journal: &Journal) -> Result<(), StateError> {
        if self.lock.is_none() {
            self.take()?;
            if let Err(error) = journal.is_unchanged() {
                self.lock = None;
                return Err(error);
            }
        }
        Ok(())
    }
}
