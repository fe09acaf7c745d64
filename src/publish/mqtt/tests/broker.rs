//! A real mosquitto, and somebody who listens to it.

use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use tempfile::TempDir;

/// What never happens fails after this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Broker {
    child: Option<Child>,
    program: PathBuf,
    pub(super) dir: TempDir,
    pub(super) port: u16,
}

impl Broker {
    /// A broker with these lines in its configuration, `DIR` in which is its folder; none, with a
    /// message, where there is no mosquitto.
    pub(super) fn start(config: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("left out: there is no mosquitto here");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Self { child: None, program, dir, port: free_port() };
        broker.configure(config);
        broker.run();
        Some(broker)
    }

    /// One that lets everybody in.
    pub(super) fn open() -> Option<Self> {
        Self::start("allow_anonymous true\n")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, config: &str) {
        let config = config.replace("DIR", &self.dir.path().display().to_string());
        // `user` keeps it from giving up the right to read its own files, where it is root's
        let text = format!("listener {} 127.0.0.1\nuser root\npersistence false\n", self.port);
        fs::write(self.path("mosquitto.conf"), text + &config).unwrap();
    }

    pub(super) fn run(&mut self) {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.path("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.path("log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "mosquitto does not start: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in the middle of what it does, or has it go on.
    #[cfg(unix)]
    pub(super) fn freeze(&self, frozen: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = Pid::from_raw(self.child.as_ref().unwrap().id() as i32).unwrap();
        kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian keeps it where only root's PATH leads.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join("mosquitto")).find(|program| program.is_file())
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Hears everything that a broker says from now on, and what it has retained.
pub(super) struct Listener {
    client: Client,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    /// By topic: the newest payload, and whether it was retained from before.
    topics: Mutex<HashMap<String, (String, bool)>>,
    changed: Condvar,
}

impl Listener {
    pub(super) fn new(port: u16, login: Option<(&str, &str)>) -> Self {
        let mut options = MqttOptions::new("listener", "127.0.0.1", port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        if let Some((name, password)) = login {
            options.set_credentials(name, password);
        }
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe("#", QoS::AtLeastOnce).unwrap();
        let heard = Arc::new(Heard::default());
        let to = Arc::clone(&heard);
        thread::spawn(move || {
            for event in connection.iter() {
                let Ok(event) = event else { return };
                if let Event::Incoming(Packet::Publish(message)) = event {
                    let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                    let mut topics = to.topics.lock().unwrap();
                    topics.insert(message.topic, (payload, message.retain));
                    to.changed.notify_all();
                }
            }
        });
        Self { client, heard }
    }

    /// Waits until `payload` is the newest message of `topic`; whether it was retained from before.
    #[track_caller]
    pub(super) fn until(&self, topic: &str, payload: &str) -> bool {
        self.wait(topic, |found| found == payload).1
    }

    /// Waits for a message of `topic` that is `right`.
    #[track_caller]
    pub(super) fn wait(&self, topic: &str, right: impl Fn(&str) -> bool) -> (String, bool) {
        let topics = self.heard.topics.lock().unwrap();
        let missing = |topics: &mut HashMap<String, (String, bool)>| {
            topics.get(topic).is_none_or(|(payload, _)| !right(payload))
        };
        let (topics, time) =
            self.heard.changed.wait_timeout_while(topics, PATIENCE, missing).unwrap();
        assert!(!time.timed_out(), "{topic} is not as it should be: {:#?}", *topics);
        topics[topic].clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // a broker that is gone needs no goodbye
        let _ = self.client.try_disconnect();
    }
}

/// Hands bytes on between a client and a broker until it is cut, as a cable is.
pub(super) struct Cable {
    pub(super) port: u16,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    pub(super) fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&ends);
        thread::spawn(move || {
            // one connection: nobody is let in after the cut
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect(("127.0.0.1", broker)).unwrap();
            *held.lock().unwrap() = vec![near.try_clone().unwrap(), far.try_clone().unwrap()];
            drop(listener);
            let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (near, far);
            let _ = std::io::copy(&mut from, &mut to);
        });
        Self { port, ends }
    }

    pub(super) fn cut(&self) {
        for end in self.ends.lock().unwrap().iter() {
            end.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}
