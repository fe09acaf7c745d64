//! `tipcam watch`: what is in front of the camera?

mod decision;
mod input;
mod output;
mod page;
mod publish;
mod service;
mod state;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, FromArgMatches};

use self::service::{State, Watchdog};
use super::shared::{Format, Shared};
use super::{Cli, Command, Outcome, command, complain, config, note};
use crate::frame::{self, DEMO_PHOTOGRAPH, Decoder, Frame, Region, Source};
use crate::pipeline::{Answer, Classifier, PipelineError};
use crate::publish::Metrics;
use crate::serve::{Keeper, Live, Parts};
use crate::watch::{
    Account, Captured, Cooling, Desk, End, Engine, Event, Health, Labels, Options, Policy, Relay,
    RelayError, Shot,
};

/// Say what is in front of the camera, frame after frame
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam watch demo                                 a few photographs instead of a camera
  tipcam watch /dev/video0 --on-change              a USB camera; a line when something changes
  tipcam watch rpicam://0                           the camera on a Raspberry Pi's ribbon cable
  tipcam watch rtsp://camera.local/stream --crop door=0.5,0,0.5,1
  ffmpeg -f v4l2 -i /dev/video0 -f yuv4mpegpipe -pix_fmt yuv420p - | tipcam watch -
  tipcam watch frames/ --rate 2 --loop --format table

Reading never waits for the encoder: the newest frame is answered, the frames before it are dropped
and counted. --every-frame makes a recording wait instead. A camera that is unplugged comes back by
itself.
Each line says: the frame's number and times, `raw` (this frame's label), `stable` (the label after
smoothing: it changes only when another class stays in view), and how many frames were dropped so
far. Ctrl-C ends the watch.

Every parameter above can stand in a file given with --config, under the section of its heading
([input] rate = 5), and has a variable, TIPCAM_RATE. --print-config writes such a file. SIGHUP reads it
again: rules of decision change at once, everything else needs a restart.")]
pub(super) struct Watch {
    // before the sections: they leave their heading to whatever follows
    /// Read parameters from a TOML file
    #[arg(long, value_name = "FILE", env = "TIPCAM_CONFIG", hide_env = true)]
    config: Option<PathBuf>,

    /// Print the configuration in force as a TOML file, and end
    #[arg(long)]
    pub(super) print_config: bool,

    #[command(flatten)]
    input: input::Input,
    #[command(flatten)]
    decision: decision::Decision,
    #[command(flatten)]
    output: output::Output,
    #[command(flatten)]
    state: state::Memory,
    #[command(flatten)]
    page: page::Page,
    #[command(flatten)]
    publish: publish::Publish,
}

impl Watch {
    /// Runs the watch; `line` is the command line it came from.
    pub(super) fn run(self, shared: &Shared, line: &[OsString]) -> Result<Outcome> {
        let options = self.options()?;
        let state::Opened { file, store, trial } = self.state.open(shared)?;
        let labels = Labels::new(&store.head().asset()?)?;
        for label in self.decision.missing(&labels) {
            note(&format!("{label:?} is no class yet: its rules hold once it was taught"));
        }
        let mut classifier = Classifier::new(&file, shared.kernels()?, shared.threads())
            .with_context(|| file.name().to_owned())?;
        classifier.set_head(store.head())?;
        warm_up(&mut classifier)?;

        let policy = if self.input.every_frame { Policy::EveryFrame } else { Policy::NewestWins };
        let relay = Relay::<Shot, Event>::new(policy);
        let health = Arc::new(Health::default());
        let desk = Desk::new(relay.waker());
        // first: a camera may let wait
        service::on_signals(relay.stopper(), reload(line.to_vec(), desk.clone()))?;
        let source = self.input.open()?;
        let (live, pace) = (source.is_live(), self.input.pace(&*source));
        let relay = relay.live(live);
        let publish::Started { mut sinks, lost } = self.publish.sinks()?;
        if let Some(watchdog) = Watchdog::new(Arc::clone(&health), relay.waker())? {
            sinks.push(Box::new(watchdog));
        }
        if let Some(trial) = trial {
            sinks.push(Box::new(trial));
        }
        let page = if self.page.is_wanted() {
            let metrics = Metrics::new(Arc::clone(&health), lost);
            let (live, lens) = Live::new(Arc::clone(&health));
            sinks.push(Box::new(metrics.meter()));
            sinks.push(Box::new(lens));
            let regions = options.regions.iter().map(Region::label).collect();
            let keeper = Keeper::new(store, &file, desk.clone(), regions, shared.workers()?)?;
            let keeper = Arc::new(keeper);
            let prepared = Arc::clone(&keeper);
            let prepare = move || prepared.prepare();
            thread::Builder::new().name("prepare".to_owned()).spawn(prepare)?;
            let kept = Arc::clone(&keeper);
            let figures = move || {
                metrics.set_keys(kept.summary().shots as u64);
                metrics.render()
            };
            let parts = Parts {
                keeper,
                live,
                health: Arc::clone(&health),
                metrics: Some(Arc::new(figures)),
            };
            self.page.start(parts, self.state.folder())?
        } else {
            None
        };
        let mut engine = Engine::new(classifier, options, desk, sinks, Arc::clone(&health))?;
        let cooling = Cooling::new(self.input.max_temperature);
        let capture = capture(source, pace, cooling, Arc::clone(&health));
        let unreadable = move |error: &frame::FrameError| {
            health.input_failed(&error.to_string());
            complain(&anyhow::anyhow!("{error}"));
        };
        let answer =
            |captured: Option<&Captured<Shot>>, event: &mut Event| engine.answer(captured, event);
        let report = self.output.reporter(shared.format_or(Format::Json));
        service::tell(&[State::Ready]);
        let account = relay.run(capture, unreadable, answer, report).map_err(explain);
        // the capturing thread may still wait for a frame
        frame::end_programs();
        let account = account?;
        // streams end, and what was learned is on the disk, before the last word
        drop(page);
        drop(engine);
        summary(&account);
        Ok(if account.unreadable == 0 || live { Outcome::Done } else { Outcome::Partly })
    }

