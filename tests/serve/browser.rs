//! A headless Chromium, spoken with through chromedriver (WebDriver's HTTP).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use crate::house::{PATIENCE, eventually};

const DRIVER: &str = "chromedriver";
/// What the protocol calls an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    agent: Agent,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// None, with a message, where there is no chromedriver.
    pub(crate) fn open(width: u32, height: u32) -> Option<Self> {
        let mut command = Command::new(DRIVER);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut driver) = command.spawn() else {
            println!("left out: {DRIVER} is not installed, the page was not tried in a browser");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let port = line.split_once("on port ")?.1.trim_end_matches('.').parse::<u16>().ok();
            // before it has one it says 0
            port.filter(|&port| port > 0)
        });
        // the rest of what it says is read so that it never waits for a reader
        std::thread::spawn(move || lines.for_each(drop));
        let port = port.expect("chromedriver tells its port");
        let config =
            Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let agent = Agent::new_with_config(config.build());
        let profile = tempfile::tempdir().unwrap();
        let folder = profile.path().display();
        let mut args: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ]
        .map(String::from)
        .to_vec();
        args.extend([
            format!("--user-data-dir={folder}"),
            format!("--window-size={width},{height}"),
        ]);
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Self {
            driver,
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let opened = browser.post("", &capabilities);
        let id = opened["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {opened}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let text =
            self.agent.post(&url).header("Content-Type", "application/json").send(body.to_string());
        let text = text.unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["value"].clone()
    }

    pub(crate) fn go(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// What a function body gives on the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        let value = self.post("/execute/sync", &json!({"script": script, "args": []}));
        assert!(value["error"].is_null(), "{script}: {value}");
        value
    }

    /// The text of the first element that `selector` finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.textContent ?? ''");
        self.run(&script).as_str().unwrap().trim().to_owned()
    }

    pub(crate) fn count(&self, selector: &str) -> u64 {
        self.run(&format!("return document.querySelectorAll({selector:?}).length"))
            .as_u64()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, script: &str) {
        eventually(what, || self.run(&format!("return !!({script})")) == true);
    }

    fn element(&self, selector: &str) -> Value {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}));
        assert!(found[ELEMENT].is_string(), "{selector}: {found}");
        found
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        let id = element[ELEMENT].as_str().unwrap();
        let clicked = self.post(&format!("/element/{id}/click"), &json!({}));
        assert!(clicked.is_null(), "{selector}: {clicked}");
    }

    /// Writes into a field, after what is there.
    pub(crate) fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let id = element[ELEMENT].as_str().unwrap();
        self.post(&format!("/element/{id}/value"), &json!({"text": text}));
    }

    /// Presses the mouse or a finger on an element for a while.
    pub(crate) fn hold(&self, selector: &str, time: Duration, kind: &str) {
        let actions = json!({"actions": [{
            "type": "pointer", "id": "finger", "parameters": {"pointerType": kind},
            "actions": [
                {"type": "pointerMove", "duration": 0, "origin": self.element(selector), "x": 0, "y": 0},
                {"type": "pointerDown", "button": 0},
                {"type": "pause", "duration": time.as_millis()},
                {"type": "pointerUp", "button": 0},
            ],
        }]});
        let done = self.post("/actions", &actions);
        assert!(done.is_null(), "{done}");
    }

    /// Presses a key for a while.
    pub(crate) fn hold_key(&self, key: &str, time: Duration) {
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": [
            {"type": "keyDown", "value": key},
            {"type": "pause", "duration": time.as_millis()},
            {"type": "keyUp", "value": key},
        ]}]});
        let done = self.post("/actions", &actions);
        assert!(done.is_null(), "{done}");
    }

    fn command(&self, cmd: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": cmd, "params": params}))
    }

    /// Makes it a phone, or a screen.
    pub(crate) fn size(&self, width: u32, height: u32, mobile: bool) {
        let scale = if mobile { 2 } else { 1 };
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile});
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.command("Emulation.setEmulatedMedia", &media);
    }

    /// Keeps what the whole page looks like.
    pub(crate) fn picture(&self, path: &Path) {
        self.run("scrollTo(0, 0)");
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.command("Page.captureScreenshot", &whole);
        let data = shot["data"].as_str().unwrap_or_else(|| panic!("no picture: {shot}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, base64(data)).unwrap();
    }

    /// What the browser complained about, but for what the network refused, which the page handles.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        let ours = entries.iter().filter(|entry| entry["source"] != "network");
        ours.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The bytes of a text in base64.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> =
        text.bytes().filter(|byte| *byte != b'=').map(|byte| digit(byte).into()).collect();
    let group = |four: &[u32]| {
        let bits = four.iter().enumerate().fold(0, |all, (i, digit)| all | digit << (18 - 6 * i));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
