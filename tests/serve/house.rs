//! A camera loop with its page, as `watch --serve` puts it together, in front of a wall of photographs.

use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tipcam::asset::AssetFile;
use tipcam::fit::matrix::Workers;
use tipcam::fit::owned_projector;
use tipcam::frame::{self, Frame, Region};
use tipcam::kernels;
use tipcam::pipeline::Classifier;
use tipcam::serve::{self, Keeper, Live, Parts, Server, Settings};
use tipcam::state::{self, Store};
use tipcam::watch::{Captured, Desk, Engine, Event, Health, Options, Policy, Relay, Shot, Stopper};

pub(crate) const ASSET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.tipcam");
pub(crate) const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo");

/// Long enough for any machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// What the camera sees: one photograph until another one is shown.
pub(crate) struct Wall {
    photographs: Vec<(Arc<str>, Frame)>,
    shown: AtomicUsize,
    covered: AtomicBool,
}

impl Wall {
    fn new() -> Self {
        let mut paths: Vec<_> = fs::read_dir(DEMO).unwrap().map(|e| e.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "jpg"));
        paths.sort();
        let read = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            (Arc::from(&*name), frame::read(path).unwrap())
        };
        let photographs = paths.iter().map(read).collect();
        Self { photographs, shown: AtomicUsize::new(0), covered: AtomicBool::new(false) }
    }

    /// Puts the photograph of that name in front of the camera.
    pub(crate) fn show(&self, name: &str) {
        let at = self.photographs.iter().position(|(other, _)| other.starts_with(name)).unwrap();
        self.shown.store(at, Ordering::Relaxed);
    }

    /// The camera gives no more frames, or does again.
    pub(crate) fn cover(&self, covered: bool) {
        self.covered.store(covered, Ordering::Relaxed);
    }

    fn next(&self, shot: &mut Shot) {
        while self.covered.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        let (name, frame) = &self.photographs[self.shown.load(Ordering::Relaxed)];
        shot.frame.resize(frame.width(), frame.height());
        shot.frame.pixels_mut().copy_from_slice(frame.pixels());
        shot.source = Arc::clone(name);
    }
}

/// The whole, until it is dropped.
pub(crate) struct House {
    pub(crate) wall: Arc<Wall>,
    pub(crate) health: Arc<Health>,
    pub(crate) address: SocketAddr,
    server: Option<Server>,
    stopper: Stopper<Shot>,
    looped: Option<JoinHandle<()>>,
    parts: Parts,
    pub(crate) token: Option<String>,
}

/// What an answer was.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The sentence of a problem, which has to have this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl House {
    /// What was learned in `folder` before is known; the page is at any free port of this machine.
    pub(crate) fn open(folder: &Path) -> Self {
        Self::with(
            folder,
            Settings { address: "127.0.0.1:0".parse().unwrap(), ..Settings::default() },
        )
    }

    pub(crate) fn with(folder: &Path, settings: Settings) -> Self {
        Self::looking(folder, settings, Vec::new())
    }

    /// The same, with an answer for each region.
    pub(crate) fn looking(folder: &Path, settings: Settings, regions: Vec<Region>) -> Self {
        let base = AssetFile::open(ASSET).unwrap();
        let workers = Workers { kernels: kernels::best(), threads: 2 };
        let classifier = Classifier::new(&base, workers.kernels, workers.threads).unwrap();
        let project = owned_projector(&base, workers.kernels).unwrap();
        let options = state::Options::default();
        let store = Store::open(base.clone(), folder, options, project, workers).unwrap();
        let relay = Relay::<Shot, Event>::new(Policy::NewestWins);
        let desk = Desk::new(relay.waker());
        let labels = regions.iter().map(Region::label).collect();
        let keeper = Keeper::new(store, &base, desk.clone(), labels, workers).unwrap();
        let health = Arc::new(Health::default());
        let (live, lens) = Live::new(Arc::clone(&health));
        let options = Options { top: 5, regions, ..Options::default() };
        let sinks = vec![Box::new(lens) as _];
        let mut engine =
            Engine::new(classifier, options, desk, sinks, Arc::clone(&health)).unwrap();
        let token = settings.token.as_ref().map(|token| token.text().to_owned());
        let parts = Parts {
            keeper: Arc::new(keeper),
            live,
            health: Arc::clone(&health),
            metrics: Some(Arc::new(|| "tipcam_up 1\n".to_owned())),
        };
        let server = serve::start(settings, parts.clone()).unwrap();
        let wall = Arc::new(Wall::new());
        let stopper = relay.stopper();
        let (camera, working) = (Arc::clone(&wall), Arc::clone(&health));
        let looped = thread::spawn(move || {
            let capture = move |shot: &mut Shot| {
                thread::sleep(Duration::from_millis(2));
                camera.next(shot);
                working.frame_came();
                Ok::<_, Infallible>(true)
            };
            let answer = |captured: Option<&Captured<Shot>>, event: &mut Event| {
                engine.answer(captured, event)
            };
            relay.run(capture, |_| (), answer, |_, _| Ok(())).unwrap();
        });
        let address = server.address();
        let (server, looped) = (Some(server), Some(looped));
        Self { wall, health, address, server, stopper, looped, parts, token }
    }

    /// What is served.
    pub(crate) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Ends the page alone.
    pub(crate) fn stop_page(&mut self) {
        self.server.take().unwrap().stop();
    }

    /// Sends a request as it is written here, and gives the connection.
    pub(crate) fn send(&self, start: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{start} HTTP/1.1\r\nConnection: close\r\n");
        let given = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !given("Host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        if !given("Content-Length") && !given("Transfer-Encoding") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        if let Some(token) = self.token.as_ref().filter(|_| !given("Authorization")) {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // who refuses at once does not read the rest
        let _ = stream.write_all(body);
        stream
    }

    pub(crate) fn raw(&self, start: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        let mut stream = self.send(start, headers, body);
        let mut all = Vec::new();
        // a connection that is reset after the answer has brought the answer
        let _ = stream.read_to_end(&mut all);
        answered(&all)
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.raw(&format!("GET {path}"), &[], b"")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Answered {
        let headers = [("Content-Type", "application/json")];
        self.raw(&format!("{method} {path}"), &headers, body.to_string().as_bytes())
    }

    pub(crate) fn delete(&self, path: &str) -> Answered {
        self.raw(&format!("DELETE {path}"), &[], b"")
    }

    pub(crate) fn undo(&self) -> Answered {
        self.json("POST", "/v1/undo", &Value::Null)
    }

    pub(crate) fn picture(&self, path: &str, picture: &[u8]) -> Answered {
        self.raw(&format!("POST {path}"), &[("Content-Type", "image/jpeg")], picture)
    }

    /// Waits until the newest answer is `label`.
    #[track_caller]
    pub(crate) fn sees(&self, label: &str) {
        eventually(&format!("{label} is seen"), || {
            let status = self.get("/v1/status").fine().json();
            status["latest"][0]["raw"] == label
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.wall.cover(false);
        self.stopper.stop();
        // a failed loop has failed the test already
        let _ = self.looped.take().map(JoinHandle::join);
    }
}

/// Takes an answer apart.
fn answered(all: &[u8]) -> Answered {
    let split = all.windows(4).position(|four| four == b"\r\n\r\n");
    let split = split.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(all)));
    let head = String::from_utf8(all[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = all[split + 4..].to_vec();
    Answered { status, head: head.to_ascii_lowercase(), body }
}

/// Asks again and again, for a long time.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn photograph(name: &str) -> Vec<u8> {
    fs::read(Path::new(DEMO).join(name)).unwrap()
}
