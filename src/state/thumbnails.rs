//! Small pictures of the shots, for people. Nothing depends on them: one that cannot be kept is lost.

use std::collections::BTreeMap;

use super::disk::{Disk, PART};

const FOLDER: &str = "shots";
const END: &str = ".jpg";
/// Pictures that are held where there is no directory.
const MAX_HELD: usize = 256;

/// The pictures of a store without a directory.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<u64, Vec<u8>>);

impl Held {
    pub(super) fn keep(&mut self, key: u64, jpeg: Vec<u8>) {
        self.0.insert(key, jpeg);
        while self.0.len() > MAX_HELD {
            self.0.pop_first();
        }
    }

    pub(super) fn get(&self, key: u64) -> Option<Vec<u8>> {
        self.0.get(&key).cloned()
    }
}

/// Whether this is a JPEG from its first byte to its last, of at most `max` bytes.
pub(super) fn is_whole(jpeg: &[u8], max: usize) -> bool {
    jpeg.len() <= max && jpeg.starts_with(b"\xff\xd8\xff") && jpeg.ends_with(b"\xff\xd9")
}

/// Writes the picture of a key, whole or not at all as far as readers see. A power cut may take it.
pub(super) fn keep(disk: &mut dyn Disk, key: u64, jpeg: &[u8]) {
    let (name, part) = (name(key), format!("{}{PART}", name(key)));
    let written = disk.make_folder(FOLDER).and_then(|()| disk.write(&part, jpeg));
    if written.and_then(|()| disk.rename(&part, &name)).is_err() {
        let _ = disk.remove(&part);
    }
}

/// The picture of a key, if there is a whole one.
pub(super) fn read(disk: &dyn Disk, key: u64) -> Option<Vec<u8>> {
    disk.read(&name(key)).ok().filter(|jpeg| is_whole(jpeg, usize::MAX))
}

pub(super) fn rename(disk: &mut dyn Disk, from: u64, to: u64) {
    let _ = disk.rename(&name(from), &name(to));
}

/// Removes the pictures of all keys but those for which `stays` holds, and what was being written.
pub(super) fn sweep(disk: &mut dyn Disk, stays: impl Fn(u64) -> bool) {
    for file in disk.list(FOLDER).unwrap_or_default() {
        let key = file.strip_suffix(END).and_then(|key| key.parse().ok());
        if key.is_some_and(|key| !stays(key)) || file.ends_with(PART) {
            let _ = disk.remove(&format!("{FOLDER}/{file}"));
        }
    }
}

fn name(key: u64) -> String {
    format!("{FOLDER}/{key}{END}")
}
