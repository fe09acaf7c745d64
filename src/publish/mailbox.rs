use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Items on their way from the answering thread to a sink's own: one for each region, of which the
/// newest wins.
pub(super) struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// Regions and their items, the one that waits longest first.
    waiting: VecDeque<(usize, T)>,
    closed: bool,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Leaves the newest item of a region, which `make` makes knowing the one that it replaces.
    pub(super) fn put(&self, region: usize, make: impl FnOnce(Option<&T>) -> T) {
        let mut state = self.lock();
        match state.waiting.iter_mut().find(|(of, _)| *of == region) {
            Some((_, waiting)) => *waiting = make(Some(waiting)),
            None => state.waiting.push_back((region, make(None))),
        }
        self.changed.notify_all();
    }

    /// What waits longest, if anything does.
    pub(super) fn take(&self) -> Option<(usize, T)> {
        self.lock().waiting.pop_front()
    }

    /// The same, but waits for it; none when the mailbox is closed and empty.
    pub(super) fn wait(&self) -> Option<(usize, T)> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let state = self.changed.wait_while(self.lock(), idle);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // every change is one step: whoever panicked left whole values
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_item_of_a_region_wins_and_keeps_its_place() {
        let mailbox = Mailbox::new();
        let put = |region, item: &'static str, replaced: Option<&str>| {
            mailbox.put(region, |waiting| {
                assert_eq!(waiting.copied(), replaced);
                item
            });
        };
        put(1, "old", None);
        put(0, "other", None);
        put(1, "new", Some("old"));
        assert_eq!(mailbox.take(), Some((1, "new")));
        mailbox.close();
        assert_eq!(mailbox.wait(), Some((0, "other")), "what waits is still handed out");
        assert_eq!((mailbox.wait(), mailbox.take()), (None, None));
    }
}
