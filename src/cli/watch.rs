//! `tipcam watch`: what is in front of the camera?

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::answer::{About, AboutFrame, Writer};
use super::shared::{Format, Shared};
use super::{Outcome, complain, note};
use crate::decide::{Rules, Stabilizer};
use crate::frame::{self, Frame, Source, SourceOptions, source};
use crate::pipeline::{Answer, Classifier, MAX_TOP, PipelineError};
use crate::watch::{Account, Captured, End, Policy, Stopper, Watch as Loop, WatchError};

/// Frames a second of the demo and of other pictures: slow enough for the stable label to follow.
const PICTURES_RATE: f64 = 2.0;

/// Frames a second of a recording.
const RECORDING_RATE: f64 = 25.0;

/// Say what is in front of the camera, frame after frame
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam watch demo                                 a few photographs instead of a camera
  ffmpeg -f v4l2 -i /dev/video0 -f yuv4mpegpipe -pix_fmt yuv420p - | tipcam watch -
  rpicam-vid -t 0 --codec mjpeg -o - | tipcam watch -
  v4l2-ctl --stream-mmap --stream-to=- | tipcam watch - --input-format yuyv --size 640x480
  tipcam watch frames/ --rate 2 --loop --format table

Reading never waits for the encoder: the newest frame is answered, the frames before it are dropped
and counted. --every-frame makes a recording wait instead.
Each line says: the frame's number and times, `raw` (this frame's label), `stable` (the label after
smoothing: it changes only when another class stays in view), and how many frames were dropped so
far. Ctrl-C ends the watch.")]
pub(super) struct Watch {
    /// demo, a folder or pattern of pictures, a video file or pipe, or - for standard input
    input: String,

    /// What the input's bytes are [default: told from the name or the first bytes]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<InputFormat>,

    /// Width and height of raw frames
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(u32, u32)>,

    /// Frames a second to replay a file with [default: 2 for pictures, 25 for recordings; pipes come
    /// as they come]
    #[arg(long, value_name = "FPS", value_parser = parse_rate)]
    rate: Option<f64>,

    /// Begin again at the end
    #[arg(long = "loop")]
    looped: bool,

    /// Answer every frame: the input waits instead of losing frames
    #[arg(long)]
    every_frame: bool,

    /// Seconds over which the stable label is smoothed; 0 takes each frame alone
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = parse_seconds)]
    smoothing: f64,

    /// Smoothed probability at which a class becomes the stable label
    #[arg(long, value_name = "P", default_value_t = 0.6, value_parser = parse_share)]
    enter: f32,

    /// Smoothed probability below which the stable label goes
    #[arg(long, value_name = "P", default_value_t = 0.4, value_parser = parse_share)]
    leave: f32,

    /// How many classes to list
    #[arg(long, short = 'k', value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=MAX_TOP as i64))]
    top_k: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum InputFormat {
    /// YUV4MPEG2, as ffmpeg's yuv4mpegpipe
    Y4m,
    /// JPEG pictures one after another
    Mjpeg,
    /// Red, green, blue bytes
    Rgb24,
    /// A plane of Y, then U and V of half the size (I420)
    Yuv420p,
    /// Y U Y V bytes, what most USB cameras give (YUY2)
    Yuyv,
}

impl From<InputFormat> for frame::Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Y4m => Self::Y4m,
            InputFormat::Mjpeg => Self::Mjpeg,
            InputFormat::Rgb24 => Self::Rgb24,
            InputFormat::Yuv420p => Self::Yuv420p,
            InputFormat::Yuyv => Self::Yuyv,
        }
    }
}

/// A frame's buffer, with what is known of it besides its picture.
#[derive(Default)]
struct Shot {
    frame: Frame,
    source: Arc<str>,
    decode: Duration,
}

/// An answer's buffer on its way to the output.
#[derive(Default)]
struct Event {
    number: u64,
    since_start: Duration,
    unix_ms: u64,
    source: Arc<str>,
    decode: Duration,
    answer: Answer,
    stable: Option<usize>,
}

impl Watch {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        anyhow::ensure!(
            self.leave <= self.enter,
            "--leave {} is above --enter {}: a label would go as soon as it came",
            self.leave,
            self.enter
        );
        let file = shared.asset_file()?;
        let asset = shared.asset(&file)?;
        let mut classifier = Classifier::new(&file, &asset, shared.kernels()?, shared.threads())
            .with_context(|| file.name().to_owned())?;
        let options = SourceOptions {
            format: self.input_format.map(Into::into),
            size: self.size,
            looped: self.looped,
            ..SourceOptions::default()
        };
        let source = frame::open(&self.input, options)?;
        let writer = Writer::new(&asset).with_context(|| file.name().to_owned())?;
        let report = reporter(writer, shared.format_or(Format::Json));

