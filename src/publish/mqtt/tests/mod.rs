mod broker;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use self::broker::{Broker, Cable, Listener, free_port};
use super::super::change::tests::{event, labels};
use super::*;

/// What a sink says of trouble.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn tell(&self) -> Tell {
        let to = Arc::clone(&self.0);
        Arc::new(move |text: &str| to.lock().unwrap().push(text.to_owned()))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until something with these words is said.
    #[track_caller]
    fn until(&self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.all().into_iter().find(|text| text.contains(words)) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no {words:?} in {:?}", self.all());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn settings(url: String, version: MqttVersion) -> MqttSettings {
    let node = Some("hall cam".to_owned());
    MqttSettings { url, version, node, ..MqttSettings::default() }
}

const AVAILABILITY: &str = "tipcam/hall_cam/availability";
const STATE: &str = "tipcam/hall_cam/view/state";

/// A state is published, kept for those who come later, and taken back at a stop.
fn a_late_subscriber_sees_the_state(version: MqttVersion) {
    let Some(broker) = Broker::open() else { return };
    let told = Told::default();
    let mut mqtt = Mqtt::new(settings(broker.url(), version), told.tell()).unwrap();
    let early = Listener::new(broker.port, None);
    let classes = labels(["cat", "unknown", "Tür \"1\""]);
    mqtt.frame(&Frame::new(), &event(0, &classes, &[(None, None)]));
    early.until(STATE, "unknown");
    early.until(AVAILABILITY, "online");
    mqtt.frame(&Frame::new(), &event(1, &classes, &[(None, Some(0))]));
    early.until(STATE, "cat");
    mqtt.frame(&Frame::new(), &event(2, &classes, &[(None, Some(2))]));
    mqtt.frame(&Frame::new(), &event(3, &classes, &[(None, Some(2))]));
    early.until(STATE, "Tür \"1\"");
    early.wait("tipcam/hall_cam/view/attributes", |text| text.contains(r#""previous":"cat""#));

    let late = Listener::new(broker.port, None);
    assert!(late.until(STATE, "Tür \"1\""), "it is retained");
    assert!(late.until(AVAILABILITY, "online"), "it is retained");
    let (attributes, retained) = late.wait("tipcam/hall_cam/view/attributes", |_| true);
    assert!(retained);
    let attributes: Value = serde_json::from_str(&attributes).unwrap();
    assert_eq!(attributes["score"], 0.75);
    assert_eq!(attributes["since"], "2023-11-14T22:13:20.200Z");
    assert_eq!(attributes["previous"], "cat");
    assert!(attributes["top"].is_array());

    let topic = "homeassistant/sensor/tipcam_hall_cam_view/config";
    let (config, retained) = late.wait(topic, |_| true);
    assert!(retained);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["state_topic"], STATE);
    assert_eq!(config["json_attributes_topic"], "tipcam/hall_cam/view/attributes");
    assert_eq!(config["availability_topic"], AVAILABILITY);
    assert_eq!(config["unique_id"], "tipcam_hall_cam_view");
    assert_eq!(config["device_class"], "enum");
    assert_eq!(config["options"], serde_json::json!(["cat", "Tür \"1\"", "unknown"]));
    assert_eq!(config["name"], Value::Null);
    assert_eq!(config["device"]["identifiers"], serde_json::json!(["tipcam_hall_cam"]));
    assert_eq!(config["device"]["name"], "hall_cam");
    assert_eq!(config["origin"]["name"], "tipcam");

    // a class is taught: the options follow although the state does not change
    let more = labels(["cat", "Tür \"1\"", "cup"]);
    mqtt.frame(&Frame::new(), &event(4, &more, &[(None, Some(1))]));
    late.wait(topic, |config| config.contains(r#""options":["cat","Tür \"1\"","cup","unknown"]"#));

    let lost = mqtt.lost();
    drop(mqtt);
    late.until(AVAILABILITY, "offline");
    assert_eq!((lost.count(), told.all().len()), (0, 0), "{:?}", told.all());
}

#[test]
fn a_late_subscriber_sees_the_state_by_mqtt_3() {
    a_late_subscriber_sees_the_state(MqttVersion::V3);
}

#[test]
fn a_late_subscriber_sees_the_state_by_mqtt_5() {
    a_late_subscriber_sees_the_state(MqttVersion::V5);
}

#[test]
fn a_camera_that_vanishes_is_offline_by_its_last_will() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let Some(broker) = Broker::open() else { return };
        let cable = Cable::to(broker.port);
        let url = format!("mqtt://127.0.0.1:{}", cable.port);
        let told = Told::default();
        let _mqtt = Mqtt::new(settings(url, version), told.tell()).unwrap();
        let listener = Listener::new(broker.port, None);
        listener.until(AVAILABILITY, "online");
        cable.cut();
        listener.until(AVAILABILITY, "offline");
        assert!(Listener::new(broker.port, None).until(AVAILABILITY, "offline"), "it is retained");
    }
}

#[test]
fn a_broker_that_forgot_everything_is_told_again() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let Some(mut broker) = Broker::open() else { return };
        let told = Told::default();
        let mut mqtt = Mqtt::new(settings(broker.url(), version), told.tell()).unwrap();
        let classes = labels(["a", "b", "c", "d"]);
        let mut change = |number, class| {
            let views = [(Some("left/door"), Some(class)), (Some("left+door"), None)];
            mqtt.frame(&Frame::new(), &event(number, &classes, &views));
        };
        change(0, 0);
        let listener = Listener::new(broker.port, None);
        listener.until("tipcam/hall_cam/left_door/state", "a");
        drop(listener);
        broker.stop();
        told.until("the broker closed the connection");
        for class in 1..4 {
            change(class as u64, class);
        }
        broker.run();
        let listener = Listener::new(broker.port, None);
        listener.until("tipcam/hall_cam/left_door/state", "d");
        listener.until("tipcam/hall_cam/left_door_2/state", "unknown");
        listener.until(AVAILABILITY, "online");
        let sensor = "homeassistant/sensor/tipcam_hall_cam_left_door/config";
        listener.wait(sensor, |config| config.contains(r#""name":"left/door""#));
        told.until("connected");
        assert_eq!(mqtt.lost().count(), 2, "b and c were never told");
    }
}

#[test]
fn a_wrong_password_is_told_clearly_and_can_be_mended_while_it_runs() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let config = "allow_anonymous false\npassword_file DIR/users\n";
        // the broker needs the file at its start: it is made with a broker that was never asked
        let Some(mut broker) = Broker::open() else { return };
        broker.stop();
        let users = broker.path("users");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&users)
            .args(["camera", "right"])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("left out: there is no mosquitto_passwd here");
            return;
        }
        let open = fs::read_to_string(broker.path("mosquitto.conf")).unwrap();
        let config = config.replace("DIR", &broker.dir.path().display().to_string());
        let closed = open.replace("allow_anonymous true\n", &config);
        fs::write(broker.path("mosquitto.conf"), closed).unwrap();
        broker.run();

        let credentials = broker.path("credentials");
        fs::write(&credentials, "username=camera\npassword=wrong\n").unwrap();
        let told = Told::default();
        let settings = MqttSettings {
            credentials: Some(credentials.clone()),
            ..settings(broker.url(), version)
        };
        let mut mqtt = Mqtt::new(settings, told.tell()).unwrap();
        mqtt.frame(&Frame::new(), &event(0, &labels(["a"]), &[(None, Some(0))]));
        let said = told.until("refuses the user name or the password");
        assert!(said.contains(&broker.url()) && !said.contains("wrong"), "{said}");
        #[cfg(unix)]
        assert!(told.all()[0].contains("chmod 600"), "{:?}", told.all());
        // it asks again after a pause, not at once
        thread::sleep(Duration::from_millis(500));
        let log = fs::read_to_string(broker.path("log")).unwrap();
        let asked = log.matches("disconnected, not authorised").count();
        assert!((1..=2).contains(&asked), "{log}");

        fs::write(&credentials, "username=camera\npassword=right\n").unwrap();
        let listener = Listener::new(broker.port, Some(("camera", "right")));
        listener.until(STATE, "a");
    }
}

