use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::health::HealthView;
use super::picture;
use crate::asset::{AssetFile, FileError};
use crate::fit::matrix::Workers;
use crate::fit::{self, FitError};
use crate::fit::{OwnedProjector, owned_projector};
use crate::frame::{FrameError, decode};
use crate::report::Timestamp;
use crate::state::{Forgotten, Moved, NewShot, StateError, Store, Undone};
use crate::watch::{Desk, DeskError, Seen};

/// Frames that are learned by one request.
pub const MAX_FRAMES: usize = 64;
/// Longest time between two frames that are learned by one request.
pub const MAX_APART: Duration = Duration::from_secs(1);

/// How long a frame may let wait; a camera that is slower than this is no camera.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer side of a thumbnail in pixels.
const THUMBNAIL: u32 = 160;
const THUMBNAIL_QUALITY: u8 = 80;

/// Why something was not taught, taken back or told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The loop.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// What was learned cannot be changed so, or cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// A picture.
    #[error(transparent)]
    Picture(#[from] FrameError),
    /// The number of frames.
    #[error("{0} frames: say a number from 1 to {MAX_FRAMES}")]
    Frames(usize),
    /// A region.
    #[error("there is no region {asked:?}: {}", regions(.there))]
    Region {
        /// What was asked for.
        asked: String,
        /// Those that there are.
        there: Vec<String>,
    },
}

fn regions(there: &[String]) -> String {
    match there {
        [] => "the whole picture is looked at, leave the region out".to_owned(),
        there => format!("the regions are {}", there.join(", ")),
    }
}

impl From<FileError> for KeeperError {
    fn from(error: FileError) -> Self {
        Self::State(error.into())
    }
}

/// What was learned.
#[derive(Clone, Debug, Serialize)]
pub struct Taught {
    /// The class.
    pub label: String,
    /// Numbers of the new shots.
    pub keys: Vec<u64>,
    /// Shots of the class now.
    pub shots: u32,
    /// Whether the class is new.
    pub new_class: bool,
    /// New shots that look like one that was there: another view would teach more.
    pub duplicates: usize,
    /// Whether the head was trained with other shots and should be made again.
    pub stale: bool,
}

/// A class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassView {
    /// Its name.
    pub label: String,
    /// Its shots.
    pub shots: u32,
    /// Whether it is known by its name too.
    pub has_text: bool,
}

/// A shot.
#[derive(Clone, Debug, Serialize)]
pub struct ShotView {
    /// Its number.
    pub key: u64,
    /// Where it came from.
    pub name: String,
    /// Whether there is a small picture of it.
    pub thumbnail: bool,
}

/// What stands in the place of a whole for people who look at it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The asset that everything began with.
    pub asset: String,
    /// The head.
    pub head: &'static str,
    /// Grows with every change.
    pub generation: u64,
    /// Number of classes.
    pub classes: usize,
    /// Number of shots.
    pub shots: usize,
    /// Whether what is learned outlives a power cut.
    pub durable: bool,
    /// Changes that can be undone.
    pub undoable: usize,
    /// What was found when the state was opened.
    pub notes: Vec<String>,
}

/// Keeps what the loop knows: teaches it from camera and pictures, takes back, and tells the loop.
///
/// Every call may wait for the loop or the disk; none stalls the loop.
pub struct Keeper {
    store: Mutex<Store>,
    desk: Desk,
    regions: Vec<String>,
    asset: String,
    project: Option<OwnedProjector>,
    workers: Workers,
    /// One picture is decoded at a time: a large one takes much memory.
    decoding: Mutex<()>,
    health: Mutex<Option<(u64, Arc<HealthView>)>>,
    /// As of the last change: whoever asks does not wait for a lesson.
    summary: Mutex<Summary>,
}