    /// What can be changed while it runs.
    fn options(&self) -> Result<Options> {
        let rules = self.decision.rules()?;
        Ok(Options {
            top: self.output.top_k.into(),
            regions: self.input.regions()?,
            motion: self.decision.motion()?,
            unknown_score: self.decision.unknown_score,
            unknown_cosine: self.decision.unknown_cosine,
            margin: self.decision.margin,
            classes: self.decision.classes(&rules)?,
            rules,
        })
    }
}

/// Reads the configuration again and hands it to the loop; what is wrong with it is told, and the loop
/// goes on as before.
fn reload(line: Vec<OsString>, desk: Desk) -> impl FnMut() + Send + 'static {
    let read = move || -> Result<Options> {
        let line = config::expand(&command(), line.clone())?;
        let matches = command().try_get_matches_from(line)?;
        match Cli::from_arg_matches(&matches)?.command {
            Command::Watch(watch) => watch.options(),
            _ => anyhow::bail!("the command line is not a watch"),
        }
    };
    move || match read() {
        Ok(options) => {
            desk.set_options(options);
            note("the configuration was read again: rules of decision hold from now on");
        }
        Err(error) => complain(&error.context("the configuration was not read again")),
    }
}

/// Answers a photograph: whoever waits for the first frame's answer shall not wait for memory.
fn warm_up(classifier: &mut Classifier) -> Result<()> {
    let (mut frame, mut answer) = (Frame::new(), Answer::default());
    Decoder::default().decode("demo", DEMO_PHOTOGRAPH, &mut frame)?;
    Ok(classifier.answer(&frame, 1, &mut answer)?)
}

/// Takes frames from `source`, not faster than `pace` and not more than a hot processor can bear.
fn capture(
    mut source: Box<dyn Source>,
    mut pace: Option<frame::Pace>,
    mut cooling: Cooling,
    health: Arc<Health>,
) -> impl FnMut(&mut Shot) -> Result<bool, frame::FrameError> {
    let start = Instant::now();
    let mut pause = cooling.pause();
    move |shot| {
        loop {
            if let Some(pace) = &mut pace {
                thread::sleep(pace.wait(start.elapsed()));
            }
            let begun = Instant::now();
            let Some(stamp) = source.next(&mut shot.frame)? else { return Ok(false) };
            shot.decode = begun.elapsed();
            shot.source = stamp.source;
            health.frame_came();
            let admitted = cooling.admits(start.elapsed());
            if let (Some(celsius), true) = (cooling.celsius(), cooling.pause() != pause) {
                pause = cooling.pause();
                note(&format!(
                    "processor at {celsius:.0} °C: {}",
                    match pause.as_secs_f32() {
                        0.0 => "every frame is answered again".to_owned(),
                        pause => format!("at most {:.1} frames a second are answered", 1.0 / pause),
                    }
                ));
            }
            if admitted {
                return Ok(true);
            }
        }
    }
}

fn explain(error: RelayError<frame::FrameError, PipelineError>) -> anyhow::Error {
    match error {
        // these name the input and the remedy themselves
        RelayError::Input(error) => error.into(),
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
