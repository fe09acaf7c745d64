use std::io;

use zerocopy::{FromZeros, IntoBytes};

use super::StateError;
use super::disk::{Disk, PART};
use super::operation::{Entry, Numbered, Operation};
use super::record::{self, Header, MAGIC, VERSION};
use super::scan::{Scanned, scan};
use crate::asset::EncoderId;

const JOURNAL: &str = "journal-";
const SNAPSHOT: &str = "learned-";
const SNAPSHOT_END: &str = ".tipcam";
/// In place of the identity of a snapshot that nothing tells.
pub(super) const UNKNOWN: [u8; 32] = [0; 32];

/// The files of a state: a journal whose records apply to a snapshot or to the base asset.
///
/// The journal of the highest number counts. A new one is written beside the old one whenever the old
/// one is too long, or cannot be trusted because the disk refused something; what it replaces is removed
/// once the new one is durable under its name.
pub(super) struct Journal {
    pub(super) disk: Box<dyn Disk>,
    /// Of the next journal that is written.
    pub(super) header: Header,
    /// What records are appended to; none where a new file has to be written first.
    file: Option<Tail>,
    /// The number of the next journal or snapshot.
    next: u64,
    /// Journals that are kept under another name once they are replaced.
    damaged: Vec<String>,
    /// Number and length of the newest journal when it was read, or written as a whole.
    seen: (Option<u64>, Option<usize>),
}

struct Tail {
    name: String,
    /// Bytes that have been acknowledged.
    len: u64,
    /// Checksum of its header.
    seed: u32,
}

