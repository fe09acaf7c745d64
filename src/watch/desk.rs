use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Labels, Options, Waker};
use crate::asset::AssetFile;
use crate::frame::Frame;
use crate::pipeline::Answer;

/// Why the loop did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// Too many requests wait already.
    #[error("too many requests at once: try again in a moment")]
    Busy,
    /// No answer in time: no frame came.
    #[error("no frame came within {} s: look whether the camera is connected", .0.as_secs_f32())]
    NoFrame(Duration),
    /// There is no region of that number.
    #[error("there is no such region: look at the names given with --crop")]
    NoRegion,
    /// The loop has ended.
    #[error("tipcam is stopping")]
    Stopped,
    /// The frame or picture could not be answered.
    #[error("{0}")]
    Answer(String),
}

/// A frame or picture that the loop has seen, with what is needed to learn it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The picture; the region where a region was asked for.
    pub frame: Frame,
    /// Its unit-norm feature, in the space of the cache.
    pub feature: Vec<f32>,
    /// Its answer.
    pub answer: Answer,
    /// Names of the classes that the answer speaks of.
    pub labels: Arc<Labels>,
}

pub(super) type Reply = SyncSender<Result<Seen, DeskError>>;

/// What the engine is asked to do between frames.
pub(super) enum Job {
    /// Answer this picture.
    Picture(Frame, Reply),
    /// Hand over the next frame, as the region of this number sees it.
    Next(usize, Reply),
}

#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    head: Option<AssetFile>,
    options: Option<Options>,
    stopped: bool,
}

/// Where other threads speak with the loop while it runs. Clones are the same desk.
#[derive(Clone)]
pub struct Desk {
    inbox: Arc<Mutex<Inbox>>,
    waker: Waker,
}

impl Desk {
    /// Requests that may wait at the same time.
    pub const MAX_WAITING: usize = 16;

    /// The desk of an engine that `waker` wakes.
    pub fn new(waker: Waker) -> Self {
        Self { inbox: Arc::default(), waker }
    }

    /// Shows the loop a picture, which is answered between two frames.
    ///
    /// # Errors
    /// [`DeskError`]; after `patience` [`DeskError::NoFrame`].
    pub fn picture(&self, frame: Frame, patience: Duration) -> Result<Seen, DeskError> {
        self.ask(|reply| Job::Picture(frame, reply), patience)
    }

    /// The next frame as region `region` sees it (0 where there are no regions); it is encoded even
    /// where nothing moves.
    ///
    /// # Errors
    /// [`DeskError`]; after `patience` [`DeskError::NoFrame`].
    pub fn next(&self, region: usize, patience: Duration) -> Result<Seen, DeskError> {
        self.ask(|reply| Job::Next(region, reply), patience)
    }

    /// Has the loop answer by another head from the next frame on.
    pub fn set_head(&self, file: AssetFile) {
        self.inbox().head = Some(file);
        self.waker.wake();
    }

    /// Has the loop answer by other rules from the next frame on.
    pub fn set_options(&self, options: Options) {
        self.inbox().options = Some(options);
        self.waker.wake();
    }

    fn ask(&self, job: impl FnOnce(Reply) -> Job, patience: Duration) -> Result<Seen, DeskError> {
        // room for the reply: the engine never waits for whoever asked
        let (reply, answer): (_, Receiver<_>) = mpsc::sync_channel(1);
        {
            let mut inbox = self.inbox();
            if inbox.stopped {
                return Err(DeskError::Stopped);
            }
            if inbox.jobs.len() >= Self::MAX_WAITING {
                return Err(DeskError::Busy);
            }
            inbox.jobs.push_back(job(reply));
        }
        self.waker.wake();
        answer.recv_timeout(patience).unwrap_or_else(|error| {
            Err(match error {
                mpsc::RecvTimeoutError::Timeout => DeskError::NoFrame(patience),
                mpsc::RecvTimeoutError::Disconnected => DeskError::Stopped,
            })
        })
    }

    pub(super) fn take_head(&self) -> Option<AssetFile> {
        self.inbox().head.take()
    }

    pub(super) fn take_options(&self) -> Option<Options> {
        self.inbox().options.take()
    }

    pub(super) fn take_job(&self) -> Option<Job> {
        self.inbox().jobs.pop_front()
    }

    /// Nothing is taken any more; whoever waits hears of it.
    pub(super) fn stop(&self) {
        let mut inbox = self.inbox();
        inbox.stopped = true;
        inbox.jobs.clear();
    }

    // every change is one step: whoever panicked left a whole inbox
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