impl Keeper {
    /// A keeper of `store`, which began with `base`, for the loop behind `desk`. `regions` are the
    /// names of the views of a frame in their order; none where the whole frame is looked at. The loop
    /// is given the store's head.
    ///
    /// # Errors
    /// A damaged section of `base`.
    pub fn new(
        store: Store,
        base: &AssetFile,
        desk: Desk,
        regions: Vec<String>,
        workers: Workers,
    ) -> Result<Self, FileError> {
        let project = owned_projector(base, workers.kernels)?;
        let summary = Mutex::new(summary(&store, base.name())?);
        desk.set_head(store.head());
        Ok(Self {
            store: Mutex::new(store),
            desk,
            regions,
            asset: base.name().to_owned(),
            project,
            workers,
            decoding: Mutex::new(()),
            health: Mutex::new(None),
            summary,
        })
    }

    /// Does ahead what the first lesson would have to wait for; takes a moment.
    pub fn prepare(&self) {
        self.store().prepare();
    }

    /// Names of the views of a frame; none where the whole frame is looked at.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Learns the next `frames` frames of the camera, `apart` from each other, as `label`.
    ///
    /// # Errors
    /// [`KeeperError`]; nothing was learned then.
    pub fn learn_camera(
        &self,
        label: &str,
        region: Option<&str>,
        frames: usize,
        apart: Duration,
    ) -> Result<Taught, KeeperError> {
        let view = self.view(region)?;
        if !(1..=MAX_FRAMES).contains(&frames) {
            return Err(KeeperError::Frames(frames));
        }
        let mut shots = Vec::with_capacity(frames);
        for number in 0..frames {
            if number > 0 {
                thread::sleep(apart.min(MAX_APART));
            }
            shots.push(shot(&self.desk.next(view, PATIENCE)?, "camera"));
        }
        self.learn(label, &shots)
    }

    /// Learns a picture's file as `label`.
    ///
    /// # Errors
    /// [`KeeperError`]; nothing was learned then.
    pub fn learn_picture(&self, label: &str, file: &[u8]) -> Result<Taught, KeeperError> {
        let (seen, _) = self.look_at(file)?;
        self.learn(label, &[shot(&seen, "upload")])
    }

