//! Threads for the inner loops, and the scratch memory of each.
//!
//! A frame is hundreds of small products, one after the other: a thread that finished its part of
//! one looks out for the next for a moment before it sleeps. Between frames all of them sleep, so
//! that an idle camera costs nothing. Nothing is allocated while work is handed out.

#[cfg(feature = "std")]
mod threads;

#[cfg(feature = "std")]
pub use threads::{Pool, PoolError};

/// What a thread has while it runs a task.
pub struct Worker<'a> {
    /// Its number, below [`Pool::threads`].
    pub index: usize,
    /// Memory of its own.
    pub scratch: &'a mut [u8],
}

/// The calling thread alone: what a build without an operating system has.
#[cfg(not(feature = "std"))]
pub struct Pool;

#[cfg(not(feature = "std"))]
impl Pool {
    /// Runs task 0 to `tasks` one after the other.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize, &mut Worker) + Sync)) {
        let mut worker = Worker { index: 0, scratch: &mut [] };
        (0..tasks).for_each(|task| f(task, &mut worker));
    }

    /// One.
    pub fn threads(&self) -> usize {
        1
    }
}

/// Tasks per thread: enough that one slow core does not hold up the others.
const TASKS_PER_THREAD: usize = 2;

impl Pool {
    /// Into how many parts work of `units` whole units is best cut.
    pub(super) fn parts(&self, units: usize) -> usize {
        match self.threads() {
            1 => 1,
            threads => units.clamp(1, threads * TASKS_PER_THREAD),
        }
    }

    /// Cuts `out` into runs of whole groups, `group` values each (the last may be shorter), and calls
    /// `f` with the number of a run's first group, the run, and the thread that it is on.
    pub fn split<T: Send>(
        &self,
        out: &mut [T],
        group: usize,
        f: impl Fn(usize, &mut [T], &mut Worker) + Sync,
    ) {
        let groups = out.len().div_ceil(group);
        let run = groups.div_ceil(self.parts(groups)).max(1);
        let (len, out) = (out.len(), Shared(out.as_mut_ptr()));
        self.run(groups.div_ceil(run), &|task, worker| {
            let start = (task * run * group).min(len);
            let end = ((task + 1) * run * group).min(len);
            // SAFETY: the runs of different tasks are different parts of `out`, which is borrowed
            // until `run` returns; every task is run once.
            let part = unsafe { core::slice::from_raw_parts_mut(out.at(start), end - start) };
            f(task * run, part, worker);
        });
    }
}

/// A pointer that several threads write through, each to places of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub(super) *mut T);

// SAFETY: whoever writes through it says why the places are different.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The place `offset` values on.
    #[inline(always)]
    pub(super) fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}
