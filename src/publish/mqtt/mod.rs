//! States as retained MQTT messages, which Home Assistant discovers (`docs/mqtt.md`).

mod board;
mod credentials;
mod link;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod topics;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::change::{News, State, Tracker};
use super::mailbox::Mailbox;
use super::thread::Worker;
use super::{Lost, PublishError, Tell};
use crate::frame::Frame;
use crate::pipeline::{MAX_TOP, Scored};
use crate::watch::{Event, Labels, Sink};

pub use settings::{MqttSettings, MqttVersion};

/// How long a stop may take: the broker is told that the camera goes.
const STOP: Duration = Duration::from_millis(700);

/// A region's state on its way to the broker.
struct Seen {
    state: State,
    labels: Arc<Labels>,
    unix_ms: u64,
    score: f32,
    top: heapless::Vec<Scored, MAX_TOP>,
    /// It is another state than the one that was sent before.
    changed: bool,
}

impl Seen {
    /// The same after `waiting`, which will not be sent: it was too slow.
    fn after(mut self, waiting: Option<&Self>, lost: &Lost) -> Self {
        if waiting.is_some_and(|waiting| waiting.changed) {
            if self.changed {
                lost.add();
            }
            self.changed = true;
        }
        self
    }
}

/// What both threads hold.
struct Shared {
    mailbox: Mailbox<Seen>,
    /// Something is in the mailbox, or it was closed.
    news: Notify,
    lost: Lost,
}

/// Publishes states over MQTT, on a thread of its own. When it is dropped the broker is told that the
/// camera is offline.
pub struct Mqtt {
    shared: Arc<Shared>,
    tracker: Tracker,
    heartbeat: Option<Duration>,
    last_beat: Duration,
    worker: Worker,
}

impl Mqtt {
    /// Connects in the background, now and whenever the connection breaks; `tell` hears of trouble.
    ///
    /// # Errors
    /// A setting that cannot work, or a file that cannot be read. A broker that is not there is none.
    pub fn new(settings: MqttSettings, tell: Tell) -> Result<Self, PublishError> {
        let heartbeat = settings.heartbeat.map(|seconds| Duration::from_secs(seconds.into()));
        let (mailbox, news) = (Mailbox::new(), Notify::new());
        let shared = Arc::new(Shared { mailbox, news, lost: Lost::new("mqtt") });
        let worker = worker::Worker::new(settings, Arc::clone(&shared), tell)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PublishError::Thread)?;
        let work = move || {
            runtime.block_on(worker.run());
            // a look-up of the host's name may still hang: it is left alone
            runtime.shutdown_background();
        };
        let worker = Worker::start("mqtt", work)?;
        let (tracker, last_beat) = (Tracker::default(), Duration::ZERO);
        Ok(Self { shared, tracker, heartbeat, last_beat, worker })
    }

    /// Counts the changes that no broker heard of.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.shared.lost.clone()
    }
}

impl Sink for Mqtt {
    fn frame(&mut self, _: &Frame, event: &Event) {
        let passed = event.since_start.saturating_sub(self.last_beat);
        let beat = self.heartbeat.is_some_and(|every| passed >= every);
        if beat {
            self.last_beat = event.since_start;
        }
        let shared = &self.shared;
        self.tracker.follow(event, |region, view, state, news| {
            if news == News::None && !beat {
                return;
            }
            let seen = Seen {
                state: state.clone(),
                labels: Arc::clone(&event.labels),
                unix_ms: event.unix_ms,
                score: view.stable.score,
                top: view.answer.top.clone(),
                changed: news == News::Changed,
            };
            shared.mailbox.put(region, |waiting| seen.after(waiting, &shared.lost));
            shared.news.notify_one();
        });
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.shared.mailbox.close();
        self.shared.news.notify_one();
        self.worker.wait(STOP);
    }
}