        let policy = if self.every_frame { Policy::EveryFrame } else { Policy::NewestWins };
        let watch = Loop::<Shot, Event>::new(policy);
        stop_on_signals(watch.stopper())?;
        let rules = Rules {
            memory: Duration::from_secs_f64(self.smoothing),
            enter: self.enter,
            leave: self.leave,
        };
        let mut smoothed = vec![0.0; classifier.head().classes()];
        let mut stabilizer = Stabilizer::new(rules, &mut smoothed);
        let top = usize::from(self.top_k);
        let answer = |captured: &Captured<Shot>, event: &mut Event| -> Result<(), PipelineError> {
            let shot = &captured.frame;
            classifier.answer(&shot.frame, top, &mut event.answer)?;
            let probabilities = classifier.probabilities();
            let stable =
                stabilizer.push(captured.since_start, probabilities, &event.answer.decision);
            event.stable = stable.class;
            event.number = captured.number;
            event.since_start = captured.since_start;
            event.unix_ms = captured.unix_ms;
            event.source.clone_from(&shot.source);
            event.decode = shot.decode;
            Ok(())
        };
        let capture = capture(source, self.pace());
        let unreadable = |error: &frame::FrameError| complain(&anyhow::anyhow!("{error}"));
        let account = watch.run(capture, unreadable, answer, report).map_err(explain)?;
        summary(&account);
        Ok(if account.unreadable == 0 { Outcome::Done } else { Outcome::Partly })
    }

    /// The pace of something that has no clock of its own; none for a pipe or a camera.
    fn pace(&self) -> Option<frame::Pace> {
        let path = Path::new(&self.input);
        let default = match path.metadata() {
            _ if self.every_frame || self.input == "-" => None,
            Ok(file) if file.is_file() && !source::is_picture(path) => Some(RECORDING_RATE),
            Ok(pipe) if !pipe.is_file() && !pipe.is_dir() => None,
            // a folder, a picture, a pattern or the demo
            _ => Some(PICTURES_RATE),
        };
        frame::Pace::new(self.rate.or(default)?)
    }
}

/// Takes frames from `source`, not faster than `pace`.
fn capture(
    mut source: Box<dyn Source>,
    mut pace: Option<frame::Pace>,
) -> impl FnMut(&mut Shot) -> Result<bool, frame::FrameError> {
    let start = Instant::now();
    move |shot| {
        if let Some(pace) = &mut pace {
            thread::sleep(pace.wait(start.elapsed()));
        }
        let begun = Instant::now();
        let Some(stamp) = source.next(&mut shot.frame)? else { return Ok(false) };
        shot.decode = begun.elapsed();
        shot.source = stamp.source;
        Ok(true)
    }
}

/// Writes a line for each event.
fn reporter(
    mut writer: Writer,
    format: Format,
) -> impl FnMut(&Event, u64) -> io::Result<()> + Send + 'static {
    move |event: &Event, dropped: u64| {
        let about = About { source: &event.source, decode: event.decode };
        let frame = AboutFrame {
            number: event.number,
            since_start: event.since_start,
            unix_ms: event.unix_ms,
            stable: event.stable,
            dropped,
        };
        match format {
            Format::Json => {
                let line = writer.frame_json(&about, &frame, &event.answer);
                super::print(line.map_err(io::Error::other)?)
            }
            Format::Table => super::print(&writer.frame_table(&about, &frame, &event.answer)),
        }
    }
}

/// The first SIGINT or SIGTERM ends the watch, the second one the program.
#[cfg(unix)]
fn stop_on_signals(stopper: Stopper<Shot>) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("waiting for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut stopper = Some(stopper);
            for signal in signals.forever() {
                match stopper.take() {
                    Some(stopper) => stopper.stop(),
                    None => std::process::exit(128 + signal),
                }
            }
        })
        .context("starting a thread")?;
    Ok(())
}

#[cfg(not(unix))]
fn stop_on_signals(_: Stopper<Shot>) -> Result<()> {
    Ok(())
}

fn explain(error: WatchError<frame::FrameError, PipelineError>) -> anyhow::Error {
    match error {
        // these name the input and the remedy themselves
        WatchError::Input(error) => error.into(),
        error => error.into(),
    }
}

fn summary(account: &Account) {
    if account.end == End::Finished {
        let unreadable = match account.unreadable {
            0 => String::new(),
            n => format!(", {n} could not be read"),
        };
        note(&format!(
            "{} frames: {} answered, {} dropped{unreadable}",
            account.captured, account.reported, account.dropped
        ));
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), Invalid> {
    let invalid = Invalid("write width and height as 640x480");
    let (width, height) = text.split_once(['x', 'X']).ok_or(invalid)?;
    match (width.parse(), height.parse()) {
        (Ok(width @ 1..), Ok(height @ 1..)) => Ok((width, height)),
        _ => Err(invalid),
    }
}

fn parse_rate(text: &str) -> Result<f64, Invalid> {
    let rate = text.parse().ok().filter(|&rate| frame::Pace::new(rate).is_some());
    rate.ok_or(Invalid("write frames a second, above 0 and at most 1000"))
}

fn parse_seconds(text: &str) -> Result<f64, Invalid> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or(Invalid("write seconds from 0 to 3600"))
}

fn parse_share(text: &str) -> Result<f32, Invalid> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or(Invalid("write a probability from 0 to 1"))
}

/// What to write instead of an option's value.
#[derive(Clone, Copy, Debug)]
struct Invalid(&'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_values_are_checked() {
        assert_eq!(parse_size("640x480").unwrap(), (640, 480));
        for bad in ["640", "0x480", "640x", "x", "-1x5", "640x480x3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert!(
            parse_rate("0").is_err() && parse_rate("nan").is_err() && parse_rate("2.5").is_ok()
        );
        assert!(parse_seconds("-1").is_err() && parse_seconds("inf").is_err());
        assert!(parse_share("1.1").is_err() && parse_share("0.5").is_ok());
    }
}
