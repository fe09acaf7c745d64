use sha2::{Digest, Sha256};

use super::StateError;
use super::operation::{Numbered, Operation};
use crate::asset::{Asset, AssetFile, Builder, FileError, HeadKind, Space, Tag};
use crate::fit::matrix::Workers;
use crate::fit::{Change, Draft, Duplicate, FitError, Forget, OwnedProjector, Projector, keys};

/// What changes heads.
pub(super) struct Workshop {
    /// The feature that keys are, where there are none yet.
    pub(super) space: Space,
    pub(super) project: Option<OwnedProjector>,
    pub(super) workers: Workers,
}

/// What an operation did.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) keys: Vec<u64>,
    pub(super) duplicates: Vec<Duplicate>,
    pub(super) new_class: bool,
    /// The class that went.
    pub(super) class: Option<String>,
    pub(super) stale: bool,
}

impl Workshop {
    /// Learns a shot that is known once more and throws it away. The projected shots are remembered, and
    /// the memory that a lesson takes has been had from the system: together more than half of what the
    /// first one would take.
    pub(super) fn prepare(&self, file: &AssetFile) {
        let Ok(Asset { labels: Some(labels), cache: Some(cache), head, .. }) = file.asset() else {
            return;
        };
        let Some(label) = cache.class.first().and_then(|&class| labels.get(class as usize)) else {
            return;
        };
        let mut feature = keys::decode(&cache, 0);
        keys::normalize(&mut feature);
        let shots = vec![(feature, String::new())];
        // Most lessons are of a new class, which nobody can name so; for one the incremental head trains.
        let trains = head.is_some_and(|params| params.kind == HeadKind::Incremental);
        let label = if trains { label } else { " " };
        let lesson = Operation::Learn { first_id: 1, label: label.to_owned(), shots };
        let _ = self.apply(file, &lesson);
    }

    /// `head` with one more change.
    pub(super) fn apply(
        &self,
        head: &AssetFile,
        operation: &Operation,
    ) -> Result<(AssetFile, Effect), StateError> {
        let asset = head.asset()?;
        let (mut draft, kernels) = (Draft::new(&asset, self.space)?, self.workers.kernels);
        let duplicates = match operation {
            Operation::Learn { label, shots, .. } => draft.duplicates(label, shots, kernels)?,
            _ => Vec::new(),
        };
        let effect = change(&mut draft, operation)?;
        let change = draft.finish(self.project(), self.workers)?;
        Ok((changed(head, &change)?, Effect { duplicates, stale: change.stale, ..effect }))
    }

    /// `anchor` with all these changes: the same bytes as one after the other, in little more time than
    /// one.
    pub(super) fn replay(
        &self,
        anchor: &AssetFile,
        operations: &[Numbered],
    ) -> Result<AssetFile, StateError> {
        let asset = anchor.asset()?;
        // this head learns classes as tasks, in the order in which they come
        if asset.head.is_some_and(|head| head.kind == HeadKind::Incremental) {
            let mut head = anchor.clone();
            for Numbered { operation, .. } in operations {
                head = self.apply(&head, operation)?.0;
            }
            return Ok(head);
        }
        if operations.is_empty() {
            return Ok(anchor.clone());
        }
        let mut draft = Draft::new(&asset, self.space)?;
        for Numbered { operation, .. } in operations {
            change(&mut draft, operation)?;
        }
        changed(anchor, &draft.finish(self.project(), self.workers)?)
    }

    /// The same, leaving out what is not possible any more; gives what was.
    pub(super) fn replay_possible(
        &self,
        anchor: &AssetFile,
        operations: Vec<Numbered>,
        notes: &mut Vec<String>,
    ) -> (AssetFile, Vec<Numbered>) {
        if let Ok(head) = self.replay(anchor, &operations) {
            return (head, operations);
        }
        let mut head = anchor.clone();
        let mut done = Vec::new();
        for numbered in operations {
            match self.apply(&head, &numbered.operation) {
                Ok((next, _)) => {
                    head = next;
                    done.push(numbered);
                }
                Err(error) => notes.push(format!("left out: {}: {error}", numbered.operation)),
            }
        }
        (head, done)
    }

    fn project(&self) -> Option<&dyn Projector> {
        self.project.as_deref().map(|project| project as &dyn Projector)
    }
}

fn change(draft: &mut Draft<'_>, operation: &Operation) -> Result<Effect, FitError> {
    Ok(match operation {
        Operation::Learn { first_id, label, shots } => {
            draft.ids_from(*first_id);
            let learned = draft.learn(label, shots)?;
            Effect { keys: learned.keys, new_class: learned.new_class, ..Effect::default() }
        }
        Operation::ForgetKey(id) => {
            let forgotten = draft.forget(Forget::Key(*id))?;
            Effect { keys: forgotten.keys, class: forgotten.class, ..Effect::default() }
        }
        Operation::ForgetClass(label) => {
            let forgotten = draft.forget(Forget::Class(label))?;
            Effect { keys: forgotten.keys, class: forgotten.class, ..Effect::default() }
        }
        Operation::Move { id, label } => {
            let moved = draft.move_key(*id, label)?;
            let (keys, new_class) = (vec![*id], moved.new_class);
            Effect { keys, new_class, class: moved.class, ..Effect::default() }
        }
        Operation::Rename { label, new } => {
            draft.rename(label, new)?;
            Effect::default()
        }
    })
}

fn changed(file: &AssetFile, change: &Change) -> Result<AssetFile, StateError> {
    let container = file.container()?;
    let bytes = change.apply(&container).to_bytes();
    Ok(bytes.map_err(|error| file.error(error))?.try_into()?)
}

/// The asset without its encoder: what learning changes, and all that it has to copy.
pub(super) fn head_of(base: &AssetFile) -> Result<AssetFile, FileError> {
    let container = base.container()?;
    let all = Builder::from_container(&container);
    let head = Tag::ENCODER.into_iter().fold(all, Builder::without);
    head.to_bytes().map_err(|error| base.error(error))?.try_into()
}

/// Tells heads apart: SHA-256 over the encoder's identity and, for each section, its tag, its length
/// (u64) and its checksum.
pub(super) fn identity(head: &AssetFile) -> Result<[u8; 32], FileError> {
    let container = head.container()?;
    let mut hash = Sha256::new();
    hash.update(container.encoder_id().0);
    for (tag, range, crc) in container.sections() {
        hash.update(tag.0);
        hash.update((range.len() as u64).to_le_bytes());
        hash.update(crc.to_le_bytes());
    }
    Ok(hash.finalize().into())
}