impl Journal {
    /// A state without anything learned, of which no file is written yet.
    pub(super) fn new(disk: Box<dyn Disk>, encoder: EncoderId, base: [u8; 32], ids: u64) -> Self {
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            encoder,
            base,
            applies_to: base,
            first_learned: ids,
            next_id: ids,
            next_number: 1,
            ..Header::new_zeroed()
        };
        Self { disk, header, file: None, next: 1, damaged: Vec::new(), seen: (None, None) }
    }

    /// Reads the files there are; none where there are none. What happened to them is added to `notes`.
    pub(super) fn load(&mut self, notes: &mut Vec<String>) -> Result<Option<Scanned>, StateError> {
        let names = match self.disk.list("") {
            Ok(names) => names,
            Err(error) if nothing_there(&error) => return Ok(None),
            Err(error) => return Err(StateError::read(self.disk.path(""), error)),
        };
        let mut journals: Vec<u64> = names.iter().filter_map(|name| numbered(name)).collect();
        journals.sort_unstable();
        let snapshots = names.iter().filter_map(|name| snapshot_number(name));
        self.next = journals.iter().copied().chain(snapshots.clone()).max().unwrap_or(0) + 1;
        while let Some(number) = journals.pop() {
            let name = format!("{JOURNAL}{number}");
            let path = self.disk.path(&name);
            let bytes = self.disk.read(&name).map_err(|e| StateError::read(path.clone(), e))?;
            if self.seen.0.is_none() {
                self.seen = (Some(number), Some(bytes.len()));
            }
            let Some(header) = Header::read(&bytes) else {
                notes.push(self.keep_damaged(name, "its first bytes"));
                continue;
            };
            if header.version > VERSION {
                let found = header.version;
                return Err(StateError::TooNew { path, found, supported: VERSION });
            }
            if header.encoder != self.header.encoder {
                let (state, asset) = (header.encoder, self.header.encoder);
                return Err(StateError::OtherEncoder { path, state, asset });
            }
            let scanned = scan(&bytes, &header);
            self.header = header;
            self.settle(&name, &bytes, &scanned, notes);
            return Ok(Some(scanned));
        }
        // a snapshot whose journal was damaged beyond use is the best there is
        Ok(snapshots.max().map(|snapshot| {
            self.header.snapshot = snapshot;
            self.header.applies_to = UNKNOWN;
            Scanned { next_number: 1, ..Scanned::default() }
        }))
    }

    /// Makes sure that what was read can be built on, or has it written anew by the next operation.
    fn settle(&mut self, name: &str, bytes: &[u8], scanned: &Scanned, notes: &mut Vec<String>) {
        let path = self.disk.path(name);
        if scanned.damaged > 0 {
            let what = format!("{} of its records", scanned.damaged);
            notes.push(self.keep_damaged(name.to_owned(), &what));
            return;
        }
        // The process before may have been killed between a rename and its sync.
        let mut ready = self.disk.sync_folder("");
        if scanned.torn {
            let lost = bytes.len() - scanned.whole;
            notes.push(format!(
                "{path}: the last {lost} bytes are an operation that was being written when the power \
                 went; it had not been acknowledged"
            ));
            ready = ready
                .and_then(|()| self.disk.truncate(name, scanned.whole as u64))
                .and_then(|()| self.disk.sync(name));
        }
        if ready.is_ok() {
            let (name, seed) = (name.to_owned(), self.header.crc);
            self.file = Some(Tail { name, len: scanned.whole as u64, seed });
            self.clean();
        }
    }

    /// Has a damaged file kept for whoever wants to look, and says so.
    fn keep_damaged(&mut self, name: String, what: &str) -> String {
        let (path, copy) = (self.disk.path(&name), self.disk.path(&damaged(&name)));
        self.damaged.push(name);
        format!(
            "{path}: {what} damaged by the disk; everything else is used, and the file is kept as {copy}"
        )
    }

    /// The snapshot's file; none where the records apply to the base.
    pub(super) fn snapshot(&self) -> Option<String> {
        let number = self.header.snapshot;
        (number > 0).then(|| format!("{SNAPSHOT}{number}{SNAPSHOT_END}"))
    }

    /// Bytes of the journal.
    pub(super) fn len(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len)
    }

    /// Whether the next record needs no new file.
    pub(super) fn is_ready(&self) -> bool {
        self.file.is_some()
    }

    /// Puts an operation on the disk. `operations` are those that are there already.
    pub(super) fn append(
        &mut self,
        number: u64,
        entry: &Entry<&Operation>,
        operations: &[Numbered],
    ) -> Result<(), StateError> {
        if self.file.is_none() {
            self.rewrite(operations)?;
        }
        let Some(Tail { name, len, seed }) = &mut self.file else {
            return Err(StateError::write(self.disk.path(""), io::ErrorKind::NotFound.into()));
        };
        let record = record::encode(number, entry, *seed);
        let appended = self.disk.append(name, &record).map_err(|error| (error, true));
        // After a failed sync nobody knows what is on the disk, and a second one may say all is well.
        let synced = appended.and_then(|()| self.disk.sync(name).map_err(|error| (error, false)));
        let Err((error, can_be_mended)) = synced else {
            *len += record.len() as u64;
            return Ok(());
        };
        let path = self.disk.path(name);
        let cut = self.disk.truncate(name, *len).and_then(|()| self.disk.sync(name));
        if !can_be_mended || cut.is_err() {
            self.file = None;
        }
        Err(StateError::write(path, error))
    }

    /// Writes the operations into a new journal for the same snapshot.
    pub(super) fn rewrite(&mut self, operations: &[Numbered]) -> Result<(), StateError> {
        let number = self.number();
        let name = format!("{JOURNAL}{number}");
        let part = format!("{name}{PART}");
        let header = self.header.sealed();
        let mut bytes = header.as_bytes().to_vec();
        for Numbered { number, operation } in operations {
            bytes.extend(record::encode(*number, &Entry::Do(operation), header.crc));
        }
        let failed = |disk: &dyn Disk, error| StateError::write(disk.path(&name), error);
        let made = self.disk.make_folder("");
        let made = made.and_then(|()| self.disk.write(&part, &bytes));
        made.and_then(|()| self.disk.sync(&part)).map_err(|error| failed(&*self.disk, error))?;
        // From here on a restart may find the new file or the old one.
        self.file = None;
        let named = self.disk.rename(&part, &name).and_then(|()| self.disk.sync_folder(""));
        named.map_err(|error| failed(&*self.disk, error))?;
        self.file = Some(Tail { len: bytes.len() as u64, seed: header.crc, name });
        self.seen = (Some(number), Some(bytes.len()));
        self.clean();
        Ok(())
    }

    /// Writes a snapshot, and a journal for it with the operations that came afterwards.
    pub(super) fn compact(
        &mut self,
        snapshot: &[u8],
        identity: [u8; 32],
        operations: &[Numbered],
    ) -> Result<(), StateError> {
        let number = self.number();
        let name = format!("{SNAPSHOT}{number}{SNAPSHOT_END}");
        let made = self.disk.make_folder("").and_then(|()| self.disk.replace(&name, snapshot));
        made.map_err(|error| StateError::write(self.disk.path(&name), error))?;
        let before = self.header;
        self.header.snapshot = number;
        self.header.applies_to = identity;
        self.rewrite(operations).inspect_err(|_| self.header = before)
    }

    /// The next journal begins on another base asset, whose keys end before `first_learned`.
    pub(super) fn forget(&mut self, base: [u8; 32], first_learned: u64) {
        let header = Header { base, applies_to: base, snapshot: 0, first_learned, ..self.header };
        self.header = header;
        self.file = None;
    }

    /// Whether the directory still is as it was when it was read.
    pub(super) fn is_unchanged(&self) -> Result<(), StateError> {
        let names = self.disk.list("").unwrap_or_default();
        let newest = names.iter().filter_map(|name| numbered(name)).max();
        let len = newest.map(|number| self.disk.read(&format!("{JOURNAL}{number}")));
        let len = len.and_then(|bytes| Some(bytes.ok()?.len()));
        match (newest, len) == (self.seen.0, self.seen.1) {
            true => Ok(()),
            false => Err(StateError::InUse {
                path: self.disk.path(""),
                by: "another program that learned there meanwhile (start this one again)".into(),
            }),
        }
    }

    /// A number that no file has.
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Removes what is not needed any more. A file that stays is removed another time.
    fn clean(&mut self) {
        let Some(file) = &self.file else { return };
        let (journal, snapshot) = (file.name.clone(), self.snapshot());
        for name in self.disk.list("").unwrap_or_default() {
            let whole = name.strip_suffix(PART).unwrap_or(&name);
            let ours = numbered(whole).is_some() || snapshot_number(whole).is_some();
            if !ours || name == journal || Some(&name) == snapshot.as_ref() {
                continue;
            }
            let _ = match self.damaged.contains(&name) {
                true => self.disk.rename(&name, &damaged(&name)),
                false => self.disk.remove(&name),
            };
        }
    }
}

fn nothing_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What a damaged file is called once it is replaced.
fn damaged(name: &str) -> String {
    format!("{name}.damaged")
}

fn numbered(name: &str) -> Option<u64> {
    name.strip_prefix(JOURNAL)?.parse().ok()
}

fn snapshot_number(name: &str) -> Option<u64> {
    name.strip_prefix(SNAPSHOT)?.strip_suffix(SNAPSHOT_END)?.parse().ok()
}
