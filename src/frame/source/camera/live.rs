use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::{Source, Stamp};
use crate::frame::{Frame, FrameError};

/// Longest pause between two attempts to open a camera.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A camera that gave frames for so long is well again: what happens next is a new loss.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// How often the same loss is told.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// So many damaged frames in a row are no accident: the camera is opened anew.
const MAX_DAMAGED: u32 = 16;

/// Opens the camera.
pub(super) type Open = Box<dyn FnMut() -> Result<Box<dyn Source>, FrameError> + Send>;

/// A camera that is opened again when it fails, with growing pauses.
///
/// [`Source::next`] then waits; it returns the loss once, and again when its text changes or a
/// minute has passed, so that a log is neither silent nor flooded.
pub(super) struct Live {
    open: Open,
    source: Option<Box<dyn Source>>,
    name: Arc<str>,
    /// The failure of the first opening, which nobody has heard of yet.
    untold: Option<FrameError>,
    pauses: Pauses,
    losses: Losses,
    /// When frames began to come.
    since: Option<Instant>,
    damaged: u32,
    number: u64,
}

impl Live {
    /// Tries once; an error that waiting cannot mend is returned.
    pub(super) fn open(
        name: &str,
        mut open: Open,
        first_pause: Duration,
    ) -> Result<Self, FrameError> {
        let (source, untold) = match open() {
            Ok(source) => (Some(source), None),
            Err(error) if error.is_loss() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        Ok(Self {
            open,
            source,
            name: name.into(),
            untold,
            pauses: Pauses { first: first_pause, next: first_pause },
            losses: Losses::default(),
            since: None,
            damaged: 0,
            number: 0,
        })
    }

    /// One attempt at a frame.
    fn attempt(&mut self, into: &mut Frame) -> Result<(), FrameError> {
        if let Some(error) = self.untold.take() {
            return Err(error);
        }
        let source = match &mut self.source {
            Some(source) => source,
            none => {
                thread::sleep(self.pauses.take());
                none.insert((self.open)()?)
            }
        };
        match source.next(into)? {
            Some(_) => Ok(()),
            None => Err(FrameError::lost(&self.name, "the stream has ended")),
        }
    }
}

impl Source for Live {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        loop {
            let error = match self.attempt(into).map_err(waited_for) {
                Ok(()) => {
                    self.damaged = 0;
                    if self.since.get_or_insert_with(Instant::now).elapsed() >= WELL_AFTER {
                        self.pauses.begin_again();
                        self.losses.forget();
                    }
                    let number = self.number;
                    self.number += 1;
                    return Ok(Some(Stamp { number, source: Arc::clone(&self.name) }));
                }
                Err(error) => error,
            };
            self.damaged += 1;
            if self.source.is_some() && !error.is_loss() && self.damaged < MAX_DAMAGED {
                self.number += 1;
                return Err(error);
            }
            (self.source, self.since, self.damaged) = (None, None, 0);
            if self.losses.is_news(error.to_string(), Instant::now()) {
                return Err(error);
            }
        }
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// The end of a program is not the end of its camera.
fn waited_for(error: FrameError) -> FrameError {
    match error {
        FrameError::Ended { name, program, reason } => {
            FrameError::lost(&name, format!("{program} has ended: {reason}"))
        }
        error => error,
    }
}

/// Pauses that double up to [`LONGEST_PAUSE`].
struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    fn begin_again(&mut self) {
        self.next = self.first;
    }
}

/// What was told of a loss, and when.
#[derive(Default)]
struct Losses {
    told: Option<(String, Instant)>,
}

impl Losses {
    fn is_news(&mut self, text: String, now: Instant) -> bool {
        let known = self.told.as_ref().is_some_and(|(told, at)| {
            *told == text && now.saturating_duration_since(*at) < TELL_AGAIN
        });
        if !known {
            self.told = Some((text, now));
        }
        !known
    }