    /// Answers a picture's file; also says how long it took to decode.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn look_at(&self, file: &[u8]) -> Result<(Seen, Duration), KeeperError> {
        let _one = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let frame = decode("the picture", file)?;
        let took = begun.elapsed();
        Ok((self.desk.picture(frame, PATIENCE)?, took))
    }

    fn learn(&self, label: &str, shots: &[NewShot]) -> Result<Taught, KeeperError> {
        let label = label.trim();
        let taught = self.change(|store| {
            let learned = store.learn(label, shots)?;
            let head = store.head();
            let asset = head.asset()?;
            let class = asset.classes().find(|class| class.label == label);
            Ok(Taught {
                label: label.to_owned(),
                shots: class.map_or(0, |class| class.shots),
                keys: learned.keys,
                new_class: learned.new_class,
                duplicates: learned.duplicates.len(),
                stale: learned.stale,
            })
        })?;
        self.store().keep_thumbnails(&taught.keys, shots);
        Ok(taught)
    }

    /// Takes out one shot; a class that has nothing else goes with it.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn forget_shot(&self, key: u64) -> Result<Forgotten, KeeperError> {
        self.change(|store| Ok(store.forget_key(key)?))
    }

    /// Takes out a class.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn forget_class(&self, label: &str) -> Result<Forgotten, KeeperError> {
        self.change(|store| Ok(store.forget_class(label)?))
    }

    /// Makes a shot one of another class, which may be new.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn move_shot(&self, key: u64, label: &str) -> Result<Moved, KeeperError> {
        self.change(|store| Ok(store.move_key(key, label)?))
    }

    /// Gives a class another name.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn rename_class(&self, label: &str, new: &str) -> Result<(), KeeperError> {
        self.change(|store| Ok(store.rename_class(label, new)?))
    }

    /// Takes back the last change; none where there is nothing left to take back.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn undo(&self) -> Result<Option<Undone>, KeeperError> {
        self.change(|store| Ok(store.undo()?))
    }

    /// How things are; never waits.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All classes, in their order.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn classes(&self) -> Result<Vec<ClassView>, KeeperError> {
        let head = self.store().head();
        let classes = head.asset()?.classes().map(|class| ClassView {
            label: class.label.to_owned(),
            shots: class.shots,
            has_text: class.has_text,
        });
        Ok(classes.collect())
    }

    /// The shots of a class, the newest first.
    ///
    /// # Errors
    /// There is no such class.
    pub fn shots(&self, label: &str) -> Result<Vec<ShotView>, KeeperError> {
        let store = self.store();
        let head = store.head();
        let asset = head.asset()?;
        let class = asset.classes().position(|class| class.label == label);
        let class = class.ok_or_else(|| unknown_class(label))?;
        let Some(cache) = asset.cache else { return Ok(Vec::new()) };
        let of_class = (0..cache.len).rev().filter(|&at| cache.class[at] as usize == class);
        let view = |at: usize| ShotView {
            key: cache.id[at],
            name: asset.key_names.and_then(|names| names.get(at)).unwrap_or_default().to_owned(),
            thumbnail: store.thumbnail(cache.id[at]).is_some(),
        };
        Ok(of_class.map(view).collect())
    }

    /// The small picture of a shot, a JPEG; none where it was not kept.
    #[must_use]
    pub fn thumbnail(&self, key: u64) -> Option<Vec<u8>> {
        self.store().thumbnail(key)
    }

    /// How the shots are answered by each other. It is computed once for each state of things.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn health(&self) -> Result<Arc<HealthView>, KeeperError> {
        // whoever asks meanwhile waits for the same figures
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, head) = {
            let store = self.store();
            (store.generation(), store.head())
        };
        if let Some((of, view)) = &*known
            && *of == generation
        {
            return Ok(Arc::clone(view));
        }
        let asset = head.asset()?;
        let project = self.project.as_deref().map(|project| project as &dyn fit::Projector);
        let review = fit::review(&asset, project, self.workers).map_err(StateError::Fit)?;
        let labels: Vec<&str> = asset.classes().map(|class| class.label).collect();
        let view = Arc::new(HealthView::new(&review, &labels, generation));
        *known = Some((generation, Arc::clone(&view)));
        Ok(view)
    }

    /// Changes the store and tells the loop, before anybody else can change it again.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, KeeperError>,
    ) -> Result<T, KeeperError> {
        let mut store = self.store();
        let before = store.generation();
        let result = change(&mut store);
        if store.generation() != before {
            self.desk.set_head(store.head());
        }
        // also when it failed: the disk may refuse what is learned from now on
        let now = summary(&store, &self.asset);
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = now?;
        result
    }

    fn view(&self, region: Option<&str>) -> Result<usize, KeeperError> {
        let Some(asked) = region else { return Ok(0) };
        let at = self.regions.iter().position(|name| name == asked);
        at.ok_or_else(|| KeeperError::Region {
            asked: asked.to_owned(),
            there: self.regions.clone(),
        })
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // the store changes itself last, when everything is written: it is whole after a panic too
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(store: &Store, asset: &str) -> Result<Summary, FileError> {
    let file = store.head();
    let head = file.asset()?;
    Ok(Summary {
        asset: asset.to_owned(),
        head: head.head.map_or("none", |params| params.kind.name()),
        generation: store.generation(),
        classes: head.labels.map_or(0, |labels| labels.count()),
        shots: head.cache.map_or(0, |cache| cache.len),
        durable: store.durable(),
        undoable: store.undoable(),
        notes: store.notes().to_vec(),
    })
}

fn shot(seen: &Seen, from: &str) -> NewShot {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    NewShot {
        feature: seen.feature.clone(),
        name: format!("{from}/{}", now.text()),
        thumbnail: picture::jpeg(&seen.frame, THUMBNAIL, THUMBNAIL_QUALITY),
    }
}

fn unknown_class(label: &str) -> KeeperError {
    StateError::Fit(FitError::UnknownClass(label.to_owned())).into()
}
