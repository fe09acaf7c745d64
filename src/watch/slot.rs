//! A place for one waiting item between two threads: the newest wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands items from one writer to one reader through three buffers that go round: one is being
/// filled, one waits, one is being read. Nothing is allocated after [`Slot::new`].
///
/// [`Slot::put`] never waits: an item that was still waiting is replaced, counted, and its buffer is
/// what the writer fills next.
pub struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Option<T>,
    /// The third buffer while nothing waits, or two of them before the reader's first call.
    spare: [Option<T>; 2],
    nudged: bool,
    closed: bool,
    counts: Counts,
}

/// What a reader is woken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest item.
    Item(T),
    /// Somebody called [`Slot::nudge`]; there is no item.
    Nudge,
    /// The slot is closed and nothing waits any more.
    End,
}

/// What went through a slot so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items put in.
    pub put: u64,
    /// Items that a newer one replaced, or that came after the slot was closed.
    pub dropped: u64,
}

impl<T> Slot<T> {
    /// A slot with its second and third buffer; the first is in the writer's hands.
    pub fn new(second: T, third: T) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: None,
                spare: [Some(second), Some(third)],
                nudged: false,
                closed: false,
                counts: Counts::default(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Leaves `item` for the reader and returns a buffer to fill next; never waits for the reader.
    pub fn put(&self, item: T) -> T {
        let mut state = self.lock();
        state.counts.put += 1;
        if state.closed {
            state.counts.dropped += 1;
            return item;
        }
        let next = match state.waiting.take() {
            Some(replaced) => {
                state.counts.dropped += 1;
                Some(replaced)
            }
            None => state.spare.iter_mut().find_map(Option::take),
        };
        match next {
            Some(next) => {
                state.waiting = Some(item);
                self.changed.notify_all();
                next
            }
            // only a reader that does not give its buffers back brings this about
            None => {
                state.counts.dropped += 1;
                item
            }
        }
    }

    /// The same, but waits until the reader has taken what was there: nothing is dropped before
    /// the slot is closed.
    pub fn put_when_free(&self, item: T) -> T {
        let state = self.lock();
        let full = |state: &mut State<T>| state.waiting.is_some() && !state.closed;
        drop(self.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner));
        self.put(item)
    }

    /// Waits for an item or a nudge, giving back the buffer of the item before (`None` the first
    /// time). An item goes before a nudge, and both before the end.
    pub fn take(&self, used: Option<T>) -> Taken<T> {
        let mut state = self.lock();
        if let Some(used) = used
            && let Some(free) = state.spare.iter_mut().find(|spare| spare.is_none())
        {
            *free = Some(used);
        }
        let idle = |state: &mut State<T>| state.waiting.is_none() && !state.nudged && !state.closed;
        let mut state =
            self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        // whoever takes an item looks for what the nudge was about, too
        let nudged = std::mem::take(&mut state.nudged);
        match state.waiting.take() {
            Some(item) => {
                self.changed.notify_all();
                Taken::Item(item)
            }
            None if nudged => Taken::Nudge,
            None => Taken::End,
        }
    }

    /// Wakes the reader although there is no item: something else waits for it.
    pub fn nudge(&self) {
        self.lock().nudged = true;
        self.changed.notify_all();
    }

    /// No item after this one: the reader gets what waits and then the end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether [`Slot::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    // a thread that panicked left whole values behind: every change above is one assignment
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_item_wins_and_the_others_are_counted() {
        let slot = Slot::new(0, 0);
        for n in 1..=5 {
            slot.put(n);
        }
        assert_eq!(slot.take(None), Taken::Item(5));
        assert_eq!(slot.counts(), Counts { put: 5, dropped: 4 });
    }

    #[test]
    fn what_waits_at_the_end_is_still_taken() {
        let slot = Slot::new(0, 0);
        slot.put(1);
        slot.close();
        slot.put(2);
        assert_eq!(slot.take(None), Taken::Item(1));
        assert_eq!(slot.take(Some(1)), Taken::End);
        assert_eq!(slot.counts(), Counts { put: 2, dropped: 1 });
    }

    #[test]
    fn a_waiting_reader_learns_of_the_end() {
        let slot = Slot::<u8>::new(0, 0);
        thread::scope(|scope| {
            let reader = scope.spawn(|| slot.take(None));
            thread::sleep(Duration::from_millis(20));
            slot.close();
            assert_eq!(reader.join().unwrap(), Taken::End);
        });
    }

    #[test]
    fn a_nudge_wakes_the_reader_once_and_an_item_goes_before_it() {
        let slot = Slot::new(0, 0);
        thread::scope(|scope| {
            let reader = scope.spawn(|| slot.take(None));
            thread::sleep(Duration::from_millis(20));
            slot.nudge();
            assert_eq!(reader.join().unwrap(), Taken::Nudge);
        });
        slot.nudge();
        slot.put(7);
        assert_eq!(slot.take(None), Taken::Item(7));
        slot.nudge();
        slot.close();
        assert_eq!(slot.take(None), Taken::Nudge);
        assert_eq!(slot.take(None), Taken::End);
    }

    #[test]
    fn every_item_is_taken_or_counted_and_three_buffers_do_for_all() {
        let (count, slot) = (20_000, Slot::new(Box::new(0), Box::new(0)));
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut buffers = HashSet::new();
                let mut buffer = Box::new(0);
                for n in 1..=count {
                    buffers.insert(&raw const *buffer as usize);
                    *buffer = n;
                    buffer = slot.put(buffer);
                    if n % 64 == 0 {
                        thread::yield_now();
                    }
                }
                slot.close();
                buffers
            });
            let (mut taken, mut before, mut used) = (0, 0, None);
            while let Taken::Item(item) = slot.take(used.take()) {
                assert!(*item > before, "{item} after {before}");
                before = *item;
                taken += 1;
                used = Some(item);
            }
            assert_eq!(before, count, "the last item arrives");
            assert_eq!(slot.counts(), Counts { put: count, dropped: count - taken });
            assert!(writer.join().unwrap().len() <= 3);
        });
    }

    #[test]
    fn a_patient_writer_loses_nothing() {
        let slot = Slot::new(0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=2_000 {
                    slot.put_when_free(n);
                }
                slot.close();
            });
            let mut expected = 0;
            while let Taken::Item(n) = slot.take(Some(0)) {
                expected += 1;
                assert_eq!(n, expected);
            }
            assert_eq!(expected, 2_000);
        });
        assert_eq!(slot.counts().dropped, 0);
    }

    #[test]
    fn a_reader_that_never_comes_does_not_hold_up_a_patient_writer_after_the_end() {
        let slot = Slot::new(0, 0);
        slot.put(1);
        thread::scope(|scope| {
            let writer = scope.spawn(|| slot.put_when_free(2));
            thread::sleep(Duration::from_millis(20));
            slot.close();
            assert_eq!(writer.join().unwrap(), 2);
        });
        assert_eq!(slot.counts(), Counts { put: 2, dropped: 1 });
    }
}
