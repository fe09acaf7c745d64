//! Two assets, of which a new one is on trial until it has proved itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::disk::{Disk, Folder};
use super::lock::FolderLock;
use super::{PublicKey, StateError};
use crate::asset::{AssetFile, FileError, Tag};

/// Starts that an asset on trial has.
const ATTEMPTS: u8 = 3;
const POINTER: &str = "slots";
const MAGIC: [u8; 8] = *b"\x89TIPSLT\n";
const VERSION: u16 = 1;

/// A place for an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `a.tipcam`
    A,
    /// `b.tipcam`
    B,
}

impl Slot {
    /// The file's name.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::A => "a.tipcam",
            Self::B => "b.tipcam",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn number(slot: Option<Self>) -> u8 {
        match slot {
            None => 0,
            Some(Self::A) => 1,
            Some(Self::B) => 2,
        }
    }

    fn numbered(number: u8) -> Option<Option<Self>> {
        [None, Some(Self::A), Some(Self::B)].get(usize::from(number)).copied()
    }
}

/// The file `slots`, which says what the slots hold.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Record {
    magic: [u8; 8],
    version: u16,
    good: u8,
    trial: u8,
    attempts: u8,
    reserved: [u8; 3],
    installed: u64,
    reserved_too: u32,
    crc: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pointer {
    /// The slot that has proved itself.
    good: Option<Slot>,
    /// The slot on trial.
    trial: Option<Slot>,
    /// Starts that it has had.
    attempts: u8,
    /// How many assets have been installed so far.
    installed: u64,
}

impl Pointer {
    fn encode(self) -> Record {
        let mut record = Record {
            magic: MAGIC,
            version: VERSION,
            good: Slot::number(self.good),
            trial: Slot::number(self.trial),
            attempts: self.attempts,
            installed: self.installed,
            ..Record::new_zeroed()
        };
        record.crc = record.checksum();
        record
    }

    /// What the file says; none if it is damaged.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let record = Record::read_from_bytes(bytes).ok()?;
        if record.magic != MAGIC || record.version != VERSION || record.crc != record.checksum() {
            return None;
        }
        let (good, trial) = (Slot::numbered(record.good)?, Slot::numbered(record.trial)?);
        Some(Self { good, trial, attempts: record.attempts, installed: record.installed })
    }
}

impl Record {
    fn checksum(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..size_of::<Self>() - size_of::<u32>()])
    }
}

/// The two slots of a state directory. Each call takes them for itself for as long as it lasts, so that
/// an asset can be installed while another program runs with the other one.
pub struct Slots {
    disk: Box<dyn Disk>,
    directory: Option<PathBuf>,
}

/// The asset to start with.
#[derive(Debug)]
pub struct Begun {
    /// The asset of a slot; none where nothing usable is installed, and the asset given or linked is the
    /// one to use.
    pub file: Option<AssetFile>,
    /// Its slot.
    pub slot: Option<Slot>,
    /// Whether it still has to prove itself, see [`Slots::confirm`].
    pub on_trial: bool,
    /// What somebody should know: an asset that failed, a file that is damaged.
    pub notes: Vec<String>,
    installed: u64,
}

