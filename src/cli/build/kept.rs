//! Features of photographs beside the asset that is built: an interrupted build goes on where it
//! stopped, and the next one encodes only what is new.
//!
//! The file is called as the asset with `.features` behind it. It begins with a header for one encoder
//! and one way to encode; then comes a record for each photograph, with a checksum, so that a record that
//! was cut off is seen and left out. After a build it has the photographs of that build and no others.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use crate::asset;
use crate::cli::note;

/// SHA-256 of a photograph's bytes, or of what features depend on.
pub(super) type Hash = [u8; 32];

const MAGIC: &[u8; 16] = b"tipcam features\n";
const HEADER: usize = MAGIC.len() + size_of::<Hash>() + 4;
/// Bytes of a file at most; what comes after that is not kept.
const MAX_BYTES: usize = 1 << 30;

/// The features of photographs that were encoded before, and those that are now.
#[derive(Debug, Default)]
pub(super) struct Kept {
    path: PathBuf,
    header: Vec<u8>,
    dim: usize,
    /// None where nothing is kept.
    file: Option<File>,
    bytes: usize,
    features: HashMap<Hash, Vec<f32>>,
    used: HashSet<Hash>,
}

impl Kept {
    /// Opens the file beside `output` for features of `dim` values that depend on what is in `key`. Where
    /// that does not work nothing is kept, which is told on stderr.
    pub(super) fn beside(output: &Path, key: Hash, dim: usize) -> Self {
        let mut path = output.as_os_str().to_owned();
        path.push(".features");
        let header = [&MAGIC[..], &key, &(dim as u32).to_le_bytes()].concat();
        let mut kept = Self { path: path.into(), header, dim, ..Self::default() };
        if let Err(error) = kept.open() {
            kept.stop(&error);
        }
        kept
    }

    fn open(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::other("another build is at work on it"));
        }
        let mut bytes = Vec::new();
        (&mut file).take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if !bytes.starts_with(MAGIC) && !MAGIC.starts_with(&bytes) {
            return Err(io::Error::other("not a file of features: move or delete it"));
        }
        self.bytes = if bytes.starts_with(&self.header) { self.read(&bytes) } else { 0 };
        if self.bytes < bytes.len() && bytes.starts_with(&self.header) {
            note(&format!(
                "{}: damaged or cut off, {} features are left",
                self.path.display(),
                self.features.len()
            ));
        }
        file.set_len(self.bytes as u64)?;
        if self.bytes == 0 {
            file.write_all(&self.header)?;
            self.bytes = HEADER;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Takes the features in; gives the bytes that are whole.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let length = size_of::<Hash>() + 4 * self.dim + 4;
        let mut at = HEADER;
        while let Some(record) = bytes.get(at..at + length) {
            let Some((body, checksum)) = record.split_last_chunk::<4>() else { break };
            let Some((hash, values)) = body.split_first_chunk::<32>() else { break };
            if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
                break;
            }
            let values = values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
            self.features.insert(*hash, values.collect());
            at += length;
        }
        at
    }

    /// The feature of a photograph, if it was encoded before.
    pub(super) fn find(&mut self, photo: &Hash) -> Option<Vec<f32>> {
        let feature = self.features.get(photo)?;
        self.used.insert(*photo);
        Some(feature.clone())
    }

    /// Keeps a feature.
    pub(super) fn add(&mut self, photo: Hash, feature: &[f32]) {
        let Some(file) = &mut self.file else { return };
        let record = record(&photo, feature);
        if self.bytes + record.len() > MAX_BYTES {
            return;
        }
        // in one piece: what is cut off is the last record at most
        if let Err(error) = file.write_all(&record) {
            self.stop(&error);
            return;
        }
        self.bytes += record.len();
        self.used.insert(photo);
        self.features.insert(photo, feature.to_vec());
    }

    /// After the asset was written: leaves the photographs of this build and no others.
    pub(super) fn finish(mut self) {
        if self.file.is_none() || self.used.len() == self.features.len() {
            return;
        }
        let mut used: Vec<&Hash> = self.used.iter().collect();
        used.sort_unstable();
        let written = asset::write_atomic(&self.path, |out| {
            out.write_all(&self.header)?;
            used.iter().try_for_each(|&hash| out.write_all(&record(hash, &self.features[hash])))
        });
        if let Err(error) = written {
            let error = io::Error::other(error);
            self.stop(&error);
        }
    }

    /// Where the features are kept; none if they are not.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| &*self.path)
    }

    fn stop(&mut self, error: &io::Error) {
        note(&format!(
            "{}: features are not kept for the next build: {error}",
            self.path.display()
        ));
        self.file = None;
    }
}

