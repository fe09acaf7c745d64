use std::io::{BufRead, BufReader};

use serde_json::json;
use tipcam::serve::{ServeError, Settings, Token};

use crate::house::{House, eventually, photograph};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn with_token(folder: &std::path::Path, open_reading: bool) -> House {
    let token = Token::open(&folder.join("token")).unwrap();
    let settings = Settings {
        address: "0.0.0.0:0".parse().unwrap(),
        token: Some(token),
        open_reading,
        names: vec!["Camera.Example.Org".into()],
    };
    let mut house = House::with(folder, settings);
    house.address.set_ip([127, 0, 0, 1].into());
    house
}

#[test]
fn the_token_is_needed_for_what_is_seen_and_for_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let house = with_token(folder.path(), false);
    let none = ("Authorization", "");
    for path in ["/", "/page.css", "/page.js", "/icon.svg", "/healthz"] {
        assert_eq!(house.raw(&format!("GET {path}"), &[none], b"").status, 200, "{path}");
    }
    assert_ne!(house.raw("GET /readyz", &[none], b"").status, 401);
    let reading = [
        "/v1/status",
        "/v1/events",
        "/v1/frame.jpg",
        "/v1/stream.mjpg",
        "/v1/classes",
        "/v1/classes/pizza/shots",
        "/v1/shots/1/thumbnail.jpg",
        "/v1/health",
        "/metrics",
    ];
    let changing = [
        ("POST", "/v1/learn"),
        ("POST", "/v1/undo"),
        ("POST", "/v1/classify"),
        ("DELETE", "/v1/shots/1"),
        ("PATCH", "/v1/shots/1"),
        ("DELETE", "/v1/classes/pizza"),
        ("PATCH", "/v1/classes/pizza"),
    ];
    let all = reading.map(|path| ("GET", path)).into_iter().chain(changing);
    let token = house.token.clone().unwrap();
    let nearly = format!("Bearer {}g", &token[..token.len() - 1]);
    for (method, path) in all {
        for wrong in ["", "Bearer ", "Bearer 0123456789abcdef0123456789abcdef", &token, &nearly] {
            let answer =
                house.raw(&format!("{method} {path}"), &[("Authorization", wrong), JSON], b"{}");
            assert!(answer.problem(401).contains("token"), "{method} {path} with {wrong:?}");
            assert!(answer.head.contains("www-authenticate: bearer"));
        }
    }
    assert_eq!(house.get("/v1/status").fine().json()["undoable"], 0);
    house.picture("/v1/learn?label=lunch", &photograph("pizza_2.jpg")).fine();
}

#[test]
fn reading_can_be_left_open_and_changes_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let house = with_token(folder.path(), true);
    let none = ("Authorization", "");
    assert_eq!(house.raw("GET /v1/classes", &[none], b"").status, 200);
    house.raw("POST /v1/undo", &[none, JSON], b"").problem(401);
    house.raw("DELETE /v1/classes/pizza", &[none], b"").problem(401);
}

#[test]
fn nothing_is_served_to_the_network_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    let refused = |address: &str| {
        let settings = Settings { address: address.parse().unwrap(), ..Settings::default() };
        tipcam::serve::start(settings, house.parts()).err().unwrap()
    };
    let error = refused("0.0.0.0:0");
    assert!(matches!(error, ServeError::NoToken(_)), "{error}");
    let error = refused(&house.address.to_string());
    assert!(error.to_string().contains("choose another port"), "{error}");
}

#[test]
fn a_name_that_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let house = with_token(folder.path(), false);
    let asked = |host: &str| house.raw("GET /v1/status", &[("Host", host)], b"");
    for host in ["localhost:4912", "LOCALHOST", "192.168.1.7", "[::1]:80", "camera.example.org:80"]
    {
        assert_eq!(asked(host).status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:4912",
        "localhost.evil.example",
        "",
        "127.0.0.1.evil.example",
    ] {
        let status = asked(host).status;
        assert!(status == 421 || status == 400, "{host}: {status}");
    }
    assert!(asked("evil.example").problem(421).contains("evil.example"));
    // not even the page
    house.raw("GET /", &[("Host", "evil.example")], b"").problem(421);
}

