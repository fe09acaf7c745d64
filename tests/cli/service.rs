//! `tipcam watch` as a service: configuration, signals, page, what is learned, and who hears of it.

use super::watch::Running;
use super::*;

/// A watch that serves its page; the address is read from what it says.
struct Served {
    running: Running,
    url: String,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let all = [&["watch", "--serve", "127.0.0.1:0"][..], args].concat();
        let mut running = Running::start(&all);
        let err = BufReader::new(running.0.stderr.take().unwrap());
        let (to, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in err.lines() {
                let _ = to.send(line.unwrap());
            }
        });
        // its lines are not read here, and they must not fill the pipe
        let mut out = running.0.stdout.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let mut served = Self { running, url: String::new(), lines };
        served.url = served.says("the page: ").trim_end_matches('/').to_owned();
        served
    }

    /// What follows `begin` on the line that begins so.
    fn says(&self, begin: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(300)).expect("it says no more");
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.to_owned();
            }
        }
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(format!("{}{path}", self.url)).call().unwrap();
        answer.body_mut().read_json().unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut answer = ureq::post(format!("{}{path}", self.url)).send_json(body).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.running.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// The exit code after SIGTERM, and how long the end took.
    #[cfg(unix)]
    fn stop(self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal("TERM");
        let mut running = self.running;
        running.0.stderr = None;
        let code = loop {
            if let Some(status) = running.0.try_wait().unwrap() {
                break status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(300), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        (code, begun.elapsed())
    }
}

/// A folder with one grey picture that no class looks like, for a camera that sees nothing else.
fn scene(folder: &TempDir) -> String {
    let scene = path(folder, "scene");
    fs::create_dir(&scene).unwrap();
    write_stripes(&format!("{scene}/1.ppm"), 64);
    scene
}

#[cfg(unix)]
#[test]
fn what_is_taught_through_the_page_is_recognised_and_outlives_the_program() {
    needs_asset!();
    let folder = folder();
    let (scene, state) = (scene(&folder), path(&folder, "state"));
    let args = [&*scene, "--loop", "--rate", "20", "--state", &state];
    let served = Served::start(&args);
    let taught = served.post("/v1/learn", &serde_json::json!({"label": "my stripes", "frames": 8}));
    assert_eq!(taught["keys"].as_array().unwrap().len(), 8);
    assert_eq!(taught["new_class"], true);
    let begun = Instant::now();
    let sees = |served: &Served| served.get("/v1/status")["latest"][0]["raw"].clone();
    while sees(&served) != "my stripes" {
        assert!(begun.elapsed() < Duration::from_secs(300), "{}", sees(&served));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, took) = served.stop();
    assert_eq!(code, Some(0));
    println!("ended {took:?} after SIGTERM");

    let served = Served::start(&args);
    let status = served.get("/v1/status");
    assert_eq!((&status["classes"], &status["durable"]), (&101.into(), &true.into()));
    let begun = Instant::now();
    while sees(&served) != "my stripes" {
        assert!(begun.elapsed() < Duration::from_secs(300), "{}", sees(&served));
        std::thread::sleep(Duration::from_millis(20));
    }
    // undo reaches back over the restart
    served.post("/v1/undo", &serde_json::json!({}));
    assert_eq!(served.get("/v1/status")["classes"], 100);
    assert_eq!(served.stop().0, Some(0));
}

#[cfg(unix)]
#[test]
fn rules_of_the_configuration_change_on_sighup_and_mistakes_in_it_change_nothing() {
    needs_asset!();
    let folder = folder();
    let config = path(&folder, "tipcam.toml");
    let write = |agree: &str| {
        let input = "[input]\nsource = 'demo'\nrate = 20\nloop = true\n";
        let decision = "[decision]\nsmoothing = 0.0\nenter = 0.5\nleave = 0.1\n";
        fs::write(&config, format!("{input}{decision}agree = {agree}\n")).unwrap();
    };
    // the demo never shows a thing 32 times in a row: nothing is ever stable
    write("32");
    let served = Served::start(&["--config", &config]);
    let stable = || served.get("/v1/status")["latest"][0]["stable"].clone();
    let begun = Instant::now();
    while served.get("/v1/status")["frames"]["answered"].as_u64().unwrap() < 12 {
        assert!(begun.elapsed() < Duration::from_secs(300), "no frame is answered");
        assert_eq!(stable(), Value::Null);
    }
    write("'often'");
    served.signal("HUP");
    let told = served.says("Error: the configuration was not read again");
    assert!(told.contains("--agree") && stable().is_null(), "{told}");
    write("1");
    served.signal("HUP");
    served.says("the configuration was read again");
    while stable().is_null() {
        assert!(begun.elapsed() < Duration::from_secs(480), "the new rule does not hold");
    }
    assert_eq!(served.stop().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_hears_of_the_start_of_life_and_of_the_end() {
    needs_asset!();
    let folder = folder();
    let socket = path(&folder, "notify");
    let ear = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    ear.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    let hears = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = match ear.recv(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.unwrap_or_else(|error| panic!("no {wanted}: {error}")),
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let mut command = program();
    command.args(["watch", "demo", "--loop", "--rate", "20"]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "300000");
    let running = Running(command.spawn().unwrap());
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    hears("STOPPING=1");
    // nothing that it said is taken for the next one's words
    assert_eq!(running.wait().0, Some(0));

    // A camera that gives nothing and says nothing is taken for hung after a while, one that is known
    // to be away is not; neither is a program that waits for its first frame.
    let mut command = program();
    command.args(["watch", "/dev/video99"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "300000");
    let away = Running(command.spawn().unwrap());
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    drop(away);
}

#[test]
fn only_changes_are_printed_when_nothing_else_was_asked_for() {
    needs_asset!();
    let folder = folder();
    let scene = scene(&folder);
    for i in 2..=30 {
        fs::copy(format!("{scene}/1.ppm"), format!("{scene}/{i}.ppm")).unwrap();
    }
    let count = |args: &[&str]| {
        let all = [&["watch", &*scene, "--every-frame", "--rate", "100"][..], args].concat();
        tipcam(&all).succeeds().json().len()
    };
    assert_eq!(count(&[]), 30);
    assert_eq!(count(&["--on-change"]), 1, "the first line tells what there is");
    let beats = count(&["--on-change", "--heartbeat", "0.001"]);
    assert!(beats > 1, "{beats}");
}

#[test]
fn each_region_has_an_answer_and_a_name_of_its_own() {
    needs_asset!();
    let args =
        ["watch", "demo", "--every-frame", "--crop", "door=0,0,0.5,1", "--crop", "0.5,0,0.5,1"];
    let lines = tipcam(&args).succeeds().json();
    assert_eq!(lines.len(), 20);
    assert_eq!((&lines[0]["region"], &lines[1]["region"]), (&"door".into(), &"0.5,0,0.5,1".into()));
    assert_eq!(lines[0]["frame"], lines[1]["frame"]);
    let same = ["watch", "demo", "--crop", "a=0,0,0.5,1", "--crop", "a=0.5,0,0.5,1"];
    tipcam(&same).fails_with(&["--crop", "\"a\"", "name of its own"]);
}

#[test]
fn frames_without_motion_are_not_encoded() {
    needs_asset!();
    let folder = folder();
    let scene = scene(&folder);
    for i in 2..=5 {
        fs::copy(format!("{scene}/1.ppm"), format!("{scene}/{i}.ppm")).unwrap();
    }
    fs::copy(demo("pizza_2"), format!("{scene}/6.jpg")).unwrap();
    let lines = tipcam(&["watch", &scene, "--every-frame", "--motion", "8"]).succeeds().json();
    let still: Vec<_> = lines.iter().map(|line| line["still"] == true).collect();
    assert_eq!(still, [false, true, true, true, true, false]);
    assert_eq!(lines[1]["top"], lines[0]["top"]);
}

#[test]
fn the_configuration_that_is_printed_is_one_that_can_be_read() {
    needs_asset!();
    let folder = folder();
    let config = path(&folder, "tipcam.toml");
    let line = ["watch", "demo", "--rate", "50", "--crop", "door=0,0,0.5,1", "--print-config"];
    let printed = tipcam(&line).succeeds().out;
    fs::write(&config, &printed).unwrap();
    let lines = tipcam(&["watch", "--config", &config]).succeeds().json();
    assert!(lines.iter().all(|line| line["region"] == "door"), "{printed}");
    fs::write(&config, "[input]\nsauce = 'demo'\n").unwrap();
    let done = tipcam(&["watch", "--config", &config]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("tipcam.toml: [input] has no \"sauce\""), "{}", done.err);
    tipcam(&["watch"]).fails_with(&["say what to watch", "tipcam cameras"]);
}

/// A broker from the system, with a free port.
struct Broker(Child, u16);

impl Broker {
    /// None where there is no mosquitto.
    fn start() -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let port_text = port.to_string();
        let known = ["mosquitto", "/usr/sbin/mosquitto"];
        let child = known.iter().find_map(|program| {
            Command::new(program)
                .args(["-p", &port_text])
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .ok()
        })?;
        let broker = Self(child, port);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(300), "the broker does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn a_class_that_was_taught_reaches_the_broker() {
    needs_asset!();
    let Some(broker) = Broker::start() else {
        println!("left out: there is no mosquitto here");
        return;
    };
    let Ok(mut ears) = Command::new("mosquitto_sub")
        .args(["-p", &broker.1.to_string(), "-v", "-t", "tipcam/wall/#"])
        .stdout(Stdio::piped())
        .spawn()
    else {
        println!("left out: there is no mosquitto_sub here");
        return;
    };
    let (to, heard) = std::sync::mpsc::channel();
    let out = BufReader::new(ears.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    let hears = |wanted: &str| {
        let begun = Instant::now();
        loop {
            let line = heard.recv_timeout(Duration::from_secs(300)).expect(wanted);
            if line == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(300), "{wanted}: {line}");
        }
    };
    let folder = folder();
    let url = format!("mqtt://127.0.0.1:{}", broker.1);
    let scene = scene(&folder);
    let args = [&*scene, "--loop", "--rate", "20", "--mqtt", &url, "--mqtt-node", "wall"];
    let served = Served::start(&args);
    hears("tipcam/wall/availability online");
    served.post("/v1/learn", &serde_json::json!({"label": "stripes", "frames": 4}));
    hears("tipcam/wall/view/state stripes");
    assert_eq!(served.stop().0, Some(0));
    hears("tipcam/wall/availability offline");
    let _ = ears.kill();
    let _ = ears.wait();
}
