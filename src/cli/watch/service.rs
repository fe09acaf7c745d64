//! Running as a service: signals, and what systemd is told.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::frame::{self, Frame};
use crate::watch::{Event, Health, Shot, Sink, Stopper, Waker};

/// An input that says nothing for so long, neither a frame nor what is wrong, is taken for hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two lines of status.
const STATUS: Duration = Duration::from_secs(10);

/// The first SIGINT or SIGTERM ends the watch, the second one the program; SIGHUP calls `reload`.
#[cfg(unix)]
pub(super) fn on_signals(
    stopper: Stopper<Shot>,
    mut reload: impl FnMut() + Send + 'static,
) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])
        .context("waiting for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut stopper = Some(stopper);
            for signal in signals.forever() {
                match (signal, stopper.take()) {
                    (SIGHUP, before) => {
                        tell(&[State::Reload]);
                        reload();
                        tell(&[State::Ready]);
                        stopper = before;
                    }
                    (_, Some(stopper)) => {
                        tell(&[State::Stopping]);
                        stopper.stop();
                        frame::end_programs();
                    }
                    (signal, None) => std::process::exit(128 + signal),
                }
            }
        })
        .context("starting a thread")?;
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn on_signals(_: Stopper<Shot>, _: impl FnMut() + Send + 'static) -> Result<()> {
    Ok(())
}

/// What systemd is told.
pub(super) enum State<'s> {
    /// The first answer can be given.
    Ready,
    /// The configuration is being read again.
    Reload,
    /// It ends.
    Stopping,
    /// It is alive.
    Alive,
    /// A line for `systemctl status`.
    Status(&'s str),
}

/// Tells systemd; does nothing where it did not start this program.
#[cfg(target_os = "linux")]
pub(super) fn tell(states: &[State<'_>]) {
    use sd_notify::NotifyState;
    for state in states {
        let state = match state {
            State::Ready => NotifyState::Ready,
            State::Reload => NotifyState::Reloading,
            State::Stopping => NotifyState::Stopping,
            State::Alive => NotifyState::Watchdog,
            State::Status(text) => NotifyState::Status(text),
        };
        // where nobody listens, that is no reason to stop
        let _ = sd_notify::notify(&[state]);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tell(_: &[State<'_>]) {}

/// Feeds systemd's watchdog from the loop itself: a loop that hangs is started again, one whose camera
/// is away is not.
pub(super) struct Watchdog {
    every: Duration,
    fed: Instant,
    told: Instant,
    seen: Instant,
    health: Arc<Health>,
}

impl Watchdog {
    /// None where systemd does not watch. `waker` wakes the loop while no frame comes.
    pub(super) fn new(health: Arc<Health>, waker: Waker) -> Result<Option<Self>> {
        let Some(period) = period() else { return Ok(None) };
        let every = period / 3;
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                loop {
                    thread::sleep(every);
                    waker.wake();
                }
            })
            .context("starting a thread")?;
        let now = Instant::now();
        Ok(Some(Self { every, fed: now, told: now, seen: now, health }))
    }

    fn feed(&mut self, now: Instant) {
        if now - self.fed >= self.every {
            self.fed = now;
            tell(&[State::Alive]);
        }
    }

    fn status(&mut self, now: Instant, text: impl FnOnce(&Health) -> String) {
        if now - self.told >= STATUS {
            self.told = now;
            tell(&[State::Status(&text(&self.health))]);
        }
    }
}

impl Sink for Watchdog {
    fn frame(&mut self, _: &Frame, event: &Event) {
        let now = Instant::now();
        self.seen = now;
        self.feed(now);
        self.status(now, |health| {
            let label = event.views.first().and_then(|view| event.labels.get(view.stable.class));
            let label = label.map_or("nothing it knows", |label| label);
            format!("{} frames answered, sees {label}", health.answered())
        });
    }

    fn idle(&mut self) {
        let now = Instant::now();
        let trouble = self.health.input_trouble();
        if trouble.is_some() || now - self.seen < PATIENCE {
            self.feed(now);
        }
        if let Some(trouble) = trouble {
            self.status(now, |_| trouble);
        }
    }
}

/// How often systemd wants to hear of this program.
fn period() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled();
    #[cfg(not(target_os = "linux"))]
    None
}
