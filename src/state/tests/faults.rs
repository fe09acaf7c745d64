//! A disk in memory that remembers every step, and what of them a power cut may leave.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::asset::{AssetFile, FileError};
use crate::random::Random;
use crate::state::disk::Disk;

pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What was done to the disk, in order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(String, Vec<u8>),
    Append(String, Vec<u8>),
    Truncate(String, u64),
    Sync(String),
    Rename(String, String),
    Remove(String),
    SyncFolder(String),
    /// The program was told that so many operations are safe.
    Acknowledged(usize),
}

impl Step {
    /// Where in the step a cut can come: before each byte, or before the step.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::Write(_, bytes) | Self::Append(_, bytes) => bytes.len().max(1),
            _ => 1,
        }
    }
}

/// Steps that fail: from `after` on, `count` of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) after: usize,
    pub(super) count: usize,
    pub(super) kind: io::ErrorKind,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) files: Files,
    pub(super) steps: Vec<Step>,
    pub(super) refusal: Option<Refusal>,
    tried: usize,
}

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct FakeDisk(Arc<Mutex<Inner>>);

impl FakeDisk {
    pub(super) fn with(files: Files) -> Self {
        Self(Arc::new(Mutex::new(Inner { files, ..Inner::default() })))
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Does a step, or a part of it where it is refused.
    fn step(&self, step: Step) -> io::Result<()> {
        let mut inner = self.inner();
        let refused = inner.refusal.filter(|refusal| {
            (refusal.after..refusal.after + refusal.count).contains(&inner.tried)
        });
        inner.tried += 1;
        let Some(Refusal { kind, .. }) = refused else {
            apply(&mut inner.files, &step)?;
            inner.steps.push(step);
            return Ok(());
        };
        let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
        let part = match &step {
            Step::Write(name, bytes) => Some(Step::Write(name.clone(), half(bytes))),
            Step::Append(name, bytes) => Some(Step::Append(name.clone(), half(bytes))),
            _ => None,
        };
        if let Some(part) = part {
            apply(&mut inner.files, &part)?;
            inner.steps.push(part);
        }
        Err(kind.into())
    }
}

fn apply(files: &mut Files, step: &Step) -> io::Result<()> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    match step {
        Step::Write(name, bytes) => drop(files.insert(name.clone(), bytes.clone())),
        Step::Append(name, bytes) => files.get_mut(name).ok_or_else(missing)?.extend(bytes),
        Step::Truncate(name, len) => {
            files.get_mut(name).ok_or_else(missing)?.truncate(*len as usize);
        }
        Step::Rename(from, to) => {
            let file = files.remove(from).ok_or_else(missing)?;
            files.insert(to.clone(), file);
        }
        Step::Remove(name) => drop(files.remove(name).ok_or_else(missing)?),
        Step::Sync(_) | Step::SyncFolder(_) | Step::Acknowledged(_) => {}
    }
    Ok(())
}

impl Disk for FakeDisk {
    fn path(&self, name: &str) -> String {
        format!("/state/{name}")
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inner = self.inner();
        let names = inner.files.keys().filter_map(|name| match name.rsplit_once('/') {
            Some((of, name)) => (of == folder).then(|| name.to_owned()),
            None => folder.is_empty().then(|| name.clone()),
        });
        Ok(names.collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.inner().files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open(&self, name: &str) -> Result<AssetFile, FileError> {
        let bytes = self.read(name);
        let path = self.path(name);
        AssetFile::from_bytes(&bytes.map_err(|source| FileError::Read { path, source })?)
    }

    fn make_folder(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Write(name.to_owned(), bytes.to_vec()))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Append(name.to_owned(), bytes.to_vec()))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.step(Step::Truncate(name.to_owned(), len))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.step(Step::Sync(name.to_owned()))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step(Step::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step(Step::Remove(name.to_owned()))
    }

    fn sync_folder(&mut self, folder: &str) -> io::Result<()> {
        self.step(Step::SyncFolder(folder.to_owned()))
    }
}

/// A change of names that may or may not survive until its folder is synced.
#[derive(Clone)]
struct Naming {
    folder: String,
    gone: Option<String>,
    new: Option<(String, usize)>,
}

/// What the platter has beside what programs see.
#[derive(Clone, Default)]
pub(super) struct Platter {
    /// Contents that programs see, and contents that are safe.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    seen: BTreeMap<String, usize>,
    safe: BTreeMap<String, usize>,
    pending: Vec<Naming>,
}

impl Platter {
    /// A disk on which everything is safe.
    pub(super) fn with(files: &Files) -> Self {
        let mut platter = Self::default();
        for (name, bytes) in files {
            platter.seen.insert(name.clone(), platter.files.len());
            platter.files.push((bytes.clone(), bytes.clone()));
        }
        platter.safe = platter.seen.clone();
        platter
    }