#[test]
fn tls_is_spoken_with_a_broker_whose_authority_is_known_and_with_no_other() {
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), rcgen::Issuer::new(params, key))
    };
    let (known, issuer) = authority("known");
    let (foreign, _) = authority("foreign");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();

    let Some(mut broker) = Broker::open() else { return };
    broker.stop();
    for (name, text) in [
        ("known.pem", known),
        ("foreign.pem", foreign),
        ("broker.pem", certificate.pem()),
        ("broker.key", key.serialize_pem()),
    ] {
        fs::write(broker.path(name), text).unwrap();
    }
    let secret = free_port();
    let dir = broker.dir.path().display();
    let config = format!(
        "{}listener {secret} 127.0.0.1\ncertfile {dir}/broker.pem\nkeyfile {dir}/broker.key\n",
        fs::read_to_string(broker.path("mosquitto.conf")).unwrap()
    );
    fs::write(broker.path("mosquitto.conf"), config).unwrap();
    broker.run();

    for version in [MqttVersion::V3, MqttVersion::V5] {
        let told = Told::default();
        let with = |ca: &str, node: &str| MqttSettings {
            ca: Some(broker.path(ca)),
            node: Some(node.to_owned()),
            ..settings(format!("mqtts://localhost:{secret}"), version)
        };
        let listener = Listener::new(broker.port, None);
        let _good = Mqtt::new(with("known.pem", "good"), told.tell()).unwrap();
        listener.until("tipcam/good/availability", "online");
        assert_eq!(told.all().len(), 0, "{:?}", told.all());
        let _bad = Mqtt::new(with("foreign.pem", "bad"), told.tell()).unwrap();
        let said = told.until("no TLS connection");
        assert!(said.contains("UnknownIssuer"), "{said}");
        let refused = Mqtt::new(with("broker.key", "none"), told.tell()).err().unwrap().to_string();
        assert!(refused.contains("BEGIN CERTIFICATE"), "{refused}");
    }
}

