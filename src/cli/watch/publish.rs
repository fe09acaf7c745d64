//! Who hears of changes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;

use crate::cli::note;
use crate::publish::{
    Examples, ExamplesSettings, Exec, ExecSettings, Lost, Mqtt, MqttSettings, MqttVersion, Tell,
};
use crate::watch::Sink;

/// Who listens, and what they could not bear.
pub(super) struct Started {
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) lost: Vec<Lost>,
}

#[derive(Args)]
pub(super) struct Publish {
    #[command(flatten)]
    mqtt: MqttArgs,
    #[command(flatten)]
    exec: ExecArgs,
    #[command(flatten)]
    examples: ExamplesArgs,
}

#[derive(Args)]
#[command(next_help_heading = "MQTT")]
struct MqttArgs {
    /// Tell an MQTT broker of changes: mqtt://HOST or mqtts://HOST
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,

    /// A file with the lines username=... and password=...
    #[arg(long, value_name = "FILE")]
    mqtt_credentials: Option<PathBuf>,

    /// Certificates that the broker's may be signed by [default: those of the system]
    #[arg(long, value_name = "FILE")]
    mqtt_ca: Option<PathBuf>,

    /// Version of the protocol: 3.1.1 or 5
    #[arg(long, value_name = "VERSION", default_value_t = MqttVersion::default())]
    mqtt_version: MqttVersion,

    /// First level of the topics
    #[arg(long, value_name = "TOPIC", default_value = "tipcam")]
    mqtt_prefix: String,

    /// Second level of the topics [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    mqtt_node: Option<String>,

    /// What Home Assistant calls the camera [default: the node]
    #[arg(long, value_name = "NAME")]
    mqtt_name: Option<String>,

    /// Whether Home Assistant is told what there is
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    mqtt_discovery: bool,

    /// First level of Home Assistant's topics
    #[arg(long, value_name = "TOPIC", default_value = "homeassistant")]
    mqtt_discovery_prefix: String,

    /// Seconds of silence after which a sign of life is sent
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    mqtt_keep_alive: u16,

    /// 0: sent once; 1: sent until it is acknowledged
    #[arg(long, value_name = "QOS", default_value_t = 1)]
    mqtt_qos: u8,

    /// Seconds after which the attributes are sent although nothing changed [default: never]
    #[arg(long, value_name = "SECONDS")]
    mqtt_heartbeat: Option<u32>,
}

#[derive(Args)]
#[command(next_help_heading = "Exec")]
struct ExecArgs {
    /// Run a command on each change, with TIPCAM_LABEL, TIPCAM_PREVIOUS, TIPCAM_REGION, TIPCAM_SCORE and
    /// TIPCAM_TIME in its environment and the JSON line on its standard input
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// Seconds after which it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    exec_time_limit: u32,
}

#[derive(Args)]
#[command(next_help_heading = "Examples")]
struct ExamplesArgs {
    /// Keep pictures of hard cases (unknown, unsure, changes) in this folder
    #[arg(long, value_name = "DIR")]
    examples: Option<PathBuf>,

    /// Megabytes that they may take: the oldest make room
    #[arg(long, value_name = "MB", default_value_t = 250)]
    examples_max_megabytes: u32,

    /// Seconds between two of them, at least
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    examples_interval: f32,

    /// How many in a minute, at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    examples_per_minute: u32,

    /// An answer is unsure when the two best classes are nearer to each other than this
    #[arg(long, value_name = "P", default_value_t = 0.2)]
    examples_margin: f32,
}

impl Publish {
    /// Starts what was asked for, and gives it with the counts of what it lost.
    pub(super) fn sinks(&self) -> Result<Started> {
        let tell: Tell = Arc::new(note);
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        let mut lost = Vec::new();
        if let Some(settings) = self.mqtt.settings() {
            let mqtt = Mqtt::new(settings, Arc::clone(&tell)).context("--mqtt")?;
            lost.push(mqtt.lost());
            sinks.push(Box::new(mqtt));
        }
        if let Some(command) = self.exec.exec.clone() {
            let settings = ExecSettings { command, time_limit: self.exec.exec_time_limit };
            let exec = Exec::new(settings, Arc::clone(&tell)).context("--exec")?;
            lost.push(exec.lost());
            sinks.push(Box::new(exec));
        }
        if let Some(settings) = self.examples.settings() {
            let examples = Examples::new(settings, tell).context("--examples")?;
            lost.push(examples.lost());
            sinks.push(Box::new(examples));
        }
        Ok(Started { sinks, lost })
    }
}

impl MqttArgs {
    fn settings(&self) -> Option<MqttSettings> {
        Some(MqttSettings {
            url: self.mqtt.clone()?,
            version: self.mqtt_version,
            prefix: self.mqtt_prefix.clone(),
            node: self.mqtt_node.clone(),
            name: self.mqtt_name.clone(),
            credentials: self.mqtt_credentials.clone(),
            ca: self.mqtt_ca.clone(),
            discovery: self.mqtt_discovery,
            discovery_prefix: self.mqtt_discovery_prefix.clone(),
            keep_alive: self.mqtt_keep_alive,
            qos: self.mqtt_qos,
            heartbeat: self.mqtt_heartbeat,
        })
    }
}

impl ExamplesArgs {
    fn settings(&self) -> Option<ExamplesSettings> {
        Some(ExamplesSettings {
            directory: self.examples.clone()?,
            max_megabytes: self.examples_max_megabytes,
            interval: self.examples_interval,
            per_minute: self.examples_per_minute,
            margin: self.examples_margin,
        })
    }
}