impl Slots {
    /// The slots in a directory, which need not be there yet.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { disk: Box::new(Folder::new(directory)), directory: Some(directory.to_owned()) }
    }

    #[cfg(test)]
    pub(super) fn on(disk: Box<dyn Disk>) -> Self {
        Self { disk, directory: None }
    }

    /// Puts an asset into the slot that is not in use, on trial from the next start on. Before that it is
    /// looked at: its signature if there is a key, every byte, and `self_test`, which should try whether
    /// it answers.
    ///
    /// # Errors
    /// The asset is refused, or the disk refuses: what was installed before is as it was then.
    pub fn install(
        &mut self,
        path: &Path,
        key: Option<&PublicKey>,
        self_test: &dyn Fn(&AssetFile) -> Result<(), String>,
    ) -> Result<Slot, StateError> {
        // In memory, so that what is looked at is what is written.
        let file = AssetFile::read(path)?;
        if let Some(key) = key {
            key.verify(path, file.bytes())?;
        }
        file.check()?;
        if !file.asset()?.has_encoder() {
            return Err(file.error(Tag::LAYERS.missing()).into());
        }
        let failed = |what| StateError::SelfTest { path: path.display().to_string(), what };
        self_test(&file).map_err(failed)?;

        let made = self.disk.make_folder("");
        made.map_err(|error| StateError::write(self.disk.path(""), error))?;
        let _lock = self.lock()?;
        let before = self.pointer(&mut Vec::new())?;
        let slot = before.good.map_or(Slot::A, Slot::other);
        // What was on trial there is over, whatever becomes of the new one.
        self.point(Pointer { trial: None, attempts: 0, ..before })?;
        let written = self.disk.replace(slot.file(), file.bytes());
        written.map_err(|error| StateError::write(self.disk.path(slot.file()), error))?;
        let installed = before.installed + 1;
        self.point(Pointer { trial: Some(slot), attempts: 0, installed, ..before })?;
        Ok(slot)
    }

    /// Chooses the asset to start with. One on trial is started three times at most without being
    /// confirmed; then, or if it is damaged, the other one is chosen again.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn begin(&mut self) -> Result<Begun, StateError> {
        let mut notes = Vec::new();
        let _lock = self.lock()?;
        let mut pointer = self.pointer(&mut notes)?;
        if let Some(slot) = pointer.trial {
            match self.attempt(slot, pointer) {
                Ok(file) => {
                    let (file, slot, installed) = (Some(file), Some(slot), pointer.installed);
                    return Ok(Begun { file, slot, on_trial: true, notes, installed });
                }
                Err(problem) => notes.push(problem),
            }
            pointer.trial = None;
            if let Err(error) = self.point(Pointer { attempts: 0, ..pointer }) {
                notes.push(error.to_string());
            }
        }
        let installed = pointer.installed;
        for slot in pointer.good.into_iter().flat_map(|good| [good, good.other()]) {
            match self.sound(slot) {
                Ok(file) => {
                    let (file, slot) = (Some(file), Some(slot));
                    return Ok(Begun { file, slot, on_trial: false, notes, installed });
                }
                Err(error) => notes.push(error.to_string()),
            }
        }
        Ok(Begun { file: None, slot: None, on_trial: false, notes, installed })
    }

    /// The asset that was begun with has proved itself, and is what later starts use. False if it was not
    /// on trial, or another one has been installed meanwhile.
    ///
    /// # Errors
    /// The disk refuses: the asset is on trial still.
    pub fn confirm(&mut self, begun: &Begun) -> Result<bool, StateError> {
        if !begun.on_trial {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let pointer = self.pointer(&mut Vec::new())?;
        if pointer.installed != begun.installed || pointer.trial != begun.slot {
            return Ok(false);
        }
        self.point(Pointer { good: begun.slot, trial: None, attempts: 0, ..pointer })?;
        Ok(true)
    }

    /// The asset on trial, with one attempt less; or why it has none.
    fn attempt(&mut self, slot: Slot, pointer: Pointer) -> Result<AssetFile, String> {
        let path = self.disk.path(slot.file());
        if pointer.attempts >= ATTEMPTS {
            return Err(format!(
                "{path}: started {ATTEMPTS} times without proving itself: back to the asset before it"
            ));
        }
        let file = self.sound(slot).map_err(|error| error.to_string())?;
        // Counted before it is used: it may take the whole machine down.
        let counted = self.point(Pointer { attempts: pointer.attempts + 1, ..pointer });
        counted.map_err(|error| format!("{path}: its trial cannot be counted: {error}"))?;
        Ok(file)
    }

    /// The asset of a slot, after a look at its checksums and values.
    fn sound(&self, slot: Slot) -> Result<AssetFile, FileError> {
        let file = self.disk.open(slot.file())?;
        let asset = file.asset()?;
        let sound = asset.container.verify().and_then(|()| asset.validate());
        sound.map_err(|error| file.error(error))?;
        Ok(file)
    }

    fn lock(&self) -> Result<Option<FolderLock>, StateError> {
        let pointer = self.directory.as_ref().map(|path| path.join(POINTER));
        let lock = pointer.map(|path| FolderLock::around(&path)).transpose();
        lock.map_err(|error| StateError::read(self.disk.path(""), error))
    }

    fn pointer(&self, notes: &mut Vec<String>) -> Result<Pointer, StateError> {
        let path = self.disk.path(POINTER);
        match self.disk.read(POINTER) {
            Ok(bytes) => Ok(Pointer::decode(&bytes).unwrap_or_else(|| {
                notes.push(format!(
                    "{path}: damaged: the installed assets are left alone; install one again"
                ));
                Pointer::default()
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Pointer::default()),
            Err(error) => Err(StateError::read(path, error)),
        }
    }

    fn point(&mut self, pointer: Pointer) -> Result<(), StateError> {
        let written = self.disk.replace(POINTER, pointer.encode().as_bytes());
        written.map_err(|error| StateError::write(self.disk.path(POINTER), error))
    }
}