fn record(photo: &Hash, feature: &[f32]) -> Vec<u8> {
    let body = [&photo[..], feature.as_bytes()].concat();
    let checksum = crc32fast::hash(&body).to_le_bytes();
    [&body[..], &checksum].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: Hash = [7; 32];

    fn open(folder: &Path, key: Hash) -> Kept {
        Kept::beside(&folder.join("a.tipcam"), key, 2)
    }

    fn length(folder: &Path) -> u64 {
        fs::metadata(folder.join("a.tipcam.features")).unwrap().len()
    }

    #[test]
    fn what_was_added_is_found_and_what_is_not_used_goes_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(folder.path(), KEY);
        assert_eq!(kept.find(&[1; 32]), None);
        kept.add([1; 32], &[0.5, -1.0]);
        kept.add([2; 32], &[2.0, 3.0]);
        let busy = open(folder.path(), KEY);
        assert!(busy.path().is_none(), "two builds at once");
        drop(kept);
        let mut kept = open(folder.path(), KEY);
        assert_eq!(kept.find(&[1; 32]), Some(vec![0.5, -1.0]));
        kept.finish();
        let mut kept = open(folder.path(), KEY);
        assert_eq!(kept.find(&[1; 32]), Some(vec![0.5, -1.0]));
        assert_eq!(kept.find(&[2; 32]), None);
        assert_eq!(length(folder.path()), (HEADER + 44) as u64);
    }

    #[test]
    fn another_key_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), KEY).add([1; 32], &[0.5, -1.0]);
        assert_eq!(open(folder.path(), [8; 32]).find(&[1; 32]), None);
        assert_eq!(length(folder.path()), HEADER as u64);
    }

    #[test]
    fn a_cut_or_damaged_file_gives_what_is_whole_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam.features");
        let mut kept = open(folder.path(), KEY);
        kept.add([1; 32], &[0.5, -1.0]);
        kept.add([2; 32], &[2.0, 3.0]);
        drop(kept);
        let whole = fs::read(&path).unwrap();
        for cut in (0..whole.len()).step_by(5) {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut kept = open(folder.path(), KEY);
            assert_eq!(kept.find(&[1; 32]).is_some(), cut >= HEADER + 44, "{cut}");
            assert_eq!(kept.find(&[2; 32]), None);
            kept.add([2; 32], &[2.0, 3.0]);
            drop(kept);
            assert_eq!(open(folder.path(), KEY).find(&[2; 32]), Some(vec![2.0, 3.0]), "{cut}");
        }
        for at in (HEADER..whole.len()).step_by(9) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let mut kept = open(folder.path(), KEY);
            assert_eq!(kept.find(&[2; 32]), None, "{at}");
        }
    }

    #[test]
    fn what_is_no_file_of_features_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tipcam.features");
        fs::write(&path, "my own notes").unwrap();
        let mut kept = open(folder.path(), KEY);
        kept.add([1; 32], &[0.5, -1.0]);
        kept.finish();
        assert_eq!(fs::read_to_string(&path).unwrap(), "my own notes");
        let mut nowhere = Kept::beside(Path::new("/nowhere/a.tipcam"), KEY, 2);
        nowhere.add([1; 32], &[0.5, -1.0]);
        assert!(nowhere.path().is_none());
    }
}
