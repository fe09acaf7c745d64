use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linuxvideo::format::{PixFormat, PixelFormat};
use linuxvideo::stream::ReadStream;
use linuxvideo::{CapabilityFlags, Device, Fract};
use rustix::event::PollFlags;
use rustix::io::Errno;

use super::super::layout::Layout;
use super::super::{Source, SourceOptions, Stamp};
use super::modes::{self, Choice};
use super::wait::wait;
use crate::frame::{Decoder, Frame, FrameError, limits};

/// A camera that gives nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// So many of a device's formats are named where none of them is read.
const MAX_CODES: usize = 8;

/// A camera that Linux drives: buffers shared with the kernel, converted or decoded in place.
pub(super) struct V4l2 {
    name: Arc<str>,
    stream: ReadStream,
    /// How raw frames lie; `None` for JPEG.
    layout: Option<Layout>,
    /// For a camera that is faster than asked for.
    thin: Option<Thin>,
    decoder: Decoder,
    number: u64,
}

impl V4l2 {
    pub(super) fn open(path: &str, options: &SourceOptions) -> Result<Self, FrameError> {
        let failed = |what: &str, error: io::Error| FrameError::lost(path, explain(what, &error));
        let device = Device::open(path).map_err(|error| match Errno::from_io_error(&error) {
            // the second is what an emulator of a processor says to a request that it does not know
            Some(Errno::NOTTY | Errno::NOSYS) => {
                no_camera(path, "a device that knows nothing of video")
            }
            _ => failed("it cannot be opened", error),
        })?;
        let Choice { fourcc, size } = choice(path, &device, options)?;
        let wanted = PixFormat::new(size.0, size.1, PixelFormat::from_fourcc(fourcc));
        let capture = device
            .video_capture(wanted)
            .map_err(|error| failed("it does not take a format", error))?;
        // The driver may have set something else.
        let set = capture.format();
        let (width, height) = (set.width(), set.height());
        let format = modes::format_of(set.pixel_format().as_fourcc());
        let format = format.filter(|&set| options.format.is_none_or(|wanted| wanted == set));
        let Some(format) = format else {
            return Err(FrameError::Unsupported {
                name: path.into(),
                reason: format!("the format {} that the camera insists on", set.pixel_format()),
                remedy: "leave out --input-format, or look at `tipcam cameras` for another one",
            });
        };
        limits::check_size(path, width, height)?;
        let layout = Layout::tight(format, width, height)
            .map(|layout| layout.with_stride(set.bytes_per_line() as usize));
        let thin = options.rate.and_then(|rate| {
            // A driver without rates says so with an error: frames are then left out here.
            let got = capture.set_frame_interval(interval(rate)).ok();
            let got = got.map(|got| f64::from(got.denominator()) / f64::from(got.numerator()));
            let slow_enough = got.is_some_and(|got| got <= rate * 1.1);
            (!slow_enough).then(|| Thin::new(rate)).flatten()
        });
        let stream = capture.into_stream().map_err(|error| failed("it does not start", error))?;
        let decoder = Decoder::default();
        Ok(Self { name: path.into(), stream, layout, thin, decoder, number: 0 })
    }
}

/// What to ask of this device.
fn choice(path: &str, device: &Device, options: &SourceOptions) -> Result<Choice, FrameError> {
    let capabilities = device
        .capabilities()
        .map_err(|error| FrameError::lost(path, explain("it does not answer", &error)))?;
    let offered = modes::fourccs(device);
    if !capabilities.device_capabilities().contains(CapabilityFlags::VIDEO_CAPTURE) {
        return Err(no_camera(path, "a device that gives no pictures, or only in several planes,"));
    }
    let modes = modes::modes(device, &offered);
    modes::choose(&modes, options.format, options.size, options.rate).ok_or_else(|| {
        let mut has: Vec<_> = modes.iter().filter_map(|(_, mode)| mode.format).collect();
        has.dedup();
        match options.format {
            Some(format) if !has.is_empty() => FrameError::Option {
                name: path.into(),
                reason: format!("the camera has no {format}, but {}", list(&has)),
                remedy: "leave out --input-format, or give one of those",
            },
            _ => {
                let codes: Vec<_> =
                    offered.into_iter().take(MAX_CODES).map(PixelFormat::from_fourcc).collect();
                FrameError::Unsupported {
                    name: path.into(),
                    reason: format!("a camera of the formats {}", list(&codes)),
                    remedy: "if it is a sensor without an image processor of its own, give \
                             rpicam://0 on a Raspberry Pi or csi://0 on a Jetson",
                }
            }
        }
    })
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn no_camera(path: &str, what: &str) -> FrameError {
    FrameError::Unsupported {
        name: path.into(),
        reason: what.into(),
        remedy: "`tipcam cameras` lists the cameras (many have two devices: take the other one)",
    }
}

fn interval(rate: f64) -> Fract {
    // to a thousandth of a frame; a rate is above 0 and at most 1,000
    Fract::new(1000, (rate * 1000.0).round().max(1.0) as u32)
}

/// The system's word for it, with what a person can do.
fn explain(what: &str, error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::NotFound => "is the camera plugged in? `tipcam cameras` lists what is there",
        io::ErrorKind::PermissionDenied => {
            "put the user into the group video: sudo usermod -aG video USER"
        }
        io::ErrorKind::ResourceBusy => "another program uses it",
        _ => return format!("{what} ({error})"),
    };
    format!("{what} ({error}): {help}")
}

