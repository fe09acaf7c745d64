use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the loop is doing, to be read from any thread at any time.
#[derive(Debug, Default)]
pub struct Health {
    captured: AtomicU64,
    answered: AtomicU64,
    still: AtomicU64,
    /// Milliseconds from the start of the watch to the last answer, plus one; 0 before it.
    last_answer: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Health {
    /// A frame came in: the input works.
    pub fn frame_came(&self) {
        self.captured.fetch_add(1, Ordering::Relaxed);
        *self.trouble() = None;
    }

    /// The input gives no frames, and why.
    pub fn input_failed(&self, why: &str) {
        *self.trouble() = Some(why.to_owned());
    }

    /// A frame that came at `since_start` was answered, without encoding it if it was `still`.
    pub fn frame_answered(&self, since_start: Duration, still: bool) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.still.fetch_add(u64::from(still), Ordering::Relaxed);
        let ms = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX - 1);
        self.last_answer.store(ms + 1, Ordering::Relaxed);
    }

    /// Frames that came in.
    pub fn captured(&self) -> u64 {
        self.captured.load(Ordering::Relaxed)
    }

    /// Frames that were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Answered frames that were not encoded because nothing had moved.
    pub fn still(&self) -> u64 {
        self.still.load(Ordering::Relaxed)
    }

    /// Time from the start of the watch to the last answered frame; none before it.
    pub fn last_answer(&self) -> Option<Duration> {
        self.last_answer.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// Why no frames come; none while they do.
    pub fn input_trouble(&self) -> Option<String> {
        self.trouble().clone()
    }

    // the text is replaced in one assignment: whoever panicked left a whole one
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_the_trouble_of_the_input() {
        let health = Health::default();
        assert_eq!((health.input_trouble(), health.last_answer()), (None, None));
        health.input_failed("unplugged");
        assert_eq!(health.input_trouble().as_deref(), Some("unplugged"));
        health.frame_came();
        health.frame_answered(Duration::ZERO, true);
        assert_eq!(health.input_trouble(), None);
        assert_eq!((health.captured(), health.answered(), health.still()), (1, 1, 1));
        assert_eq!(health.last_answer(), Some(Duration::ZERO));
    }
}
