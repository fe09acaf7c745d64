use std::io::{BufRead, BufReader, Read};
use std::time::Instant;

use serde_json::json;
use tipcam::frame::{self, Region};
use tipcam::serve::Settings;

use crate::house::{House, eventually, photograph};

fn house() -> (tempfile::TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    (folder, house)
}

#[test]
fn the_status_tells_what_is_seen_and_known() {
    let (_folder, house) = house();
    house.wall.show("pizza");
    house.sees("pizza");
    let status = house.get("/v1/status").fine().json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["asset"].as_str().unwrap().ends_with("default.tipcam"));
    assert_eq!((&status["classes"], &status["durable"]), (&json!(100), &json!(true)));
    assert_eq!((&status["undoable"], &status["regions"]), (&json!(0), &json!([])));
    assert!(status["frames"]["answered"].as_u64().unwrap() > 0);
    assert!(status["latency"]["encode"].as_f64().unwrap() > 0.0);
    assert_eq!(status["trouble"], json!(null));
    assert_eq!(house.get("/readyz").fine().body, b"ready\n");
    assert_eq!(house.get("/metrics").fine().body, b"tipcam_up 1\n");
}

#[test]
fn a_camera_that_gives_nothing_is_not_ready_but_alive() {
    let (_folder, house) = house();
    house.wall.cover(true);
    house.health.input_failed("the camera was unplugged");
    let detail = house.get("/readyz").problem(503);
    assert_eq!(detail, "the camera was unplugged");
    assert_eq!(house.get("/healthz").fine().body, b"alive\n");
    house.wall.cover(false);
    eventually("ready", || house.get("/readyz").status == 200);
}

#[test]
fn a_picture_that_is_sent_is_answered() {
    let (_folder, house) = house();
    let answer = house.picture("/v1/classify", &photograph("elephant_43.jpg")).fine().json();
    assert_eq!((&answer["label"], &answer["source"]), (&json!("elephant"), &json!("upload")));
    assert!(answer["ms"]["decode"].as_f64().unwrap() > 0.0);
    let detail = house.picture("/v1/classify", b"\xff\xd8\xffno picture").problem(422);
    assert!(detail.contains("the picture"), "{detail}");
    let text = house.raw("POST /v1/classify", &[("Content-Type", "image/png")], b"text");
    assert!(text.problem(415).contains("JPEG"));
}

#[test]
fn what_the_camera_sees_is_learned_recognised_and_kept() {
    let (folder, house) = house();
    house.wall.show("stop_sign");
    house.sees("stop sign");
    let begun = Instant::now();
    let learn = json!({"label": "my corner", "frames": 8});
    let taught = house.json("POST", "/v1/learn", &learn).fine().json();
    house.sees("my corner");
    println!("8 shots, from the request to the recognised class: {:?}", begun.elapsed());
    assert_eq!((&taught["shots"], &taught["new_class"]), (&json!(8), &json!(true)));
    assert_eq!(taught["duplicates"], 7, "one picture over and over");

    let shots = house.get("/v1/classes/my%20corner/shots").fine().json();
    let shots = shots.as_array().unwrap();
    assert_eq!(shots.len(), 8);
    assert!(shots[0]["name"].as_str().unwrap().starts_with("camera/20"), "{}", shots[0]);
    assert_eq!(shots[0]["key"], taught["keys"][7], "the newest comes first");
    assert_eq!(shots[0]["thumbnail"], true);
    let path = format!("/v1/shots/{}/thumbnail.jpg", shots[0]["key"]);
    let thumbnail = frame::decode("thumbnail", &house.get(&path).fine().body).unwrap();
    assert_eq!(thumbnail.width().max(thumbnail.height()), 160);

    // what was acknowledged is there in another life
    drop(house);
    let house = House::open(folder.path());
    house.wall.show("stop_sign");
    house.sees("my corner");
}

#[test]
fn shots_and_classes_are_moved_renamed_deleted_and_brought_back() {
    let (_folder, house) = house();
    let pizza = photograph("pizza_2.jpg");
    let first = house.picture("/v1/learn?label=lunch", &pizza).fine().json();
    let second = house.picture("/v1/learn?label=lunch", &photograph("strawberry_2.jpg"));
    assert_eq!(second.fine().json()["shots"], 2);
    let shot = format!("/v1/shots/{}", first["keys"][0]);
    let count = |label: &str| {
        let classes = house.get("/v1/classes").fine().json();
        let class = classes.as_array().unwrap().iter().find(|class| class["label"] == label);
        class.map(|class| class["shots"].as_u64().unwrap())
    };

    let moved = house.json("PATCH", &shot, &json!({"label": "dinner"})).fine().json();
    assert_eq!(moved["new_class"], true);
    assert_eq!((count("lunch"), count("dinner")), (Some(1), Some(1)));
    let label = house.picture("/v1/classify", &pizza).fine().json()["label"].clone();
    assert_eq!(label, "dinner");

    let path = "/v1/classes/dinner";
    assert_eq!(
        house.json("PATCH", path, &json!({"label": "café ☕/2"})).fine().json()["label"],
        "café ☕/2"
    );
    assert_eq!((count("dinner"), count("café ☕/2")), (None, Some(1)));
    let gone = house.delete("/v1/classes/caf%C3%A9%20%E2%98%95%2F2").fine().json();
    assert_eq!(gone["class"], "café ☕/2");
    assert_eq!(gone["keys"], first["keys"]);

    assert!(house.undo().fine().json()["what"].is_string());
    assert_eq!(count("café ☕/2"), Some(1));
    house.undo().fine();
    assert_eq!(count("dinner"), Some(1));
    let gone = house.delete(&shot).fine().json();
    assert_eq!(gone["class"], "dinner", "it had nothing else");
    assert!(house.delete(&shot).problem(404).contains("no key"));
    while house.get("/v1/status").fine().json()["undoable"] != 0 {
        house.undo().fine();
    }
    assert_eq!((count("lunch"), count("dinner")), (None, None));
    assert!(house.undo().problem(409).contains("nothing left"));
}