impl Source for V4l2 {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        let Self { name, stream, layout, thin, decoder, number } = self;
        let lost = |error: io::Error| FrameError::lost(name, explain("it stopped", &error));
        loop {
            let ready = wait(&*stream, SILENCE).map_err(lost)?;
            if ready.is_empty() {
                let seconds = SILENCE.as_secs();
                return Err(FrameError::lost(name, format!("no frame for {seconds} seconds")));
            }
            if !ready.contains(PollFlags::IN) {
                return Err(FrameError::lost(name, "it was unplugged, or its driver failed"));
            }
            let wanted = thin.as_mut().is_none_or(|thin| thin.is_due(Instant::now()));
            let frame = stream.dequeue(|bytes| {
                Ok(wanted.then(|| match layout {
                    _ if bytes.is_error() => Err(FrameError::damaged(name, "a frame came broken")),
                    None => decoder.decode(name, &bytes, into),
                    Some(layout) if bytes.len() < layout.len() => {
                        let (have, whole) = (bytes.len(), layout.len());
                        let reason = format!("{have} of {whole} bytes of a frame came");
                        Err(FrameError::damaged(name, reason))
                    }
                    Some(layout) => {
                        layout.convert(&bytes, into);
                        Ok(())
                    }
                }))
            });
            let Some(frame) = frame.map_err(lost)? else { continue };
            let stamp = Stamp { number: *number, source: Arc::clone(name) };
            *number += 1;
            return frame.map(|()| Some(stamp));
        }
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Leaves out frames so that not more than a rate are left.
struct Thin {
    period: Duration,
    due: Option<Instant>,
}

impl Thin {
    fn new(rate: f64) -> Option<Self> {
        let period = Duration::try_from_secs_f64(rate.recip()).ok()?;
        Some(Self { period, due: None })
    }

    fn is_due(&mut self, now: Instant) -> bool {
        // Frames tremble around their times: one that is a little early is the one that is due.
        let early = self.period / 8;
        let due = self.due.unwrap_or(now);
        if now + early < due {
            return false;
        }
        // After a gap the old times mean nothing.
        let behind = now.saturating_duration_since(due) > self.period;
        self.due = Some(if behind { now } else { due } + self.period);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_or_no_camera_says_what_to_do() {
        let error = |path| V4l2::open(path, &SourceOptions::default()).err().unwrap();
        let gone = error("/dev/video-none");
        assert!(gone.is_loss() && gone.to_string().contains("plugged in"), "{gone}");
        let other = error("/dev/null");
        assert!(!other.is_loss() && other.to_string().contains("tipcam cameras"), "{other}");
    }

    #[test]
    fn a_fast_camera_is_thinned_to_the_rate_on_average() {
        let start = Instant::now();
        let kept = |rate: f64, camera: f64, seconds: f64| {
            let mut thin = Thin::new(rate).unwrap();
            let frames = (camera * seconds) as u32;
            let times = (0..frames).map(|i| {
                let trembling = [0.0, 0.1, -0.1][i as usize % 3];
                start + Duration::from_secs_f64((f64::from(i) + 0.5 + trembling) / camera)
            });
            times.filter(|&now| thin.is_due(now)).count()
        };
        for (rate, want) in [(10.0, 1000), (2.0, 200), (30.0, 3000), (12.0, 1200), (0.1, 10)] {
            let kept = kept(rate, 30.0, 100.0);
            assert!(kept.abs_diff(want) <= 1, "{rate}: {kept}");
        }
    }

    #[test]
    fn a_rate_becomes_a_fraction_of_a_second() {
        for (rate, got) in [(30.0, (1000, 30_000)), (0.5, (1000, 500)), (1e-9, (1000, 1))] {
            let fraction = interval(rate);
            assert_eq!((fraction.numerator(), fraction.denominator()), got);
        }
    }
}
