//! Opening: what is in the directory, and what has to be done about it.

use super::disk::Disk;
use super::journal::{Journal, UNKNOWN};
use super::memo::remembering;
use super::operation::{Numbered, Operation};
use super::replay::{Workshop, head_of, identity};
use super::store::Store;
use super::thumbnails::{self, Held};
use super::{Options, StateError, rebase};
use crate::asset::{AssetFile, Space, Tag};
use crate::fit::OwnedProjector;
use crate::fit::matrix::Workers;

impl Store {
    pub(super) fn on(
        base: &AssetFile,
        disk: Option<Box<dyn Disk>>,
        options: Options,
        project: Option<OwnedProjector>,
        workers: Workers,
    ) -> Result<Self, StateError> {
        let asset = base.asset()?;
        if asset.head.is_none() || asset.labels.is_none() {
            let missing = if asset.head.is_none() { Tag::HEAD } else { Tag::LABELS };
            return Err(base.error(missing.missing()).into());
        }
        let space = match asset.cache {
            Some(cache) => cache.space,
            None if asset.has_encoder() => Space::Trunk,
            None => Space::Projected,
        };
        let head = head_of(base)?;
        let next_id = asset.cache.map_or(1, |cache| cache.next_id);
        let identity = identity(&head)?;
        let encoder = asset.container.encoder_id();
        let mut store = Self {
            workshop: Workshop { space, project: project.map(remembering), workers },
            long: (options.journal_records, options.journal_bytes),
            options,
            anchor: head.clone(),
            operations: Vec::new(),
            head,
            generation: 0,
            next_id,
            next_number: 1,
            journal: disk.map(|disk| Journal::new(disk, encoder, identity, next_id)),
            place: None,
            held: Held::default(),
            failed: false,
            notes: Vec::new(),
        };
        store.load(identity)?;
        Ok(store)
    }

    /// Takes over what is in the directory. `base` is the identity of the asset's own head.
    fn load(&mut self, base: [u8; 32]) -> Result<(), StateError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let base_ids = self.next_id;
        let Some(scanned) = journal.load(&mut self.notes)? else { return Ok(()) };
        let snapshot = journal.snapshot().map(|name| snapshot(journal, &name)).transpose()?;
        let snapshot_ids =
            snapshot.as_ref().and_then(|file| Some(file.asset().ok()?.cache?.next_id));
        self.next_id = base_ids.max(scanned.next_id).max(snapshot_ids.unwrap_or(0));
        self.next_number = scanned.next_number;
        if journal.header.base != base {
            return self.carry(base, snapshot, scanned.operations);
        }
        if let Some(snapshot) = snapshot {
            self.anchor = snapshot;
        }
        let operations = scanned.operations;
        (self.head, self.operations) =
            self.workshop.replay_possible(&self.anchor, operations, &mut self.notes);
        if !journal.is_ready() {
            self.renew();
        }
        self.sweep();
        Ok(())
    }

    /// Brings what was learned on another base of the same encoder to this one.
    fn carry(
        &mut self,
        base: [u8; 32],
        snapshot: Option<AssetFile>,
        operations: Vec<Numbered>,
    ) -> Result<(), StateError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let first = journal.header.first_learned;
        let carried = rebase::carry(snapshot.as_ref(), operations, first, self.next_id)?;
        let operations = carried.operations;
        let first_id = self.next_id;
        journal.forget(base, first_id);
        self.next_id += carried.keys.len() as u64;
        self.next_number += operations.len() as u64;
        (self.head, self.operations) =
            self.workshop.replay_possible(&self.anchor, operations, &mut self.notes);
        let shots = |numbered: &Numbered| match &numbered.operation {
            Operation::Learn { shots, .. } => shots.len(),
            _ => 0,
        };
        self.notes.push(format!(
            "the asset is another one than before, with the same encoder: {} learned shots were carried \
             over; what was forgotten of the asset itself is back",
            self.operations.iter().map(shots).sum::<usize>()
        ));
        match self.shorten(0) {
            Ok(()) => {
                if let Some(journal) = &mut self.journal {
                    let disk = &mut *journal.disk;
                    carried.keys.iter().for_each(|&(old, new)| thumbnails::rename(disk, old, new));
                }
                self.sweep();
            }
            Err(error) => self.note_failure(&error),
        }
        Ok(())
    }

    /// Writes a journal in place of one that cannot be built on.
    fn renew(&mut self) {
        self.floors();
        let Some(journal) = &mut self.journal else { return };
        if let Err(error) = journal.rewrite(&self.operations) {
            self.note_failure(&error);
        }
    }

    fn note_failure(&mut self, error: &StateError) {
        self.failed = true;
        self.notes.push(format!("nothing can be learned yet: {error}"));
    }
}

/// The snapshot that the journal's records apply to, looked at from its first byte to its last.
fn snapshot(journal: &mut Journal, name: &str) -> Result<AssetFile, StateError> {
    let file = journal.disk.open(name)?;
    let path = journal.disk.path(name);
    file.check()
        .map_err(|error| StateError::Damaged { path: path.clone(), what: error.to_string() })?;
    let encoder = file.container()?.encoder_id();
    if encoder != journal.header.encoder {
        let (state, asset) = (encoder, journal.header.encoder);
        return Err(StateError::OtherEncoder { path, state, asset });
    }
    let identity = identity(&file)?;
    if journal.header.applies_to == UNKNOWN {
        journal.header.applies_to = identity;
    }
    if identity != journal.header.applies_to {
        let what = "it is not the file that the journal beside it continues".to_owned();
        return Err(StateError::Damaged { path, what });
    }
    Ok(file)
}
