use std::path::Path;

use super::StateError;
use super::disk::{Disk, Folder};
use super::journal::Journal;
use super::operation::{Entry, Numbered, Operation};
use super::place::Place;
use super::record::MAX_SHOTS;
use super::replay::{Effect, Workshop, identity};
use super::results::{Forgotten, Learned, Moved, NewShot, Options, Undone};
use super::thumbnails::{self, Held};
use crate::asset::{AssetFile, Space};
use crate::fit::OwnedProjector;
use crate::fit::matrix::Workers;

/// An asset's head that learns, and a directory in which everything learned is on the disk before it is
/// acknowledged. The encoder stays in the base asset and is never copied.
pub struct Store {
    pub(super) workshop: Workshop,
    pub(super) options: Options,
    /// What the operations apply to: the base's head or a snapshot.
    pub(super) anchor: AssetFile,
    /// What was done since, and can be undone.
    pub(super) operations: Vec<Numbered>,
    pub(super) head: AssetFile,
    pub(super) generation: u64,
    pub(super) next_id: u64,
    pub(super) next_number: u64,
    pub(super) journal: Option<Journal>,
    pub(super) place: Option<Place>,
    pub(super) held: Held,
    /// Operations and bytes from which on the journal is shortened.
    pub(super) long: (usize, u64),
    pub(super) failed: bool,
    pub(super) notes: Vec<String>,
}

impl Store {
    /// The head of `base` with all that was learned in `directory`, which is made if it is not there.
    /// Where it cannot be written the head works and learning is refused, until it can.
    ///
    /// # Errors
    /// Another program uses the directory, what is there belongs to another encoder or is damaged, or
    /// the base has no head.
    pub fn open(
        base: AssetFile,
        directory: &Path,
        options: Options,
        project: Option<OwnedProjector>,
        workers: Workers,
    ) -> Result<Self, StateError> {
        let mut place = Place { path: directory.to_owned(), lock: None };
        let refused = match place.take() {
            Ok(()) => None,
            Err(error @ StateError::InUse { .. }) => return Err(error),
            Err(error) => Some(error),
        };
        let disk: Box<dyn Disk> = Box::new(Folder::new(directory));
        let mut store = Self::on(&base, Some(disk), options, project, workers)?;
        store.place = Some(place);
        if let Some(error) = refused {
            store.failed = true;
            store.notes.push(format!("nothing can be learned yet: {error}"));
        }
        Ok(store)
    }

    /// The head of `base` without a directory: it learns, and what it learned goes with the program.
    ///
    /// # Errors
    /// The base has no head.
    pub fn in_memory(
        base: AssetFile,
        options: Options,
        project: Option<OwnedProjector>,
        workers: Workers,
    ) -> Result<Self, StateError> {
        Self::on(&base, None, options, project, workers)
    }

    /// What opening found and did that somebody should know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether what is learned is kept: there is a directory, and the last write to it went well.
    #[must_use]
    pub fn durable(&self) -> bool {
        self.journal.is_some() && !self.failed
    }

    /// All sections but the encoder's, as they are now. Cloning shares them.
    #[must_use]
    pub fn head(&self) -> AssetFile {
        self.head.clone()
    }

    /// Grows with every change of the head.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The feature that shots are learned by.
    #[must_use]
    pub fn space(&self) -> Space {
        self.workshop.space
    }

    /// Does ahead what the first change would have to wait for: worth while after a start, where nobody
    /// waits.
    pub fn prepare(&self) {
        self.workshop.prepare(&self.head);
    }

    /// Adds shots to class `label`, which may be new; without shots, a class that the vocabulary knows.
    ///
    /// # Errors
    /// A feature or the label cannot be used, or the disk refuses: nothing has changed then.
    pub fn learn(&mut self, label: &str, shots: &[NewShot]) -> Result<Learned, StateError> {
        let label = usable(label)?;
        if shots.len() > MAX_SHOTS {
            let (what, found) = ("shots", shots.len());
            return Err(StateError::TooMuch { what, found, max: MAX_SHOTS });
        }
        let first_id = self.next_id;
        let features = shots.iter().map(|shot| (shot.feature.clone(), shot.name.clone()));
        let operation = Operation::Learn { first_id, label, shots: features.collect() };
        let Effect { keys, duplicates, new_class, stale, .. } = self.change(operation)?;
        Ok(Learned { keys, duplicates, new_class, stale })
    }

    /// Keeps the small pictures of shots that were learned under `keys`, after what they are for was
    /// told to whoever waits for it: nothing depends on them.
    pub fn keep_thumbnails(&mut self, keys: &[u64], shots: &[NewShot]) {
        for (&key, shot) in keys.iter().zip(shots) {
            let Some(jpeg) = &shot.thumbnail else { continue };
            if thumbnails::is_whole(jpeg, self.options.thumbnail_bytes) {
                match &mut self.journal {
                    Some(journal) => thumbnails::keep(&mut *journal.disk, key, jpeg),
                    None => self.held.keep(key, jpeg.clone()),
                }
            }
        }
    }

    /// Takes out one shot. A class that has nothing else goes with it.
    ///
    /// # Errors
    /// There is no such key, it is the last one of all, or the disk refuses: nothing has changed then.
    pub fn forget_key(&mut self, id: u64) -> Result<Forgotten, StateError> {
        let Effect { keys, class, stale, .. } = self.change(Operation::ForgetKey(id))?;
        Ok(Forgotten { keys, class, stale })
    }

    /// Takes out a class with its text and its shots.
    ///
    /// # Errors
    /// There is no such class, it is the last one, or the disk refuses: nothing has changed then.
    pub fn forget_class(&mut self, label: &str) -> Result<Forgotten, StateError> {
        let operation = Operation::ForgetClass(label.to_owned());
        let Effect { keys, class, stale, .. } = self.change(operation)?;
        Ok(Forgotten { keys, class, stale })
    }