#[test]
fn another_page_in_the_same_browser_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    let own = format!("http://{}", house.address);
    let foreign: [&[(&str, &str)]; 6] = [
        &[("Origin", "http://evil.example"), JSON],
        &[("Origin", "null"), JSON],
        &[("Origin", "http://127.0.0.1:1"), JSON],
        &[("Sec-Fetch-Site", "cross-site"), JSON],
        &[("Sec-Fetch-Site", "same-site"), JSON],
        &[("Origin", &own), ("Sec-Fetch-Site", "cross-site"), JSON],
    ];
    for headers in foreign {
        house.raw("POST /v1/undo", headers, b"").problem(403);
        house.raw("DELETE /v1/classes/pizza", headers, b"").problem(403);
    }
    // what a form can send is not taken either
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = house.raw("POST /v1/undo", &[("Content-Type", kind)], b"");
        assert!(answer.problem(415).contains("Content-Type"), "{kind}");
    }
    house.raw("POST /v1/undo", &[], b"").problem(415);
    let ours = [("Origin", &*own), ("Sec-Fetch-Site", "same-origin"), JSON];
    house.raw("POST /v1/undo", &ours, b"").problem(409);
}

#[test]
fn every_answer_says_what_browsers_may_do_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    let evil = house.raw("GET /", &[("Host", "evil.example")], b"");
    for answer in [house.get("/"), house.get("/v1/status"), house.get("/nowhere"), evil] {
        let head = &answer.head;
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
            "{head}"
        );
        assert!(head.contains("frame-ancestors 'none'") && head.contains("nosniff"), "{head}");
        assert!(head.contains("referrer-policy: no-referrer"), "{head}");
        assert!(!head.contains("set-cookie") && !head.contains("access-control-allow"), "{head}");
    }
    assert!(house.get("/v1/status").head.contains("cache-control: no-store"));
}

#[test]
fn what_is_too_large_or_makes_no_sense_is_refused_kindly() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    let large = [("Content-Type", "image/jpeg"), ("Content-Length", "16777217")];
    assert!(house.raw("POST /v1/classify", &large, b"").problem(413).contains("16384 KiB"));
    let long = json!({"label": "x".repeat(70_000)});
    assert!(house.json("POST", "/v1/learn", &long).problem(413).contains("64 KiB"));
    let chunked = [JSON, ("Transfer-Encoding", "chunked")];
    let chunks = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, " ".repeat(70_000));
    house.raw("POST /v1/learn", &chunked, chunks.as_bytes()).problem(413);

    let learn = |body| house.json("POST", "/v1/learn", &body);
    assert!(learn(json!({"frames": 3})).problem(400).contains("label"));
    assert!(learn(json!({"label": "mug", "frame": 3})).problem(400).contains("frame"));
    assert!(learn(json!({"label": "mug", "frames": 0})).problem(422).contains("from 1 to"));
    assert!(learn(json!({"label": "mug", "frames": 1000})).problem(422).contains("from 1 to"));
    assert!(learn(json!({"label": " "})).problem(422).contains("name"));
    assert!(learn(json!({"label": "m".repeat(65)})).problem(422).contains("64"));
    assert!(learn(json!({"label": "mug", "region": "door"})).problem(404).contains("door"));
    assert!(house.picture("/v1/learn", b"").problem(400).contains("label="));
    assert!(house.get("/v1/classes/nothing/shots").problem(404).contains("nothing"));
    house.get("/v1/shots/pizza/thumbnail.jpg").problem(404);
    house.get("/v1/shots/1/thumbnail.jpg").problem(404);
    house.get("/v1/classes/%FF/shots").problem(400);
    house.get("/v2").problem(404);
    house.get("/../etc/passwd").problem(404);
    assert!(house.delete("/v1/status").problem(405).contains("DELETE"));
    assert_eq!(
        house.get("/v1/status").fine().json()["undoable"],
        0,
        "nothing was changed by all that"
    );
}

#[test]
fn there_is_room_for_eight_who_look_on() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    let look_on = |path: &str| {
        let mut stream = BufReader::new(house.send(&format!("GET {path}"), &[], b""));
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        (line, stream)
    };
    let paths = ["/v1/events", "/v1/stream.mjpg"].into_iter().cycle();
    let mut all: Vec<_> = paths.take(8).map(look_on).collect();
    assert!(all.iter().all(|(line, _)| line.contains("200")));
    assert!(house.get("/v1/events").problem(503).contains("8 look on"));
    all.pop();
    eventually("there is room again", || look_on("/v1/events").0.contains("200"));
}
