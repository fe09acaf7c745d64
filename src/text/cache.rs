//! Embeddings that were computed before, so that one more class costs one class.
//!
//! An entry is a file of its own, named by the SHA-256 of all that its embedding depends on: the
//! encoder's file, the tokenizer's, how they are used, and the prompt. It holds the embedding as f32,
//! little-endian, and the CRC-32 of its name and these bytes. An entry that is not whole is as good
//! as none, so nothing here is synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Changes with whatever else an embedding depends on: the cleaning of texts, the runtime.
const VERSION: &[u8] = b"tipcam text 1";

/// Bytes that all entries take on the disk at most; those that were used longest ago go first.
const MAX_BYTES: u64 = 512 << 20;

/// A file takes whole blocks.
const BLOCK: u64 = 4096;

/// Embeddings of one encoder, in a folder that others use too.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Over what all entries of this encoder have in common.
    common: Sha256,
}

impl Cache {
    /// The entries in `folder` of what `parts` say: the encoder's file, the tokenizer's, the context.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: PathBuf, parts: &[&[u8]]) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut common = Sha256::new_with_prefix(VERSION);
        for part in parts {
            common.update((part.len() as u64).to_le_bytes());
            common.update(part);
        }
        Ok(Self { folder, common })
    }

    /// A prompt's embedding of `dim` values, if it is there and whole.
    #[must_use]
    pub fn get(&self, prompt: &str, dim: usize) -> Option<Vec<f32>> {
        let name = self.name(prompt);
        let path = self.folder.join(&name);
        let bytes = fs::read(&path).ok()?;
        let (values, sum) = bytes.split_last_chunk::<4>()?;
        if values.len() != 4 * dim || u32::from_le_bytes(*sum) != checksum(&name, values) {
            return None;
        }
        // used: others go before it
        _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|f| f.set_modified(SystemTime::now()));
        Some(values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// Keeps a prompt's embedding: under its name there is all of it or nothing.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, prompt: &str, embedding: &[f32]) -> io::Result<()> {
        let name = self.name(prompt);
        let mut bytes: Vec<u8> = embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.extend(checksum(&name, &bytes).to_le_bytes());
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&bytes)?;
        file.persist(self.folder.join(name))?;
        Ok(())
    }

    /// Removes what was used longest ago until all entries take no more than their share of the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn trim(&self) -> io::Result<()> {
        trim(&self.folder, MAX_BYTES)
    }

    fn name(&self, prompt: &str) -> String {
        let digest = self.common.clone().chain_update(prompt).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn checksum(name: &str, values: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name.as_bytes());
    sum.update(values);
    sum.finalize()
}

fn trim(folder: &Path, most: u64) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // another program may have removed it
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            entries.push((about.modified()?, about.len().next_multiple_of(BLOCK), entry.path()));
        }
    }
    let mut bytes: u64 = entries.iter().map(|entry| entry.1).sum();
    entries.sort();
    for (_, size, path) in entries {
        if bytes <= most {
            break;
        }
        if fs::remove_file(path).is_ok() {
            bytes -= size;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn open(folder: &Path, part: &[u8]) -> Cache {
        Cache::open(folder.join("deep/text"), &[part, b"tokenizer"]).unwrap()
    }

    fn only_entry(folder: &Path) -> PathBuf {
        let mut entries = fs::read_dir(folder.join("deep/text")).unwrap();
        let entry = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none());
        entry
    }

    #[test]
    fn what_was_put_comes_back_for_the_same_encoder_and_prompt_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), b"encoder");
        cache.put("a cat", &[1.5, -2.0]).unwrap();
        assert_eq!(cache.get("a cat", 2), Some(vec![1.5, -2.0]));
        assert_eq!(cache.get("a cat", 3), None, "another length");
        assert_eq!(cache.get("a cat ", 2), None);
        assert_eq!(open(folder.path(), b"encodes").get("a cat", 2), None);
        assert_eq!(open(folder.path(), b"encoder").get("a cat", 2), Some(vec![1.5, -2.0]));
    }

    #[test]
    fn a_damaged_entry_is_none_and_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), b"encoder");
        cache.put("a cat", &[1.5, -2.0]).unwrap();
        let entry = only_entry(folder.path());
        let whole = fs::read(&entry).unwrap();
        for at in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            fs::write(&entry, bytes).unwrap();
            assert_eq!(cache.get("a cat", 2), None, "bit {at}");
        }
        for len in 0..whole.len() {
            fs::write(&entry, &whole[..len]).unwrap();
            assert_eq!(cache.get("a cat", 2), None, "{len} bytes");
        }
        cache.put("a cat", &[1.5, -2.0]).unwrap();
        assert_eq!(cache.get("a cat", 2), Some(vec![1.5, -2.0]));
        // an entry under another's name
        let other = entry.with_file_name(cache.name("a dog"));
        fs::copy(&entry, other).unwrap();
        assert_eq!(cache.get("a dog", 2), None);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), b"encoder");
        for (age, prompt) in ["new", "middle", "old"].into_iter().enumerate() {
            cache.put(prompt, &[1.0]).unwrap();
            let path = cache.folder.join(cache.name(prompt));
            let then = SystemTime::now() - Duration::from_secs(1000 * age as u64);
            File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
        }
        assert!(cache.get("old", 1).is_some());
        trim(&cache.folder, 2 * BLOCK + 1).unwrap();
        assert!(cache.get("old", 1).is_some() && cache.get("new", 1).is_some());
        assert!(cache.get("middle", 1).is_none());
        trim(&cache.folder, 0).unwrap();
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 0);
    }
}
