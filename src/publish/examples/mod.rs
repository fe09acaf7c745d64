//! Hard examples: pictures worth looking at, kept in a folder of bounded size. Whoever corrects them
//! and learns them makes the camera better.

mod folder;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::folder::Folder;
use super::change::{News, Tracker, plain};
use super::tell::Trouble;
use super::thread::Worker;
use super::{Lost, PublishError, Tell, UNKNOWN, WHOLE};
use crate::frame::Frame;
use crate::lines::{Lines, known};
use crate::watch::{Event, Sink, View};

/// How long writing the last picture may take when the watch stops.
const STOP: Duration = Duration::from_millis(700);

/// After a failure nothing is written for so long.
const PAUSE: Duration = Duration::from_secs(60);

/// Which pictures are kept, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExamplesSettings {
    /// The folder. It is made if it is not there.
    pub directory: PathBuf,
    /// Megabytes (millions of bytes) that the pictures may take: the oldest make room.
    pub max_megabytes: u32,
    /// Seconds between two pictures at least.
    pub interval: f32,
    /// Pictures in a minute at most.
    pub per_minute: u32,
    /// An answer is hard if the next best one is nearer than this.
    pub margin: f32,
}

impl Default for ExamplesSettings {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("examples"),
            max_megabytes: 250,
            interval: 2.0,
            per_minute: 10,
            margin: 0.2,
        }
    }
}

/// Why a picture is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Change,
    Unknown,
    Margin,
}

/// The one buffer that goes between the two threads.
#[derive(Default)]
struct Example {
    frame: Frame,
    /// The files' name without ending.
    name: String,
    /// The frame's JSON line.
    line: String,
}

/// Keeps hard examples, written by a thread of its own.
pub struct Examples {
    margin: f32,
    rate: Rate,
    tracker: Tracker,
    lines: Lines,
    empty: Receiver<Example>,
    full: Option<SyncSender<Example>>,
    lost: Lost,
    worker: Worker,
}

impl Examples {
    /// Looks through the folder, and makes it if it is not there; `tell` hears of failures.
    ///
    /// # Errors
    /// A setting that cannot work, a folder that cannot be made or read, or no thread.
    pub fn new(settings: ExamplesSettings, tell: Tell) -> Result<Self, PublishError> {
        let refuse = |name: &str, reason, remedy| {
            Err(PublishError::setting(format!("examples {name}"), reason, remedy))
        };
        if settings.max_megabytes == 0 {
            return refuse("max_megabytes", "0 leaves no room", "write 1 or more");
        }
        if !(0.0..=86_400.0).contains(&settings.interval) {
            return refuse("interval", "is no time", "write 0 to 86400 seconds");
        }
        if settings.per_minute == 0 {
            return refuse("per_minute", "0 keeps nothing", "write 1 or more");
        }
        if !(0.0..=1.0).contains(&settings.margin) {
            return refuse("margin", "is no difference of probabilities", "write 0 to 1");
        }
        let rate = Rate::new(&settings);
        let max_bytes = u64::from(settings.max_megabytes) * 1_000_000;
        let mut folder = Folder::open(settings.directory, max_bytes)?;
        let (full, examples) = mpsc::sync_channel::<Example>(1);
        let (back, empty) = mpsc::sync_channel(1);
        // there is room for one
        let _ = back.try_send(Example::default());
        let lost = Lost::new("examples");
        let unwritten = lost.clone();
        let work = move || {
            let mut trouble = Trouble::new(tell);
            let mut paused: Option<Instant> = None;
            for example in examples {
                if paused.is_some_and(|since| since.elapsed() < PAUSE) {
                    unwritten.add();
                } else if let Err(error) = folder.write(&example) {
                    unwritten.add();
                    paused = Some(Instant::now());
                    trouble.told(Instant::now(), &error.to_string());
                } else {
                    paused = None;
                    trouble.over("examples: pictures are kept again");
                }
                // the other side is gone only at the end
                let _ = back.try_send(example);
            }
        };
        let worker = Worker::start("examples", work)?;
        Ok(Self {
            margin: settings.margin,
            rate,
            tracker: Tracker::default(),
            lines: Lines::new(),
            empty,
            full: Some(full),
            lost,
            worker,
        })
    }

