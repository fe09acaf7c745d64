use serde::Serialize;

use super::super::{UNKNOWN, WHOLE};
use super::Seen;
use crate::report::Timestamp;

/// What is said of the camera as a whole.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// Names under which one camera publishes. The parts of a topic are plain: see `change::plain`.
pub(super) struct Topics {
    /// `<prefix>/<node>`
    base: String,
    discovery_prefix: String,
    /// Of the camera, unique among all that speak with the broker.
    id: String,
    /// The camera's name for people.
    name: String,
    qos: u8,
}

impl Topics {
    pub(super) fn new(settings: &super::MqttSettings) -> Self {
        let node = settings.node();
        Self {
            base: format!("{}/{node}", settings.prefix),
            discovery_prefix: settings.discovery_prefix.clone(),
            id: format!("tipcam_{node}"),
            name: settings.name.clone().unwrap_or(node),
            qos: settings.qos,
        }
    }

    /// The camera's name for the broker.
    pub(super) fn client_id(&self) -> &str {
        &self.id
    }

    pub(super) fn availability(&self) -> String {
        format!("{}/availability", self.base)
    }

    /// Of a region of this plain name.
    pub(super) fn state(&self, region: &str) -> String {
        format!("{}/{region}/state", self.base)
    }

    pub(super) fn attributes(&self, region: &str) -> String {
        format!("{}/{region}/attributes", self.base)
    }

    pub(super) fn discovery(&self, region: &str) -> String {
        format!("{}/sensor/{}_{region}/config", self.discovery_prefix, self.id)
    }

    /// What Home Assistant wants to know of a region.
    pub(super) fn discovery_payload(&self, region: &str, seen: &Seen) -> String {
        let known = seen.labels.iter().map(|label| &**label).filter(|&label| label != UNKNOWN);
        let version = env!("CARGO_PKG_VERSION");
        json(&Sensor {
            name: seen.state.region.as_deref(),
            unique_id: &format!("{}_{region}", self.id),
            state_topic: &self.state(region),
            json_attributes_topic: &self.attributes(region),
            availability_topic: &self.availability(),
            device_class: "enum",
            options: known.chain([UNKNOWN]).collect(),
            qos: self.qos,
            device: Device {
                identifiers: [&self.id],
                name: &self.name,
                manufacturer: "tipcam",
                model: "tipcam",
                sw_version: version,
            },
            origin: Origin { name: "tipcam", sw_version: version },
        })
    }
}

/// The plain name of a region, and of the whole frame.
pub(super) fn plain(region: Option<&str>) -> String {
    super::super::change::plain(region.unwrap_or(WHOLE))
}

/// What is settled in a region.
pub(super) fn state_payload(seen: &Seen) -> &str {
    seen.state.label.as_deref().unwrap_or(UNKNOWN)
}

/// What else is known of it.
pub(super) fn attributes_payload(seen: &Seen) -> String {
    let top = seen.top.iter().map(|scored| Candidate {
        label: seen.labels.get(Some(scored.class)).map_or("", |label| label),
        score: scored.score,
    });
    json(&Attributes {
        score: seen.score,
        since: Timestamp::from_unix_ms(seen.state.since_ms),
        previous: seen.state.previous.as_deref(),
        top: top.collect(),
        time: Timestamp::from_unix_ms(seen.unix_ms),
    })
}

/// No map, no failing field: there is always a text.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize)]
struct Attributes<'a> {
    score: f32,
    since: Timestamp,
    previous: Option<&'a str>,
    top: Vec<Candidate<'a>>,
    time: Timestamp,
}

#[derive(Serialize)]
struct Candidate<'a> {
    label: &'a str,
    score: f32,
}

/// Without a name of its own the sensor is called as the device is.
#[derive(Serialize)]
struct Sensor<'a> {
    name: Option<&'a str>,
    unique_id: &'a str,
    state_topic: &'a str,
    json_attributes_topic: &'a str,
    availability_topic: &'a str,
    device_class: &'a str,
    options: Vec<&'a str>,
    qos: u8,
    device: Device<'a>,
    origin: Origin<'a>,
}

#[derive(Serialize)]
struct Device<'a> {
    identifiers: [&'a str; 1],
    name: &'a str,
    manufacturer: &'a str,
    model: &'a str,
    sw_version: &'a str,
}

#[derive(Serialize)]
struct Origin<'a> {
    name: &'a str,
    sw_version: &'a str,
}
