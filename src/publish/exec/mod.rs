//! A command of the user's for each change.

mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::run::Run;
use super::change::{News, Tracker};
use super::mailbox::Mailbox;
use super::tell::Trouble;
use super::thread::Worker;
use super::{Lost, PublishError, Tell, UNKNOWN, WHOLE};
use crate::frame::Frame;
use crate::lines::Lines;
use crate::report::Timestamp;
use crate::watch::{Event, Sink};

/// How long the commands that are left may take when the watch stops.
const STOP: Duration = Duration::from_millis(800);

/// What is run on a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecSettings {
    /// The command. A shell (`sh -c`) reads it, so that it can use `"$TIPCAM_LABEL"`.
    pub command: String,
    /// Seconds after which it is killed.
    pub time_limit: u32,
}

impl Default for ExecSettings {
    fn default() -> Self {
        Self { command: String::new(), time_limit: 10 }
    }
}

/// A change on its way to the command.
struct Call {
    label: Option<Arc<str>>,
    previous: Option<Arc<str>>,
    region: Option<Arc<str>>,
    score: f32,
    unix_ms: u64,
    /// The frame's JSON line.
    line: String,
}

impl Call {
    /// What the command finds in its environment.
    fn environment(&self) -> [(&'static str, String); 5] {
        let name = |label: &Option<Arc<str>>| label.as_deref().unwrap_or(UNKNOWN).to_owned();
        [
            ("TIPCAM_LABEL", name(&self.label)),
            ("TIPCAM_PREVIOUS", name(&self.previous)),
            ("TIPCAM_REGION", self.region.as_deref().unwrap_or(WHOLE).to_owned()),
            ("TIPCAM_SCORE", self.score.to_string()),
            ("TIPCAM_TIME", Timestamp::from_unix_ms(self.unix_ms).text().as_str().to_owned()),
        ]
    }
}

/// Runs a command for each change of a stable label, one at a time, on a thread of its own. While one
/// runs, only the newest change of each region waits.
pub struct Exec {
    mailbox: Arc<Mailbox<Call>>,
    tracker: Tracker,
    lines: Lines,
    lost: Lost,
    worker: Worker,
}

impl Exec {
    /// Nothing is run before the first change; `tell` hears of commands that fail.
    ///
    /// # Errors
    /// There is no command, no time for it, or no thread.
    pub fn new(settings: ExecSettings, tell: Tell) -> Result<Self, PublishError> {
        if settings.command.trim().is_empty() {
            let remedy = "write what to run, like: notify-send \"$TIPCAM_LABEL\"";
            return Err(PublishError::setting("exec command", "is empty", remedy));
        }
        if settings.time_limit == 0 {
            let remedy = "write 1 or more seconds";
            return Err(PublishError::setting("exec time_limit", "0 s is too short", remedy));
        }
        let mailbox = Arc::new(Mailbox::new());
        let calls = Arc::clone(&mailbox);
        let work = move || {
            let limit = Duration::from_secs(settings.time_limit.into());
            let mut run = Run::new(settings.command, limit, Trouble::new(tell));
            while let Some((_, call)) = calls.wait() {
                run.one(call, || calls.is_closed());
            }
        };
        let worker = Worker::start("exec", work)?;
        let (tracker, lines) = (Tracker::default(), Lines::new());
        Ok(Self { mailbox, tracker, lines, lost: Lost::new("exec"), worker })
    }

    /// Counts the changes for which nothing was run.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

impl Sink for Exec {
    fn frame(&mut self, _: &Frame, event: &Event) {
        let Self { mailbox, tracker, lines, lost, .. } = self;
        let dropped = tracker.dropped(event);
        tracker.follow(event, |region, view, state, news| {
            if news != News::Changed {
                return;
            }
            // a source's name of 32 KiB leaves no room: the command has its environment all the same
            let line = lines.frame(event, view, dropped).unwrap_or_default();
            let call = Call {
                label: state.label.clone(),
                previous: state.previous.clone(),
                region: state.region.clone(),
                score: view.stable.score,
                unix_ms: event.unix_ms,
                line: line.to_owned(),
            };
            mailbox.put(region, |waiting| {
                if waiting.is_some() {
                    lost.add();
                }
                call
            });
        });
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.mailbox.close();
        self.worker.wait(STOP);
    }
}
