//! Capture, answer and report on three threads that never wait for a slower one.
//!
//! Between capture and answer, and between answer and report, there is a [`Slot`] in which the
//! newest item wins. So a slow encoder costs frames, a slow reader of the output costs lines, and
//! both are counted: every captured frame is reported or dropped. Time is taken here; what is
//! called from here is told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::slot::{Slot, Taken};

/// After this many failures in a row the input is taken for broken.
pub const MAX_FAILURES: u32 = 16;

/// How long a reader of the output that has stopped reading may hold up a stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A frame and when it came.
#[derive(Clone, Debug, Default)]
pub struct Captured<F> {
    /// The picture.
    pub frame: F,
    /// Its number, from 0; dropped frames have numbers too.
    pub number: u64,
    /// Time from the start of the watch to the frame's arrival, by a clock that never jumps.
    pub since_start: Duration,
    /// Milliseconds since 1970-01-01T00:00:00Z at its arrival.
    pub unix_ms: u64,
    /// The moment of its arrival; none before it.
    pub at: Option<Instant>,
}

/// What to do with a frame while the one before is still waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Replace it: right for a camera.
    NewestWins,
    /// Let the input wait: right for a recording of which every frame counts.
    EveryFrame,
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The input had no more frames, or [`Stopper::stop`] was called.
    Finished,
    /// Nobody reads the output any more.
    ReaderGone,
}

/// What became of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Frames that came in.
    pub captured: u64,
    /// Frames whose answer was reported.
    pub reported: u64,
    /// Frames that gave way to newer ones, on their way to the encoder or to the reader.
    pub dropped: u64,
    /// Frames that could not be read.
    pub unreadable: u64,
    /// Why the watch ended.
    pub end: End,
}

