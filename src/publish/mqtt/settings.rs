use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::super::change::plain;
use super::super::{PublishError, host_name};
use super::credentials::Credentials;

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MqttVersion {
    /// 3.1.1, which every broker knows.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// 5.
    #[serde(rename = "5")]
    V5,
}

impl FromStr for MqttVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "3.1.1" => Ok(Self::V3),
            "5" => Ok(Self::V5),
            _ => Err("write 3.1.1 or 5"),
        }
    }
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

/// Where and how states are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttSettings {
    /// The broker: `mqtt://HOST[:1883]`, or `mqtts://HOST[:8883]` with TLS.
    pub url: String,
    /// Which MQTT is spoken.
    pub version: MqttVersion,
    /// First level of the topics.
    pub prefix: String,
    /// Second level of the topics, and this camera's name for the broker; none: the host's name.
    pub node: Option<String>,
    /// The camera's name for people, in Home Assistant; none: the node.
    pub name: Option<String>,
    /// A file with a line `username=...` and a line `password=...`.
    pub credentials: Option<PathBuf>,
    /// A PEM file of the authorities that may have signed the broker's certificate; none: those of
    /// the system.
    pub ca: Option<PathBuf>,
    /// Whether Home Assistant is told what there is.
    pub discovery: bool,
    /// First level of the topics on which Home Assistant is told.
    pub discovery_prefix: String,
    /// Seconds of silence after which a sign of life is sent, at least 5.
    pub keep_alive: u16,
    /// 0: sent once; 1: sent until it is acknowledged.
    pub qos: u8,
    /// Seconds after which the attributes are sent although nothing changed; none: never.
    pub heartbeat: Option<u32>,
}

impl Default for MqttSettings {
    fn default() -> Self {
        Self {
            url: "mqtt://localhost:1883".to_owned(),
            version: MqttVersion::default(),
            prefix: "tipcam".to_owned(),
            node: None,
            name: None,
            credentials: None,
            ca: None,
            discovery: true,
            discovery_prefix: "homeassistant".to_owned(),
            keep_alive: 30,
            qos: 1,
            heartbeat: None,
        }
    }
}

impl MqttSettings {
    /// Refuses what could never work.
    pub(super) fn check(&self) -> Result<(), PublishError> {
        Address::parse(&self.url)?;
        for (name, prefix) in
            [("prefix", &self.prefix), ("discovery_prefix", &self.discovery_prefix)]
        {
            let bad = |c: char| matches!(c, '+' | '#' | '$') || c.is_control();
            if prefix.is_empty() || prefix.len() > 200 || prefix.contains(bad) {
                return Err(PublishError::setting(
                    format!("mqtt {name} {prefix:?}"),
                    "is no topic",
                    "write a word without + # $, like tipcam",
                ));
            }
        }
        if self.keep_alive < 5 {
            let reason = format!("{} s is too short", self.keep_alive);
            return Err(PublishError::setting(
                "mqtt keep_alive",
                reason,
                "write 5 or more seconds",
            ));
        }
        if self.qos > 1 {
            let reason = format!("{} is not known", self.qos);
            return Err(PublishError::setting("mqtt qos", reason, "write 0 or 1"));
        }
        if self.heartbeat == Some(0) {
            let remedy = "write 1 or more seconds, or leave it out";
            return Err(PublishError::setting("mqtt heartbeat", "0 s is too short", remedy));
        }
        if let Some(path) = &self.credentials {
            Credentials::read(path)?;
        }
        Ok(())
    }

    /// The node, as a part of a topic.
    pub(super) fn node(&self) -> String {
        let node = self.node.clone().or_else(host_name).map(|name| plain(&name));
        node.filter(|name| !name.is_empty()).unwrap_or_else(|| "tipcam".to_owned())
    }
}

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, PublishError> {
        let invalid = |reason: &str| {
            PublishError::setting(
                format!("mqtt url {url:?}"),
                reason,
                "write mqtt://HOST, mqtt://HOST:PORT or, with TLS, mqtts://HOST",
            )
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("has no mqtt://"))?;
        let (tls, port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(invalid("is neither mqtt:// nor mqtts://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            // not repeated: it may hold a password
            return Err(PublishError::setting(
                "mqtt url",
                "has a user name in it, which every user of this machine could read",
                "write it into a file and give that as mqtt credentials",
            ));
        }
        let (host, port) = match rest.rsplit_once(':') {
            // the colons of an IPv6 address are inside of brackets
            Some((host, text)) if !text.ends_with(']') => {
                (host, text.parse().map_err(|_| invalid("has no valid port"))?)
            }
            _ => (rest, port),
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#');
        if host.is_empty() || host.contains(bad) || port == 0 {
            return Err(invalid("has no valid host"));
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused() {
        let parse = |url| Address::parse(url).map(|found| (found.host, found.port, found.tls));
        assert_eq!(parse("mqtt://broker").unwrap(), ("broker".to_owned(), 1883, false));
        assert_eq!(parse("mqtts://10.0.0.1:99/").unwrap(), ("10.0.0.1".to_owned(), 99, true));
        assert_eq!(parse("mqtt://[::1]").unwrap(), ("[::1]".to_owned(), 1883, false));
        assert_eq!(parse("mqtt://[::1]:7").unwrap(), ("[::1]".to_owned(), 7, false));
        for bad in ["broker", "http://broker", "mqtt://", "mqtt://a:x", "mqtt://a:0", "mqtt://a/b"]
        {
            assert!(parse(bad).unwrap_err().to_string().contains("mqtt://HOST"), "{bad}");
        }
        let told = parse("mqtt://me:secret@broker").unwrap_err().to_string();
        assert!(!told.contains("secret") && told.contains("credentials"), "{told}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let told = |change: &dyn Fn(&mut MqttSettings)| {
            let mut settings = MqttSettings::default();
            settings.check().unwrap();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(told(&|s| s.prefix = "a/#".into()).starts_with("mqtt prefix"));
        assert!(told(&|s| s.discovery_prefix = String::new()).starts_with("mqtt discovery_prefix"));
        assert!(told(&|s| s.keep_alive = 4).starts_with("mqtt keep_alive"));
        assert!(told(&|s| s.qos = 2).starts_with("mqtt qos"));
        assert!(told(&|s| s.heartbeat = Some(0)).starts_with("mqtt heartbeat"));
    }

    #[test]
    fn settings_are_written_as_they_are_read() {
        let settings: MqttSettings =
            serde_json::from_str(r#"{"version":"5","qos":0,"ca":"/etc/ca.pem"}"#).unwrap();
        assert_eq!((settings.version, settings.qos), (MqttVersion::V5, 0));
        assert_eq!(settings.version.to_string().parse(), Ok(MqttVersion::V5));
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<MqttSettings>(&text).unwrap(), settings);
        assert!(serde_json::from_str::<MqttSettings>(r#"{"pasword":"x"}"#).is_err());
    }

    #[test]
    fn a_node_is_one_level_of_a_topic() {
        let node =
            |name: &str| MqttSettings { node: Some(name.into()), ..MqttSettings::default() }.node();
        assert_eq!(node("back door/2"), "back_door_2");
        assert_eq!(node(""), "tipcam");
        assert!(!MqttSettings::default().node().is_empty());
    }
}
