use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;

use super::StateError;

/// The sole use of a directory, for as long as this lives: a lock on the file `lock` in it, which also
/// tells others who holds it. The system lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "open is locked")] File);

impl Lock {
    /// Takes the directory, or says who has it.
    ///
    /// # Errors
    /// [`StateError::InUse`]; the lock file cannot be made.
    pub fn take(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join("lock");
        let failed = |source| StateError::write(path.display().to_string(), source);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                // who holds it may not have written yet
                let _ = (&file).take(256).read_to_string(&mut by);
                let by =
                    if by.trim().is_empty() { "another program" } else { by.trim() }.to_owned();
                return Err(StateError::InUse { path: directory.display().to_string(), by });
            }
            // a file system without locks: better to learn there than not at all
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // without this text the lock holds all the same
        let _ = introduce(&mut file);
        Ok(Self(file))
    }
}

/// Writes who this is into the lock file.
fn introduce(file: &mut File) -> io::Result<()> {
    let words = std::env::args_os().take(2).map(|word| word.to_string_lossy().into_owned());
    let command: String = words.collect::<Vec<_>>().join(" ").chars().take(200).collect();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {} ({command})", std::process::id())
}

/// The sole right to change the files of a folder, among those who ask for it. Nothing is left behind
/// in the folder.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "open is locked")] Option<File>);

impl FolderLock {
    /// Waits for the folder that `path` is in, or would be in. Where the system cannot lock a folder
    /// there is no lock.
    ///
    /// # Errors
    /// The system ended the waiting.
    pub fn around(path: &Path) -> io::Result<Self> {
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // whoever may not read the folder hears of it when writing
        let Ok(file) = File::open(folder) else { return Ok(Self(None)) };
        match file.lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(_) => Ok(Self(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