    fn forget(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const PAUSE: Duration = Duration::from_millis(1);

    /// Gives `frames` frames and then `last`.
    struct Camera {
        frames: u32,
        last: fn() -> Result<Option<Stamp>, FrameError>,
    }

    impl Source for Camera {
        fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
            if self.frames == 0 {
                return (self.last)();
            }
            self.frames -= 1;
            into.resize(1, 1);
            Ok(Some(Stamp { number: 7, source: "camera".into() }))
        }
    }

    fn unplugged() -> FrameError {
        FrameError::lost("camera", "unplugged")
    }

    fn damaged() -> Result<Option<Stamp>, FrameError> {
        Err(FrameError::damaged("camera", "half a picture"))
    }

    #[test]
    fn a_camera_that_comes_back_goes_on_and_its_loss_is_told_once() {
        let mut opened = 0;
        let open = move || -> Result<Box<dyn Source>, FrameError> {
            opened += 1;
            match opened {
                1 | 5 => Ok(Box::new(Camera { frames: 2, last: || Err(unplugged()) })),
                2..=4 => Err(unplugged()),
                _ => Ok(Box::new(Camera { frames: u32::MAX, last: || Ok(None) })),
            }
        };
        let mut live = Live::open("camera", Box::new(open), PAUSE).unwrap();
        let mut frame = Frame::new();
        let mut numbers = Vec::new();
        let mut errors = Vec::new();
        while numbers.len() < 8 {
            match live.next(&mut frame) {
                Ok(stamp) => numbers.push(stamp.unwrap().number),
                Err(error) => errors.push(error.to_string()),
            }
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(live.is_live() && errors[0].contains("unplugged"), "{errors:?}");
    }

    #[test]
    fn a_camera_that_is_not_there_yet_is_waited_for_and_a_wrong_option_is_not() {
        let mut opened = 0;
        let open = move || -> Result<Box<dyn Source>, FrameError> {
            opened += 1;
            if opened < 3 {
                return Err(unplugged());
            }
            Ok(Box::new(Camera { frames: 9, last: || Ok(None) }))
        };
        let mut live = Live::open("camera", Box::new(open), PAUSE).unwrap();
        let mut frame = Frame::new();
        assert!(live.next(&mut frame).is_err());
        assert!(live.next(&mut frame).unwrap().is_some());

        let wrong = || {
            let remedy = "give another";
            Err(FrameError::Option { name: "camera".into(), reason: "wrong".into(), remedy })
        };
        assert!(Live::open("camera", Box::new(wrong), PAUSE).is_err());
    }

    #[test]
    fn single_damaged_frames_are_told_and_many_open_the_camera_anew() {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let open = || -> Result<Box<dyn Source>, FrameError> {
            OPENED.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Camera { frames: 1, last: damaged }))
        };
        let mut live = Live::open("camera", Box::new(open), PAUSE).unwrap();
        let mut frame = Frame::new();
        assert!(live.next(&mut frame).is_ok());
        for _ in 1..MAX_DAMAGED {
            assert!(live.next(&mut frame).unwrap_err().to_string().contains("half a picture"));
            assert_eq!(OPENED.load(Ordering::Relaxed), 1);
        }
        assert!(live.next(&mut frame).is_err());
        assert_eq!(live.next(&mut frame).unwrap().unwrap().number, u64::from(MAX_DAMAGED));
        assert_eq!(OPENED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn pauses_grow_to_ten_seconds() {
        let first = Duration::from_millis(500);
        let mut pauses = Pauses { first, next: first };
        let taken = [(); 7].map(|()| pauses.take().as_millis());
        assert_eq!(taken, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        pauses.begin_again();
        assert_eq!(pauses.take(), first);
    }

    #[test]
    fn a_loss_is_news_when_its_text_changes_and_after_a_minute() {
        let mut losses = Losses::default();
        let start = Instant::now();
        let mut news =
            |text: &str, seconds| losses.is_news(text.into(), start + Duration::from_secs(seconds));
        assert!(news("gone", 0));
        assert!(!news("gone", 1) && !news("gone", 59));
        assert!(news("busy", 60) && !news("busy", 61));
        assert!(news("gone", 62) && !news("gone", 121) && news("gone", 122));
    }
}