#[test]
fn a_broker_that_never_answers_costs_its_own_events_and_nothing_else() {
    // it takes the connection and says nothing; the next one finds nobody at all
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", silent.local_addr().unwrap());
    for (url, version) in [
        (url.clone(), MqttVersion::V3),
        (url, MqttVersion::V5),
        (format!("mqtt://127.0.0.1:{}", free_port()), MqttVersion::V3),
    ] {
        let told = Told::default();
        let mut mqtt = Mqtt::new(settings(url, version), told.tell()).unwrap();
        let classes = labels(["a", "b"]);
        for number in 0..10_000 {
            let class = Some(number as usize % 2);
            mqtt.frame(&Frame::new(), &event(number, &classes, &[(None, class)]));
        }
        assert_eq!(mqtt.lost().count(), 9_999, "all but the one that waits");
    }
}

#[cfg(unix)]
#[test]
fn a_broker_that_freezes_holds_up_no_frame_and_gets_the_newest_state_later() {
    for version in [MqttVersion::V3, MqttVersion::V5] {
        let Some(broker) = Broker::open() else { return };
        let told = Told::default();
        let mut mqtt = Mqtt::new(settings(broker.url(), version), told.tell()).unwrap();
        let listener = Listener::new(broker.port, None);
        listener.until(AVAILABILITY, "online");
        broker.freeze(true);
        let classes = labels(["a", "b", "c"]);
        for number in 0..10_000 {
            let class = Some(number as usize % 2);
            mqtt.frame(&Frame::new(), &event(number, &classes, &[(None, class)]));
        }
        mqtt.frame(&Frame::new(), &event(10_000, &classes, &[(None, Some(2))]));
        broker.freeze(false);
        listener.until(STATE, "c");
        assert_eq!(told.all().len(), 0, "{:?}", told.all());
    }
}

#[test]
fn the_heartbeat_tells_the_score_again_though_nothing_changes() {
    let Some(broker) = Broker::open() else { return };
    let beating = MqttSettings { heartbeat: Some(5), ..settings(broker.url(), MqttVersion::V3) };
    let mut mqtt = Mqtt::new(beating, Told::default().tell()).unwrap();
    let listener = Listener::new(broker.port, None);
    let classes = labels(["a"]);
    let topic = "tipcam/hall_cam/view/attributes";
    let mut frame = |number, score| {
        let mut event = event(number, &classes, &[(None, Some(0))]);
        event.views[0].stable.score = score;
        mqtt.frame(&Frame::new(), &event);
    };
    frame(0, 0.5);
    listener.wait(topic, |text| text.contains(r#""score":0.5"#));
    // frames are 100 ms apart: 49 is before the beat
    frame(49, 0.625);
    frame(50, 0.875);
    let (attributes, _) = listener.wait(topic, |text| !text.contains(r#""score":0.5"#));
    let attributes: Value = serde_json::from_str(&attributes).unwrap();
    assert_eq!(attributes["score"], 0.875);
    assert_eq!(attributes["since"], "2023-11-14T22:13:20.000Z");
    assert_eq!(attributes["time"], "2023-11-14T22:13:25.000Z");
}