    /// Counts the pictures that should have been kept and were not.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

impl Sink for Examples {
    fn frame(&mut self, frame: &Frame, event: &Event) {
        let margin = self.margin;
        let mut hard: Option<(usize, Reason)> = None;
        self.tracker.follow(event, |region, view, _, news| {
            let reason = match news {
                News::Changed => Some(Reason::Change),
                _ => reason(view, margin),
            };
            // one picture a frame: for a change, or else for the first region that is hard
            if let Some(reason) = reason
                && (hard.is_none() || reason == Reason::Change)
            {
                hard = Some((region, reason));
            }
        });
        let Some((region, reason)) = hard else { return };
        if !self.rate.allows(event.since_start) {
            return;
        }
        let Ok(mut example) = self.empty.try_recv() else {
            self.lost.add();
            return;
        };
        let view = &event.views[region];
        let dropped = self.tracker.dropped(event);
        example.line.clear();
        // a source's name of 32 KiB leaves no room for a line: the picture counts
        example.line.push_str(self.lines.frame(event, view, dropped).unwrap_or_default());
        example.name = name(event, view, reason);
        example.frame.resize(frame.width(), frame.height());
        example.frame.pixels_mut().copy_from_slice(frame.pixels());
        // the thread has given the only example back, so there is room
        if let Some(full) = &self.full
            && full.try_send(example).is_err()
        {
            self.lost.add();
        }
    }
}

impl Drop for Examples {
    fn drop(&mut self) {
        self.full = None;
        self.worker.wait(STOP);
    }
}

/// Why the answer for a region is hard, if it is. Nothing moved: it was judged before.
fn reason(view: &View, margin: f32) -> Option<Reason> {
    let answer = &view.answer;
    if view.still || answer.decision.class.is_none() {
        return None;
    }
    if answer.decision.unknown {
        return Some(Reason::Unknown);
    }
    (answer.decision.margin < margin).then_some(Reason::Margin)
}

/// Time, frame, region, reason and label: sorted by name they are sorted by time.
fn name(event: &Event, view: &View, reason: Reason) -> String {
    let time = crate::report::Timestamp::from_unix_ms(event.unix_ms).text();
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let region: String = plain(view.region.as_deref().unwrap_or(WHOLE)).chars().take(40).collect();
    let (reason, label) = match reason {
        Reason::Change => {
            ("change", event.labels.get(view.stable.class).map_or(UNKNOWN, |label| label))
        }
        Reason::Unknown => ("unknown", UNKNOWN),
        Reason::Margin => ("margin", known(&event.labels, &view.answer).unwrap_or(UNKNOWN)),
    };
    format!("{time}_{:08}_{region}_{reason}_{}", event.number, plain(label))
}

/// Not too many: some time between two, and a number of them each minute.
struct Rate {
    interval: Duration,
    per_minute: u32,
    last: Option<Duration>,
    /// When the minute began in which `count` were allowed.
    minute: Duration,
    count: u32,
}

impl Rate {
    fn new(settings: &ExamplesSettings) -> Self {
        Self {
            interval: Duration::from_secs_f32(settings.interval),
            per_minute: settings.per_minute,
            last: None,
            minute: Duration::ZERO,
            count: 0,
        }
    }

    fn allows(&mut self, now: Duration) -> bool {
        if self.last.is_some_and(|last| now.saturating_sub(last) < self.interval) {
            return false;
        }
        if now.saturating_sub(self.minute) >= Duration::from_secs(60) {
            (self.minute, self.count) = (now, 0);
        }
        if self.count == self.per_minute {
            return false;
        }
        self.count += 1;
        self.last = Some(now);
        true
    }
}
