//! Who hears of changes: MQTT, metrics, programs, saved pictures.
//!
//! Each of them is a [`Sink`](crate::watch::Sink). What is slow about it runs on a thread of its own;
//! the answering thread only leaves the newest state of each region there, without waiting. Whoever
//! does not keep up loses its own events, and they are counted in a [`Lost`].

mod change;
mod error;
mod examples;
mod exec;
mod lost;
mod mailbox;
mod metrics;
mod mqtt;
mod tell;
mod thread;

pub use error::PublishError;
pub use examples::{Examples, ExamplesSettings};
pub use exec::{Exec, ExecSettings};
pub use lost::Lost;
pub use metrics::{Meter, Metrics};
pub use mqtt::{Mqtt, MqttSettings, MqttVersion};
pub use tell::Tell;

/// What this machine calls itself; none where it does not tell.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What the state is called while no class is settled.
pub const UNKNOWN: &str = "unknown";

/// What the whole frame is called where there are no regions.
pub const WHOLE: &str = "view";
