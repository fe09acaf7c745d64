use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::frame::Frame;
use crate::lines::Lines;
use crate::report::LINE_LEN;
use crate::watch::{Event, Health, Sink};

/// Least time between two lines, and between two pictures, that are shown.
pub(super) const PERIOD: Duration = Duration::from_millis(100);
/// Changes that are kept for those who come later.
const KEPT_CHANGES: usize = 50;

/// What the page sees of the loop: the newest lines, the last changes, and the picture while
/// somebody looks. The loop writes it through a [`Lens`].
pub struct Live {
    start: Instant,
    board: Mutex<Board>,
    /// Woken when the board has something new.
    pub(super) written: Notify,
    /// Milliseconds from `start` to the last answered frame, plus one; 0 before it.
    last_frame: AtomicU64,
    picture: Mutex<Frame>,
    /// Woken when there is a new picture.
    pub(super) pictured: Notify,
    pub(super) viewers: AtomicUsize,
}

/// What there is to be read.
#[derive(Default)]
struct Board {
    /// The lines of the newest frame, one for each region.
    lines: String,
    /// Counts the frames that were written.
    number: u64,
    /// Lines that changed the stable answer, with their numbers, from 1.
    changes: VecDeque<(u64, Arc<str>)>,
    last_change: u64,
}

/// Somebody's place in what is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Read {
    number: u64,
    change: u64,
}

impl Live {
    /// What nobody has written to, and the loop's side of it.
    #[must_use]
    pub fn new(health: Arc<Health>) -> (Arc<Self>, Lens) {
        let live = Arc::new(Self {
            start: Instant::now(),
            // room for lines of every length: a longer one than before shall not take memory
            board: Mutex::new(Board { lines: String::with_capacity(LINE_LEN), ..Board::default() }),
            written: Notify::new(),
            last_frame: AtomicU64::new(0),
            picture: Mutex::default(),
            pictured: Notify::new(),
            viewers: AtomicUsize::new(0),
        });
        let lens = Lens {
            live: Arc::clone(&live),
            health,
            writer: Lines::new(),
            lines: String::with_capacity(LINE_LEN),
            changes: VecDeque::new(),
            line_at: None,
            picture_at: None,
        };
        (live, lens)
    }

    /// The newest lines.
    pub(super) fn lines(&self) -> String {
        self.board().lines.clone()
    }

    /// Changes and lines that `read` has not seen, as (is it a change, line).
    pub(super) fn news(&self, read: &mut Read) -> Vec<(bool, Arc<str>)> {
        let board = self.board();
        let changes = board.changes.iter().filter(|(number, _)| *number > read.change);
        let mut news: Vec<_> = changes.map(|(_, line)| (true, Arc::clone(line))).collect();
        read.change = board.last_change;
        if board.number > read.number {
            read.number = board.number;
            news.extend(board.lines.lines().map(|line| (false, Arc::from(line))));
        }
        news
    }

    /// Time since the last answered frame; none before it.
    pub(super) fn since_last(&self) -> Option<Duration> {
        let last = self.last_frame.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// Takes the picture that waits; what `frame` held is written over by the next one.
    pub(super) fn take_picture(&self, frame: &mut Frame) {
        std::mem::swap(&mut *self.picture.lock().unwrap_or_else(PoisonError::into_inner), frame);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // whoever panicked here left at worst a half-written line list, which the next frame replaces
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side of [`Live`].
pub struct Lens {
    live: Arc<Live>,
    health: Arc<Health>,
    writer: Lines,
    lines: String,
    /// Changes that are not on the board yet.
    changes: VecDeque<Arc<str>>,
    line_at: Option<Instant>,
    picture_at: Option<Instant>,
}

impl Sink for Lens {
    fn frame(&mut self, frame: &Frame, event: &Event) {
        let now = Instant::now();
        let ms = u64::try_from((now - self.live.start).as_millis()).unwrap_or(u64::MAX - 1);
        self.live.last_frame.store(ms + 1, Ordering::Relaxed);
        let changed = event.views.iter().any(|view| view.changed_from.is_some());
        if changed || !self.changes.is_empty() || is_due(self.line_at, now) {
            self.line_at = Some(now);
            self.write(event);
            self.publish();
        }
        if self.live.viewers.load(Ordering::Relaxed) > 0 && is_due(self.picture_at, now) {
            self.picture_at = Some(now);
            self.show(frame);
        }
    }
}

fn is_due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now - last >= PERIOD)
}

impl Lens {
    fn write(&mut self, event: &Event) {
        // this frame's own answer is counted already
        let dropped = (event.number + 1).saturating_sub(self.health.answered());
        self.lines.clear();
        for view in &event.views {
            // a line that does not fit is told by the loop's own report
            let Ok(line) = self.writer.frame(event, view, dropped) else { continue };
            // writing into a String cannot fail
            let _ = self.lines.write_str(line);
            if view.changed_from.is_some() {
                if self.changes.len() == KEPT_CHANGES {
                    self.changes.pop_front();
                }
                self.changes.push_back(Arc::from(line.trim_end()));
            }
        }
    }

    /// Hands over what is written, unless a reader is at the board just now: then the next frame
    /// does.
    fn publish(&mut self) {
        let mut board = match self.live.board.try_lock() {
            Ok(board) => board,
            Err(TryLockError::Poisoned(board)) => board.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        std::mem::swap(&mut board.lines, &mut self.lines);
        board.number += 1;
        while let Some(change) = self.changes.pop_front() {
            if board.changes.len() == KEPT_CHANGES {
                board.changes.pop_front();
            }
            board.last_change += 1;
            let number = board.last_change;
            board.changes.push_back((number, change));
        }
        drop(board);
        self.live.written.notify_waiters();
    }

    fn show(&mut self, frame: &Frame) {
        let Ok(mut picture) = self.live.picture.try_lock() else { return };
        picture.resize(frame.width(), frame.height());
        picture.pixels_mut().copy_from_slice(frame.pixels());
        drop(picture);
        self.live.pictured.notify_one();
    }
}