    /// Does a step.
    pub(super) fn step(&mut self, step: &Step) {
        self.part_of(step, usize::MAX);
    }

    /// Does a step of which only the first bytes are written, if it writes.
    pub(super) fn part_of(&mut self, step: &Step, bytes: usize) {
        let folder = |name: &str| name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        match step {
            Step::Write(name, all) => {
                let written = all[..bytes.min(all.len())].to_vec();
                if let Some(&file) = self.seen.get(name) {
                    self.files[file].0 = written;
                } else {
                    let file = self.files.len();
                    self.files.push((written, Vec::new()));
                    self.seen.insert(name.clone(), file);
                    let new = Some((name.clone(), file));
                    self.pending.push(Naming { folder: folder(name), gone: None, new });
                }
            }
            Step::Append(name, all) => {
                self.files[self.seen[name]].0.extend(&all[..bytes.min(all.len())]);
            }
            Step::Truncate(name, len) => self.files[self.seen[name]].0.truncate(*len as usize),
            Step::Sync(name) => {
                let file = &mut self.files[self.seen[name]];
                file.1 = file.0.clone();
            }
            Step::Rename(from, to) => {
                let file = self.seen.remove(from).unwrap();
                self.seen.insert(to.clone(), file);
                let (gone, new) = (Some(from.clone()), Some((to.clone(), file)));
                self.pending.push(Naming { folder: folder(to), gone, new });
            }
            Step::Remove(name) => {
                self.seen.remove(name);
                let gone = Some(name.clone());
                self.pending.push(Naming { folder: folder(name), gone, new: None });
            }
            Step::SyncFolder(synced) => {
                let (now, later) =
                    self.pending.drain(..).partition(|naming: &Naming| naming.folder == *synced);
                self.pending = later;
                now.iter().for_each(|naming: &Naming| rename(&mut self.safe, naming));
            }
            Step::Acknowledged(_) => {}
        }
    }

    /// What a killed program leaves: the system goes on and writes everything.
    pub(super) fn killed(&self) -> Files {
        self.seen.iter().map(|(name, &file)| (name.clone(), self.files[file].0.clone())).collect()
    }

    /// What is left where nothing survives but what was synced.
    pub(super) fn cut(&self) -> Files {
        self.safe.iter().map(|(name, &file)| (name.clone(), self.files[file].1.clone())).collect()
    }

    /// What is left where chance decides about everything that was not synced: names, and blocks of
    /// files, some of which have become something else.
    pub(super) fn cut_by_chance(&self, random: &mut Random) -> Files {
        let mut names = self.safe.clone();
        for naming in &self.pending {
            if random.below(2) == 0 {
                rename(&mut names, naming);
            }
        }
        let mut contents = |file: usize| {
            let (seen, safe) = &self.files[file];
            if random.below(2) == 0 || seen.starts_with(safe) && seen.len() == safe.len() {
                return safe.clone();
            }
            let mut bytes = seen.clone();
            let same = seen.iter().zip(safe).take_while(|(seen, safe)| seen == safe).count();
            for block in bytes[same..].chunks_mut(16) {
                if random.below(3) == 0 {
                    block.fill(random.draw() as u8);
                }
            }
            bytes
        };
        names.iter().map(|(name, &file)| (name.clone(), contents(file))).collect()
    }
}

fn rename(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    if let Some(gone) = &naming.gone {
        names.remove(gone);
    }
    if let Some((name, file)) = &naming.new {
        names.insert(name.clone(), *file);
    }
}
