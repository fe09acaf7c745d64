//! The pool where there is an operating system.

use std::boxed::Box;
use std::cell::UnsafeCell;
use std::format;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::Worker;

/// How long a thread without work looks out for more before it sleeps.
const LOOK_OUT: Duration = Duration::from_micros(200);
/// Looks between two glances at the clock.
const LOOKS: usize = 64;

/// The job is open: threads may still join it.
const OPEN: u64 = 1 << 16;
/// Threads that have joined, in the bits below [`OPEN`].
const JOINED: u64 = OPEN - 1;
/// One more job.
const JOB: u64 = 1 << 32;

type Task<'a> = &'a (dyn Fn(usize, &mut Worker) + Sync);

/// A thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread: {0}")]
pub struct PoolError(#[from] std::io::Error);

/// Threads that share work: the calling one and `threads - 1` of the pool's own.
pub struct Pool {
    shared: Arc<State>,
    workers: Vec<JoinHandle<()>>,
    /// One caller at a time.
    caller: Mutex<()>,
}

struct State {
    /// The number of the job in the upper half, [`OPEN`], and the threads that have joined it.
    state: AtomicU64,
    job: UnsafeCell<Job>,
    /// The next task of each thread's share of the job. A thread begins with its own share, which is the same
    /// part of every layer: what it wrote last is in its own cache. Then it helps the others.
    next: Box<[Next]>,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleeping: Box<[AtomicBool]>,
    /// One for each thread, the caller's last.
    scratch: Box<[Mutex<Vec<u8>>]>,
}

/// On a cache line of its own.
#[repr(align(64))]
struct Next(AtomicUsize);

#[derive(Clone, Copy)]
struct Job {
    task: Task<'static>,
    tasks: usize,
}

// SAFETY: `job` is written by the one caller while no job is open and no thread has joined, and read
// by threads that have joined an open one; `state` orders the two.
unsafe impl Sync for State {}

impl Pool {
    /// Starts the threads; each gets `scratch` bytes of memory of its own.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn new(threads: usize, scratch: usize) -> Result<Self, PoolError> {
        let workers = threads.max(1) - 1;
        let shared = Arc::new(State {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(Job { task: &|_, _| (), tasks: 0 }),
            next: (0..=workers).map(|_| Next(AtomicUsize::new(0))).collect(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleeping: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            scratch: (0..=workers).map(|_| Mutex::new(std::vec![0; scratch])).collect(),
        });
        let mut pool =
            Self { shared, workers: Vec::with_capacity(workers), caller: Mutex::new(()) };
        for index in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("encoder-{index}"));
            pool.workers.push(thread.spawn(move || shared.work(index))?);
        }
        Ok(pool)
    }

    /// Threads that share the work, the calling one included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f` with each number below `tasks` and the scratch of the thread that runs it. Returns
    /// when all are done.
    ///
    /// # Panics
    /// If a task panics.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize, &mut Worker) + Sync)) {
        let shared = &*self.shared;
        let own = self.workers.len();
        if own == 0 || tasks < 2 {
            return shared.as_worker(own, |worker| (0..tasks).for_each(|task| f(task, worker)));
        }
        let _caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes: nobody joins the job after it is closed, and `Closing`
        // returns only when all who joined it have left.
        let task: Task<'static> = unsafe { core::mem::transmute::<Task<'_>, Task<'static>>(f) };
        // SAFETY: no job is open and nobody is in the last one, see `Closing`.
        unsafe { *shared.job.get() = Job { task, tasks } };
        for (thread, next) in shared.next.iter().enumerate() {
            next.0.store(shared.share(thread, tasks).start, Ordering::Relaxed);
        }
        let number = shared.state.load(Ordering::Relaxed) & !(JOB - 1);
        // Before the look at who sleeps, as a thread looks at the job after it says that it sleeps.
        shared.state.store(number.wrapping_add(JOB) | OPEN, Ordering::SeqCst);
        for (worker, sleeping) in self.workers.iter().zip(&shared.sleeping) {
            if sleeping.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        let closing = Closing(shared);
        shared.as_worker(own, |worker| shared.take(Job { task, tasks }, worker));
        drop(closing);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a task of the encoder's threads panicked");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A thread's panic was told to the caller of `run`.
            let _ = worker.join();
        }
    }
}

/// Closes the job and waits for those who joined it, also while the caller unwinds.
struct Closing<'a>(&'a State);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.0.state.load(Ordering::Acquire) & JOINED != 0 {
            looks += 1;
            // The thread that it waits for may want this processor.
            if looks % 4096 == 0 { thread::yield_now() } else { core::hint::spin_loop() }
        }
    }
}

impl State {
    fn as_worker(&self, index: usize, f: impl FnOnce(&mut Worker)) {
        // A panic while it was lent leaves nothing in it that anybody reads.
        let mut scratch = self.scratch[index].lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut Worker { index, scratch: &mut scratch });
    }

    /// A thread's tasks of so many.
    fn share(&self, thread: usize, tasks: usize) -> Range<usize> {
        let threads = self.next.len();
        thread * tasks / threads..(thread + 1) * tasks / threads
    }

    /// Runs tasks until none is left.
    fn take(&self, job: Job, worker: &mut Worker) {
        let threads = self.next.len();
        for thread in (worker.index..threads).chain(0..worker.index) {
            let end = self.share(thread, job.tasks).end;
            loop {
                let task = self.next[thread].0.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                (job.task)(task, worker);
            }
        }
    }

    /// The life of thread `index`.
    fn work(&self, index: usize) {
        let mut last = 0;
        while let Some(job) = self.join(index, &mut last) {
            let result = catch_unwind(AssertUnwindSafe(|| {
                self.as_worker(index, |worker| self.take(job, worker));
            }));
            if result.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job after `last` and joins it; nothing if the pool ends.
    fn join(&self, index: usize, last: &mut u64) -> Option<Job> {
        let mut idle = Instant::now();
        let mut looks = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state & OPEN != 0 && state >> 32 != *last {
                let joined = state + 1;
                let (order, ignore) = (Ordering::AcqRel, Ordering::Relaxed);
                if self.state.compare_exchange(state, joined, order, ignore).is_ok() {
                    *last = state >> 32;
                    // SAFETY: the job is open and this thread has joined it.
                    return Some(unsafe { *self.job.get() });
                }
                continue;
            }
            looks += 1;
            if looks % LOOKS != 0 || idle.elapsed() < LOOK_OUT {
                core::hint::spin_loop();
                continue;
            }
            self.sleeping[index].store(true, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            let nothing = state & OPEN == 0 || state >> 32 == *last;
            if nothing && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.sleeping[index].store(false, Ordering::Relaxed);
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            idle = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_run_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads, 8).unwrap();
            for tasks in (0..40).chain([1000]) {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, worker| {
                    assert!(worker.scratch.len() == 8 && worker.index < threads);
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_pool_wakes_up_after_a_rest() {
        let pool = Pool::new(3, 0).unwrap();
        for _ in 0..5 {
            thread::sleep(LOOK_OUT * 5);
            let mut out = [0u32; 100];
            pool.split(&mut out, 7, |first, part, _| {
                part.iter_mut().enumerate().for_each(|(i, x)| *x = (first * 7 + i) as u32);
            });
            assert!(out.iter().enumerate().all(|(i, x)| *x == i as u32));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2, 0).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, &|task, _| assert!(task != 31, "meant"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, &|task, _| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