#[test]
fn answers_are_told_as_they_come() {
    let (_folder, house) = house();
    house.wall.show("rooster");
    house.sees("rooster");
    let mut lines = BufReader::new(house.send("GET /v1/events", &[], b"")).lines();
    let mut next = |wanted: &str| {
        let event = format!("event: {wanted}");
        loop {
            if lines.next().unwrap().unwrap() == event {
                let data =
                    lines.by_ref().map(Result::unwrap).find(|l| l.starts_with("data: ")).unwrap();
                return serde_json::from_str::<serde_json::Value>(&data["data: ".len()..]).unwrap();
            }
        }
    };
    let first = next("frame");
    assert_eq!((&first["v"], &first["raw"]), (&json!(1), &json!("rooster")));
    assert!(next("frame")["frame"].as_u64() > first["frame"].as_u64());
    house.wall.show("dalmatian");
    let change = loop {
        let change = next("change");
        if change["stable"] == "dalmatian" {
            break change;
        }
    };
    assert_eq!(change["changed"], true);

    // who comes later hears of what changed before
    let mut lines = BufReader::new(house.send("GET /v1/events", &[], b"")).lines();
    let told =
        lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"dalmatian\"")).unwrap();
    assert!(told.contains("\"changed\":true"), "{told}");
}

#[test]
fn each_region_has_its_answer_and_is_learned_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { address: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    let regions = vec![
        Region::new(Some("all"), [0.0, 0.0, 1.0, 1.0]).unwrap(),
        Region::new(Some("corner"), [0.0, 0.0, 0.2, 0.2]).unwrap(),
    ];
    let house = House::looking(folder.path(), settings, regions);
    house.wall.show("pizza");
    house.sees("pizza");
    let learn = |region: &str| {
        house.json("POST", "/v1/learn", &json!({"label": "rim", "frames": 2, "region": region}))
    };
    assert!(learn("door").problem(404).contains("all, corner"));
    learn("corner").fine();
    eventually("the corner is known", || {
        let status = house.get("/v1/status").fine().json();
        let corner = &status["latest"][1];
        corner["region"] == "corner" && corner["raw"] == "rim"
    });
    house.sees("pizza");
    assert_eq!(house.get("/v1/status").fine().json()["regions"], json!(["all", "corner"]));
}

#[test]
fn the_picture_is_shown_small() {
    let (_folder, house) = house();
    let one = house.get("/v1/frame.jpg").fine();
    let picture = frame::decode("frame.jpg", &one.body).unwrap();
    assert!(picture.width().max(picture.height()) <= 640);
    let mut stream = BufReader::new(house.send("GET /v1/stream.mjpg", &[], b""));
    for _ in 0..3 {
        let mut length = None;
        loop {
            let mut line = String::new();
            assert!(stream.read_line(&mut line).unwrap() > 0);
            if let Some(told) = line.strip_prefix("Content-Length: ") {
                length = Some(told.trim().parse::<usize>().unwrap());
            }
            if line == "\r\n" && length.is_some() {
                break;
            }
        }
        // chunked: the picture's part is one chunk
        let mut jpeg = vec![0; length.unwrap()];
        stream.read_exact(&mut jpeg).unwrap();
        frame::decode("stream.mjpg", &jpeg).unwrap();
    }
}

#[test]
fn health_is_measured_by_the_shots_themselves() {
    let (_folder, house) = house();
    let health = house.get("/v1/health").fine().json();
    assert_eq!((&health["head"], &health["held_out"]), (&json!("tip"), &json!(1600)));
    assert!(health["accuracy"].as_f64().unwrap() > 0.8, "{}", health["accuracy"]);
    assert_eq!(health["classes"].as_array().unwrap().len(), 100);
    let told: u64 = health["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair["shots"].as_u64().unwrap())
        .sum();
    assert_eq!(told, 1600);
    house.picture("/v1/learn?label=lunch", &photograph("pizza_2.jpg")).fine();
    let after = house.get("/v1/health").fine().json();
    assert!(after["generation"].as_u64() > health["generation"].as_u64());
    let advice = after["advice"].to_string();
    assert!(advice.contains("lunch has 1 shot"), "{advice}");
}

#[test]
fn the_page_is_sent_again_only_when_it_is_another() {
    let (_folder, house) = house();
    for path in ["/", "/page.css", "/page.js", "/icon.svg"] {
        let page = house.get(path).fine();
        let tag = page.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = house.raw(&format!("GET {path}"), &[("If-None-Match", tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
}

#[test]
fn the_end_of_the_page_ends_what_it_streams() {
    let (_folder, mut house) = house();
    let mut events = house.send("GET /v1/events", &[], b"");
    let mut pictures = house.send("GET /v1/stream.mjpg", &[], b"");
    let mut some = [0; 16];
    events.read_exact(&mut some).unwrap();
    pictures.read_exact(&mut some).unwrap();
    house.stop_page();
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).unwrap();
    pictures.read_to_end(&mut rest).unwrap();
}
