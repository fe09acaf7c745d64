//! The two versions of MQTT, each of which has a client of its own, behind one face.

use std::io;
use std::time::Duration;

use rumqttc::{Outgoing, QoS, TlsConfiguration, Transport, tokio_rustls, v5};

use super::credentials::Credentials;
use super::settings::{Address, MqttVersion};

/// Messages that wait for the network at most. What does not fit waits as a state, in its newest form.
const QUEUE: usize = 64;

/// Bytes of the longest message: the list of all classes that an asset can have.
const MAX_MESSAGE: usize = 1 << 20;

/// What a connection needs.
pub(super) struct Plan<'a> {
    pub(super) version: MqttVersion,
    pub(super) address: &'a Address,
    pub(super) tls: Option<std::sync::Arc<tokio_rustls::rustls::ClientConfig>>,
    pub(super) client_id: &'a str,
    pub(super) credentials: Option<Credentials>,
    pub(super) keep_alive: Duration,
    pub(super) qos: u8,
    /// Topic and payload of what the broker says, retained, when the connection breaks.
    pub(super) will: (&'a str, &'a str),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connected,
    /// The goodbye was sent.
    Disconnected,
    Other,
}

/// Takes messages for the network.
pub(super) enum Client {
    V3(rumqttc::AsyncClient, QoS),
    V5(v5::AsyncClient, v5::mqttbytes::QoS),
}

/// Moves messages over the network.
pub(super) enum Link {
    V3(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// A connection that is made by the first [`Link::step`].
pub(super) fn open(plan: Plan<'_>) -> (Client, Link) {
    let (host, port, tls) = (&plan.address.host, plan.address.port, plan.tls);
    let transport = match tls {
        Some(config) => Transport::tls_with_config(TlsConfiguration::Rustls(config)),
        None => Transport::tcp(),
    };
    let (topic, payload) = plan.will;
    match plan.version {
        MqttVersion::V3 => {
            let qos = if plan.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let mut options = rumqttc::MqttOptions::new(plan.client_id, host, port);
            options.set_transport(transport).set_keep_alive(plan.keep_alive);
            options.set_max_packet_size(MAX_MESSAGE, MAX_MESSAGE);
            options.set_last_will(rumqttc::LastWill::new(topic, payload, qos, true));
            if let Some(login) = plan.credentials {
                options.set_credentials(login.username, login.password);
            }
            let (client, link) = rumqttc::AsyncClient::new(options, QUEUE);
            (Client::V3(client, qos), Link::V3(Box::new(link)))
        }
        MqttVersion::V5 => {
            use v5::mqttbytes::{QoS, v5::LastWill};
            let qos = if plan.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let mut options = v5::MqttOptions::new(plan.client_id, host, port);
            options.set_transport(transport).set_keep_alive(plan.keep_alive);
            options.set_last_will(LastWill::new(topic, payload, qos, true, None));
            if let Some(login) = plan.credentials {
                options.set_credentials(login.username, login.password);
            }
            let (client, link) = v5::AsyncClient::new(options, QUEUE);
            (Client::V5(client, qos), Link::V5(Box::new(link)))
        }
    }
}

impl Client {
    /// Has a message sent, retained by the broker; false when too many wait.
    pub(super) fn publish(&self, topic: &str, payload: &str) -> bool {
        match self {
            Self::V3(client, qos) => client.try_publish(topic, *qos, true, payload).is_ok(),
            Self::V5(client, qos) => {
                client.try_publish(topic, *qos, true, payload.to_owned()).is_ok()
            }
        }
    }

    /// Says goodbye after all that waits; false when too much does.
    pub(super) fn disconnect(&self) -> bool {
        match self {
            Self::V3(client, _) => client.try_disconnect().is_ok(),
            Self::V5(client, _) => client.try_disconnect().is_ok(),
        }
    }
}

impl Link {
    /// How often a sign of life is sent: a broker may have it another way than was asked for.
    pub(super) fn keep_alive(&self) -> Duration {
        match self {
            Self::V3(link) => link.mqtt_options.keep_alive(),
            Self::V5(link) => link.options.keep_alive(),
        }
    }

    /// Waits for the next thing that happens.
    ///
    /// # Errors
    /// Why there is no connection any more, in a person's words.
    pub(super) async fn step(&mut self) -> Result<Step, String> {
        match self {
            Self::V3(link) => match link.poll().await {
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(_))) => Ok(Step::Connected),
                Ok(rumqttc::Event::Outgoing(Outgoing::Disconnect)) => Ok(Step::Disconnected),
                Ok(_) => Ok(Step::Other),
                Err(error) => Err(explain_v3(&error)),
            },
            Self::V5(link) => match link.poll().await {
                Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::ConnAck(_))) => {
                    Ok(Step::Connected)
                }
                Ok(v5::Event::Outgoing(Outgoing::Disconnect)) => Ok(Step::Disconnected),
                Ok(_) => Ok(Step::Other),
                Err(error) => Err(explain_v5(&error)),
            },
        }
    }
}

const REFUSED: &str = "the broker refuses the user name or the password: check the credentials \
                       file, and that the broker knows them";
const CLOSED: &str = "the broker closed the connection";
const SILENT: &str = "no answer in time; is this the right address, and a broker behind it?";

fn explain_v3(error: &rumqttc::ConnectionError) -> String {
    use rumqttc::ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
    use rumqttc::{ConnectionError as E, StateError as S};
    match error {
        E::ConnectionRefused(BadUserNamePassword | NotAuthorized) => REFUSED.to_owned(),
        E::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?})"),
        E::NetworkTimeout | E::FlushTimeout => SILENT.to_owned(),
        E::MqttState(S::ConnectionAborted) => CLOSED.to_owned(),
        E::MqttState(S::Io(error) | S::Deserialization(rumqttc::mqttbytes::Error::Io(error))) => {
            broken(error)
        }
        E::Io(error) => unreachable_broker(error),
        E::Tls(error) => untrusted(error),
        error => format!("the connection broke ({error})"),
    }
}

fn explain_v5(error: &v5::ConnectionError) -> String {
    use v5::mqttbytes::v5::ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
    use v5::{ConnectionError as E, StateError as S};
    match error {
        E::ConnectionRefused(BadUserNamePassword | NotAuthorized) => REFUSED.to_owned(),
        E::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?})"),
        E::Timeout(_) => SILENT.to_owned(),
        E::MqttState(S::ConnectionAborted) => CLOSED.to_owned(),
        E::MqttState(S::Io(error) | S::Deserialization(v5::mqttbytes::Error::Io(error))) => {
            broken(error)
        }
        E::Io(error) => unreachable_broker(error),
        E::Tls(error) => untrusted(error),
        error => format!("the connection broke ({error})"),
    }
}

/// A broker that is killed may close a connection in either way.
fn broken(error: &io::Error) -> String {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset => CLOSED.to_owned(),
        _ => format!("the connection broke ({error})"),
    }
}

fn unreachable_broker(error: &io::Error) -> String {
    format!("{error}; is the broker running there, and is the address right?")
}

fn untrusted(error: &rumqttc::TlsError) -> String {
    format!(
        "no TLS connection ({error}); the broker's certificate must be valid, name this host, and be \
         signed by an authority in the mqtt ca file or of the system"
    )
}