    /// Gives a shot to another class, which may be new. Its key stays.
    ///
    /// # Errors
    /// There is no such key, the label cannot be used, or the disk refuses: nothing has changed then.
    pub fn move_key(&mut self, id: u64, label: &str) -> Result<Moved, StateError> {
        let operation = Operation::Move { id, label: usable(label)? };
        let Effect { new_class, class, stale, .. } = self.change(operation)?;
        Ok(Moved { new_class, class, stale })
    }

    /// Gives a class another label.
    ///
    /// # Errors
    /// There is no class of the old label or one of the new, or the disk refuses: nothing has changed
    /// then.
    pub fn rename_class(&mut self, label: &str, new: &str) -> Result<(), StateError> {
        let (label, new) = (label.to_owned(), usable(new)?);
        self.change(Operation::Rename { label, new }).map(|_| ())
    }

    /// How many operations can be undone: at least the last [`Options::undo`], also those
    /// of before a restart.
    #[must_use]
    pub fn undoable(&self) -> usize {
        self.operations.len()
    }

    /// Takes back the last operation: the head is what it was before it. None if there is none.
    ///
    /// # Errors
    /// The disk refuses: nothing has changed then.
    pub fn undo(&mut self) -> Result<Option<Undone>, StateError> {
        let Some((last, before)) = self.operations.split_last() else { return Ok(None) };
        let head = self.workshop.replay(&self.anchor, before)?;
        let (what, undone) = (last.operation.to_string(), last.number);
        self.write(&Entry::Undo(undone))?;
        self.next_number += 1;
        self.operations.pop();
        self.head = head;
        self.generation += 1;
        self.sweep();
        Ok(Some(Undone { what, left: self.operations.len() }))
    }

    /// The picture of a shot, a JPEG, if it was kept.
    #[must_use]
    pub fn thumbnail(&self, key: u64) -> Option<Vec<u8>> {
        match &self.journal {
            Some(journal) => thumbnails::read(&*journal.disk, key),
            None => self.held.get(key),
        }
    }

    /// Shortens the journal: all but the last operations go into a snapshot. Happens by itself when it
    /// is long; afterwards opening is quicker.
    ///
    /// # Errors
    /// The disk refuses: everything is as it was then.
    pub fn compact(&mut self) -> Result<(), StateError> {
        let keep = self.options.undo;
        if self.operations.len() > keep { self.shorten(keep) } else { Ok(()) }
    }

    /// Makes a change: worked out, put on the disk, and only then there.
    fn change(&mut self, operation: Operation) -> Result<Effect, StateError> {
        let (head, effect) = self.workshop.apply(&self.head, &operation)?;
        self.write(&Entry::Do(&operation))?;
        if let Operation::Learn { shots, .. } = &operation {
            self.next_id += shots.len() as u64;
        }
        self.operations.push(Numbered { number: self.next_number, operation });
        self.next_number += 1;
        self.head = head;
        self.generation += 1;
        let bytes = self.journal.as_ref().map_or(0, Journal::len);
        if self.operations.len() > self.long.0 || bytes > self.long.1 {
            // The operation is safe already; what could not be shortened now is tried again later.
            let _ = self.compact();
            let bytes = self.journal.as_ref().map_or(0, Journal::len);
            let records = self.operations.len() + self.options.journal_records / 2;
            self.long.0 = records.max(self.options.journal_records);
            self.long.1 = (2 * bytes).max(self.options.journal_bytes);
        }
        Ok(effect)
    }

    fn write(&mut self, entry: &Entry<&Operation>) -> Result<(), StateError> {
        self.floors();
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let written = self.place.as_mut().map_or(Ok(()), |place| place.take_again(journal));
        let written =
            written.and_then(|()| journal.append(self.next_number, entry, &self.operations));
        self.failed = written.is_err();
        written
    }

    /// Tells the journal what no later key or operation may be called.
    pub(super) fn floors(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.header.next_id = self.next_id;
            journal.header.next_number = self.next_number;
        }
    }

    /// Puts all but the last `keep` operations into a snapshot.
    pub(super) fn shorten(&mut self, keep: usize) -> Result<(), StateError> {
        let fold = self.operations.len().saturating_sub(keep);
        let mut anchor = self.workshop.replay(&self.anchor, &self.operations[..fold])?;
        self.floors();
        if let Some(journal) = &mut self.journal {
            let identity = identity(&anchor)?;
            journal.compact(anchor.bytes(), identity, &self.operations[fold..])?;
            // the file on the disk takes no memory
            if let Some(mapped) = journal.snapshot().and_then(|name| journal.disk.open(&name).ok())
            {
                anchor = mapped;
            }
        }
        self.anchor = anchor;
        self.operations.drain(..fold);
        self.sweep();
        Ok(())
    }

    /// Removes pictures of shots that nothing can bring back.
    pub(super) fn sweep(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let anchor = self.anchor.asset().ok().and_then(|asset| asset.cache);
        let learned = |id: u64| {
            self.operations.iter().any(|numbered| match &numbered.operation {
                Operation::Learn { first_id, shots, .. } => {
                    (*first_id..first_id + shots.len() as u64).contains(&id)
                }
                _ => false,
            })
        };
        let stays = |id| learned(id) || anchor.is_some_and(|cache| cache.find(id).is_some());
        thumbnails::sweep(&mut *journal.disk, stays);
    }
}

/// A label without spaces around it.
fn usable(label: &str) -> Result<String, StateError> {
    let label = label.trim();
    if label.is_empty() || label.chars().any(char::is_control) {
        return Err(StateError::Label(label.escape_debug().to_string()));
    }
    Ok(label.to_owned())
}
