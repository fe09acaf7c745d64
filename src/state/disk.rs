use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::asset::{AssetFile, FileError};

/// What a power cut can come between: the few steps on files that everything durable is made of. Names
/// are relative to one directory. The tests have a disk of their own that cuts, refuses and forgets.
pub(super) trait Disk: Send {
    /// The name as messages should show it.
    fn path(&self, name: &str) -> String;

    /// Names in a folder ("" is the directory itself).
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// The contents of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// A file as an asset.
    fn open(&self, name: &str) -> Result<AssetFile, FileError>;

    /// Makes a folder, and the directory itself, where they are missing.
    fn make_folder(&mut self, folder: &str) -> io::Result<()>;

    /// Writes a new file, or over an old one. Durable after [`sync`](Self::sync), under its name after
    /// [`sync_folder`](Self::sync_folder).
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes behind the end of a file.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to `len` bytes.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Waits until what was written to a file is on the disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in place of whatever had that name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Waits until what was made, renamed and removed in a folder is on the disk.
    fn sync_folder(&mut self, folder: &str) -> io::Result<()>;

    /// A file of these contents under this name, durably, or the file of before.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let part = format!("{name}{PART}");
        self.write(&part, bytes)?;
        self.sync(&part)?;
        self.rename(&part, name)?;
        self.sync_folder("")
    }
}

/// What files are called that are being written.
pub(super) const PART: &str = ".part";

/// Bytes of a file that is read as a whole.
const MAX_BYTES: u64 = 256 << 20;

/// A real directory.
pub(super) struct Folder {
    path: PathBuf,
    /// The file written to last: a failure to write it is told to those alone who had it open.
    last: Option<(String, File)>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), last: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }

    /// The file, to write behind its end.
    fn opened(&mut self, name: &str) -> io::Result<&mut File> {
        if self.last.as_ref().is_none_or(|(last, _)| last != name) {
            let file = OpenOptions::new().append(true).open(self.at(name))?;
            self.last = Some((name.to_owned(), file));
        }
        let Some((_, file)) = &mut self.last else { return Err(io::ErrorKind::NotFound.into()) };
        Ok(file)
    }
}

impl Disk for Folder {
    fn path(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.at(folder))?;
        // nothing of ours has a name that is not UTF-8
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        names.filter_map(|entry| name(entry).transpose()).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.at(name))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > MAX_BYTES {
            true => Err(io::Error::other("larger than anything that is written here")),
            false => Ok(bytes),
        }
    }

    fn open(&self, name: &str) -> Result<AssetFile, FileError> {
        AssetFile::open(self.at(name))
    }

    fn make_folder(&mut self, folder: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(folder))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.at(name))?;
        file.write_all(bytes)?;
        self.last = Some((name.to_owned(), file));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.opened(name)?.write_all(bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.opened(name)?.set_len(len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.opened(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.last = None;
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.last = None;
        fs::remove_file(self.at(name))
    }

    fn sync_folder(&mut self, folder: &str) -> io::Result<()> {
        // other systems cannot open a folder
        if cfg!(unix) { File::open(self.at(folder))?.sync_all() } else { Ok(()) }
    }
}