/// Why a watch failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError<C, A> {
    /// The input failed [`MAX_FAILURES`] times in a row; the last failure.
    #[error("the input gives no more frames")]
    Input(#[source] C),
    /// A frame could not be answered.
    #[error("a frame could not be answered")]
    Answer(#[source] A),
    /// The output could not be written.
    #[error("writing the output")]
    Output(#[source] io::Error),
    /// The system gave no thread.
    #[error("starting a thread")]
    Thread(#[source] io::Error),
}

/// Ends a watch from another thread.
pub struct Stopper<F> {
    frames: Arc<Slot<Captured<F>>>,
    asked: Arc<AtomicBool>,
}

impl<F> Stopper<F> {
    /// Ends the watch: frames that were captured before are still answered.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.frames.close();
    }
}

/// Wakes the answering thread although no frame came, because something else waits for it.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// Wakes it; never waits.
    pub fn wake(&self) {
        (self.0)();
    }
}

/// A watch that was not started yet.
///
/// `F` is a picture's buffer and `T` an answer's; three of each go round and nothing else is
/// allocated per frame.
pub struct Relay<F, T> {
    frames: Arc<Slot<Captured<F>>>,
    answers: Arc<Slot<T>>,
    asked: Arc<AtomicBool>,
    policy: Policy,
    live: bool,
}

/// What the capture thread leaves behind.
struct CaptureEnd<C> {
    unreadable: u64,
    failure: Option<C>,
}

impl<F, T> Relay<F, T>
where
    F: Default + Send + 'static,
    T: Default + Send + 'static,
{
    /// A watch with empty buffers.
    pub fn new(policy: Policy) -> Self {
        Self {
            frames: Arc::new(Slot::new(Captured::default(), Captured::default())),
            answers: Arc::new(Slot::new(T::default(), T::default())),
            asked: Arc::new(AtomicBool::new(false)),
            policy,
            live: false,
        }
    }

    /// The same for a camera, which is never given up however often it fails.
    #[must_use]
    pub fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// What wakes the answering thread between frames.
    pub fn waker(&self) -> Waker {
        let frames = Arc::clone(&self.frames);
        Waker(Arc::new(move || frames.nudge()))
    }

    /// What ends this watch.
    pub fn stopper(&self) -> Stopper<F> {
        Stopper { frames: Arc::clone(&self.frames), asked: Arc::clone(&self.asked) }
    }

    /// Runs until the input ends, [`Stopper::stop`] is called or nobody reads the output any more.
    ///
    /// `capture` fills a frame and says whether there was one; after an error it is called again.
    /// It and `complain`, which hears of its errors, run on a thread that is left alone when it still
    /// waits for a frame at the end. `answer` runs on the caller's thread; without a frame it is called
    /// because of [`Waker::wake`], and nothing is reported. `report` gets each answer with the count
    /// of frames dropped so far, on a thread of its own.
    pub fn run<C, A>(
        self,
        mut capture: impl FnMut(&mut F) -> Result<bool, C> + Send + 'static,
        mut complain: impl FnMut(&C) + Send + 'static,
        mut answer: impl FnMut(Option<&Captured<F>>, &mut T) -> Result<(), A>,
        mut report: impl FnMut(&T, u64) -> io::Result<()> + Send + 'static,
    ) -> Result<Account, RelayError<C, A>>
    where
        C: Send + 'static,
    {
        let Self { frames, answers, asked, policy, live } = self;

        let (capture_done, capture_end) = mpsc::channel();
        let slot = Arc::clone(&frames);
        let capturing = move || {
            let end = capture_all(&slot, policy, live, &mut capture, &mut complain);
            // received or not: sending after the watch has ended is no error
            let _ = capture_done.send(end);
            slot.close();
        };
        spawn("capture", capturing).map_err(RelayError::Thread)?;

        let (report_done, report_end) = mpsc::channel();
        let reported = Arc::new(AtomicU64::new(0));
        let (from, input, count) =
            (Arc::clone(&answers), Arc::clone(&frames), Arc::clone(&reported));
        let reporting = move || {
            let _ = report_done.send(report_all(&from, &input, &count, &mut report));
            // a reader that has gone ends the watch
            from.close();
            input.close();
        };
        if let Err(error) = spawn("report", reporting) {
            frames.close();
            return Err(RelayError::Thread(error));
        }

        let mut failure = None;
        let (mut used, mut buffer) = (None, T::default());
        loop {
            let captured = match frames.take(used.take()) {
                Taken::Item(captured) => Some(captured),
                Taken::Nudge => None,
                Taken::End => break,
            };
            if let Err(error) = answer(captured.as_ref(), &mut buffer) {
                failure = Some(RelayError::Answer(error));
                break;
            }
            if captured.is_some() {
                buffer = match policy {
                    Policy::NewestWins => answers.put(buffer),
                    Policy::EveryFrame => answers.put_when_free(buffer),
                };
            }
            used = captured;
        }
        frames.close();
        answers.close();

        let end = match wait(&report_end, &asked).unwrap_or(Ok(())) {
            Ok(()) => End::Finished,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => End::ReaderGone,
            Err(error) => return Err(RelayError::Output(error)),
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        let CaptureEnd { unreadable, failure } =
            capture_end.try_recv().unwrap_or(CaptureEnd { unreadable: 0, failure: None });
        if let Some(failure) = failure {
            return Err(RelayError::Input(failure));
        }
        let captured = frames.counts().put;
        let reported = reported.load(Ordering::Relaxed);
        Ok(Account { captured, reported, dropped: captured - reported, unreadable, end })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn capture_all<F: Default, C>(
    slot: &Slot<Captured<F>>,
    policy: Policy,
    live: bool,
    capture: &mut impl FnMut(&mut F) -> Result<bool, C>,
    complain: &mut impl FnMut(&C),
) -> CaptureEnd<C> {
    let start = Instant::now();
    let mut captured = Captured::default();
    let mut number = 0;
    let (mut unreadable, mut in_a_row) = (0, 0);
    while !slot.is_closed() {
        match capture(&mut captured.frame) {
            Ok(true) => {
                in_a_row = 0;
                captured.number = number;
                let now = Instant::now();
                captured.at = Some(now);
                captured.since_start = now - start;
                captured.unix_ms = unix_ms();
                number += 1;
                captured = match policy {
                    Policy::NewestWins => slot.put(captured),
                    Policy::EveryFrame => slot.put_when_free(captured),
                };
            }
            Ok(false) => break,
            // the end of the watch may be what made it fail
            Err(_) if slot.is_closed() => break,
            Err(error) => {
                unreadable += 1;
                in_a_row = MAX_FAILURES.min(in_a_row + 1);
                if in_a_row == MAX_FAILURES && !live {
                    return CaptureEnd { unreadable, failure: Some(error) };
                }
                complain(&error);
            }
        }
    }
    CaptureEnd { unreadable, failure: None }
}

/// Reports until there are no more answers, counting what was written.
fn report_all<F, T>(
    answers: &Slot<T>,
    frames: &Slot<Captured<F>>,
    reported: &AtomicU64,
    report: &mut impl FnMut(&T, u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut used = None;
    while let Taken::Item(answer) = answers.take(used.take()) {
        let dropped = frames.counts().dropped + answers.counts().dropped;
        report(&answer, dropped)?;
        reported.fetch_add(1, Ordering::Relaxed);
        used = Some(answer);
    }
    Ok(())
}

/// Waits for the report thread: as long as it takes, but after a stop not longer than the grace.
fn wait<R>(end: &mpsc::Receiver<R>, asked: &AtomicBool) -> Option<R> {
    let mut stopped_at = None;
    loop {
        match end.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if asked.load(Ordering::Relaxed) {
            let at = *stopped_at.get_or_insert_with(Instant::now);
            if at.elapsed() > STOP_GRACE {
                return None;
            }
        }
    }
}

/// A clock before 1970 is a clock that was never set: it says 0.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    type Lines = Arc<Mutex<Vec<(u64, u64)>>>;

    /// A camera that gives the numbers below `frames`, one every `every`.
    fn camera(frames: u64, every: Duration) -> impl FnMut(&mut u64) -> Result<bool, String> {
        let mut next = 0;
        move |frame| {
            thread::sleep(every);
            *frame = next;
            next += 1;
            Ok(next <= frames)
        }
    }

    fn encoder(
        takes: Duration,
    ) -> impl FnMut(Option<&Captured<u64>>, &mut u64) -> Result<(), String> {
        move |captured, answer| {
            let Some(captured) = captured else { return Ok(()) };
            assert_eq!(captured.number, captured.frame);
            thread::sleep(takes);
            *answer = captured.number;
            Ok(())
        }
    }

    fn collect(lines: &Lines) -> impl FnMut(&u64, u64) -> io::Result<()> + Send + 'static {
        let lines = Arc::clone(lines);
        move |&number, dropped| {
            lines.lock().unwrap().push((number, dropped));
            Ok(())
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_encoder_costs_frames_which_are_counted_and_the_last_frame_is_answered() {
        let lines = Lines::default();
        let account = Relay::new(Policy::NewestWins)
            .run(camera(200, MS), |_| (), encoder(20 * MS), collect(&lines))
            .unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(account.captured, 200);
        assert_eq!(account.reported, lines.len() as u64);
        assert_eq!(account.reported + account.dropped, 200);
        assert!(account.dropped > 100, "{account:?}");
        assert_eq!(lines.last().map(|l| l.0), Some(199));
        assert!(lines.is_sorted(), "numbers and counts of dropped frames only grow");
    }

    #[test]
    fn every_frame_is_answered_when_it_counts() {
        let lines = Lines::default();
        let account = Relay::new(Policy::EveryFrame)
            .run(camera(50, Duration::ZERO), |_| (), encoder(MS), collect(&lines))
            .unwrap();
        assert_eq!((account.captured, account.reported, account.dropped), (50, 50, 0));
        let numbers: Vec<_> = lines.lock().unwrap().iter().map(|l| l.0).collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_stuck_reader_stalls_neither_capture_nor_a_stop() {
        let watch = Relay::new(Policy::NewestWins);
        let stopper = watch.stopper();
        let begun = Instant::now();
        let stuck = |_: &u64, _: u64| {
            thread::sleep(Duration::from_secs(3600));
            Ok(())
        };
        thread::spawn(move || {
            thread::sleep(200 * MS);
            stopper.stop();
        });
        let account = watch.run(camera(u64::MAX, MS), |_| (), encoder(MS), stuck).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(account.captured > 20, "{account:?}");
        assert_eq!(account.reported, 0);
    }

    #[test]
    fn a_stop_does_not_wait_for_a_camera_that_gives_nothing() {
        let watch = Relay::new(Policy::NewestWins);
        let stopper = watch.stopper();
        thread::spawn(move || {
            thread::sleep(20 * MS);
            stopper.stop();
        });
        let dead = camera(u64::MAX, Duration::from_secs(3600));
        let account = watch.run(dead, |_| (), encoder(MS), collect(&Lines::default())).unwrap();
        assert_eq!((account.captured, account.end), (0, End::Finished));
    }

    #[test]
    fn a_closed_pipe_ends_the_watch_quietly() {
        let mut lines = 0;
        let report = move |_: &u64, _: u64| {
            lines += 1;
            if lines > 3 { Err(io::Error::from(io::ErrorKind::BrokenPipe)) } else { Ok(()) }
        };
        let account = Relay::new(Policy::NewestWins)
            .run(camera(u64::MAX, MS), |_| (), encoder(MS), report)
            .unwrap();
        assert_eq!((account.end, account.reported), (End::ReaderGone, 3));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let report = |_: &u64, _: u64| Err(io::Error::from(io::ErrorKind::StorageFull));
        let error = Relay::new(Policy::NewestWins)
            .run(camera(u64::MAX, MS), |_| (), encoder(MS), report)
            .unwrap_err();
        assert!(matches!(error, RelayError::Output(_)), "{error}");
    }

    #[test]
    fn unreadable_frames_are_counted_and_the_others_answered() {
        let lines = Lines::default();
        let mut good = camera(10, MS);
        let mut calls = 0;
        let capture = move |frame: &mut u64| {
            calls += 1;
            if calls % 2 == 0 { Err("broken".to_owned()) } else { good(frame) }
        };
        let heard = Arc::new(Mutex::new(0));
        let ear = Arc::clone(&heard);
        let account = Relay::new(Policy::EveryFrame)
            .run(capture, move |_| *ear.lock().unwrap() += 1, encoder(MS), collect(&lines))
            .unwrap();
        assert_eq!((account.reported, account.unreadable), (10, 10));
        assert_eq!(*heard.lock().unwrap(), 10);
    }

    #[test]
    fn a_broken_input_is_given_up() {
        let capture = |_: &mut u64| Err("no device".to_owned());
        let error = Relay::new(Policy::NewestWins)
            .run(capture, |_| (), encoder(MS), collect(&Lines::default()))
            .unwrap_err();
        assert!(matches!(&error, RelayError::Input(e) if e == "no device"), "{error:?}");
    }

    #[test]
    fn a_camera_is_never_given_up() {
        let lines = Lines::default();
        let mut calls = 0;
        let capture = move |frame: &mut u64| {
            calls += 1;
            *frame = 0;
            match calls {
                101 => Ok(true),
                102 => Ok(false),
                _ => Err("unplugged".to_owned()),
            }
        };
        let account = Relay::new(Policy::NewestWins)
            .live(true)
            .run(capture, |_| (), encoder(MS), collect(&lines))
            .unwrap();
        assert_eq!((account.reported, account.unreadable), (1, 100));
    }

    #[test]
    fn the_answering_thread_can_be_woken_without_a_frame() {
        let watch = Relay::<u64, u64>::new(Policy::NewestWins);
        let (waker, stopper) = (watch.waker(), watch.stopper());
        thread::spawn(move || {
            waker.wake();
        });
        let mut woken = 0;
        let answer = |captured: Option<&Captured<u64>>, _: &mut u64| -> Result<(), String> {
            assert!(captured.is_none());
            woken += 1;
            stopper.stop();
            Ok(())
        };
        let dead = camera(u64::MAX, Duration::from_secs(3600));
        watch.run(dead, |_| (), answer, collect(&Lines::default())).unwrap();
        assert_eq!(woken, 1);
    }

    #[test]
    fn a_frame_that_cannot_be_answered_ends_the_watch_with_its_reason() {
        let answer = |_: Option<&Captured<u64>>, _: &mut u64| Err("out of memory".to_owned());
        let error = Relay::new(Policy::NewestWins)
            .run(camera(u64::MAX, MS), |_| (), answer, collect(&Lines::default()))
            .unwrap_err();
        assert!(matches!(&error, RelayError::Answer(e) if e == "out of memory"), "{error:?}");
    }
}
