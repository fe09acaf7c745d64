use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::change::tests::{event, labels};
use super::*;
use crate::decide::Decision;
use crate::pipeline::Scored;
use crate::watch::Labels;

/// Every hard frame of a test is allowed.
fn settings(directory: &Path) -> ExamplesSettings {
    let directory = directory.to_owned();
    ExamplesSettings { directory, interval: 0.0, per_minute: 1000, ..Default::default() }
}

fn quiet() -> Tell {
    Arc::new(|text: &str| panic!("{text}"))
}

/// A frame in which `scores` are the best classes' probabilities.
fn seen(number: u64, labels: &Arc<Labels>, scores: &[f32], unknown: bool) -> Event {
    let mut event = event(number, labels, &[(None, None)]);
    let answer = &mut event.views[0].answer;
    let margin = scores[0] - scores.get(1).copied().unwrap_or(0.0);
    answer.decision = Decision { class: Some(0), score: scores[0], margin, unknown };
    let scored = |(class, &score)| Scored { class, score, zero_shot: None, cache: None };
    answer.top = scores.iter().enumerate().map(scored).collect();
    event
}

fn picture(shade: u8) -> Frame {
    let mut frame = Frame::new();
    frame.resize(32, 24);
    frame.pixels_mut().fill(shade);
    frame
}

/// Names of a folder's files, sorted.
fn files(directory: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

/// Gives a frame until it is taken: the one before may still be being written.
fn push(examples: &mut Examples, frame: &Frame, event: &Event) {
    let before = examples.lost().count();
    examples.frame(frame, event);
    while examples.lost().count() > before {
        thread::sleep(Duration::from_millis(5));
        let lost = examples.lost().count();
        // the state is known by now: what was hard because it changed is only hard again
        examples.frame(frame, event);
        if examples.lost().count() == lost {
            break;
        }
    }
}

#[test]
fn only_hard_frames_are_kept_with_a_line_beside_each_picture() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hard");
    let mut examples = Examples::new(settings(&folder), quiet()).unwrap();
    let classes = labels(["cat/dog", "cup"]);
    push(&mut examples, &picture(1), &seen(0, &classes, &[0.9, 0.1], false));
    push(&mut examples, &picture(2), &seen(1, &classes, &[0.5, 0.4], false));
    push(&mut examples, &picture(3), &seen(2, &classes, &[0.9, 0.1], true));
    let mut still = seen(3, &classes, &[0.5, 0.4], false);
    still.views[0].still = true;
    push(&mut examples, &picture(4), &still);
    drop(examples);
    let names = files(&folder);
    assert_eq!(
        names,
        [
            "20231114T221320.100Z_00000001_view_margin_cat_dog.jpg",
            "20231114T221320.100Z_00000001_view_margin_cat_dog.json",
            "20231114T221320.200Z_00000002_view_unknown_unknown.jpg",
            "20231114T221320.200Z_00000002_view_unknown_unknown.json",
        ]
    );
    let kept = crate::frame::read(&folder.join(&names[0])).unwrap();
    assert_eq!((kept.width(), kept.height(), kept.pixels()[0]), (32, 24, 2));
    let line = fs::read_to_string(folder.join(&names[1])).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["frame"], &line["raw"]), (&1.into(), &"cat/dog".into()));
}

#[test]
fn a_change_in_one_region_goes_before_doubts_in_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut examples = Examples::new(settings(dir.path()), quiet()).unwrap();
    let classes = labels(["cat", "cup"]);
    let mut event = event(7, &classes, &[(Some("left"), None), (Some("right"), Some(1))]);
    event.views[0].answer = seen(7, &classes, &[0.5, 0.4], false).views.remove(0).answer;
    push(&mut examples, &picture(0), &event);
    drop(examples);
    assert_eq!(files(dir.path())[0], "20231114T221320.700Z_00000007_right_change_cup.jpg");
}

#[test]
fn the_oldest_make_room_and_other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine.jpg");
    fs::write(&mine, vec![0; 5_000_000]).unwrap();
    // of a watch before this one: 600 kB, of which 1 MB has room once
    for second in [1, 2] {
        let name = format!("20200101T00000{second}.000Z_00000000_view_margin_cat.jpg");
        fs::write(dir.path().join(name), vec![0; 600_000]).unwrap();
    }
    let few = ExamplesSettings { max_megabytes: 1, ..settings(dir.path()) };
    let mut examples = Examples::new(few, quiet()).unwrap();
    push(&mut examples, &picture(0), &seen(0, &labels(["cat", "cup"]), &[0.5, 0.4], false));
    drop(examples);
    let names = files(dir.path());
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names[0].starts_with("20200101T000002"), "{names:?}");
    assert!(mine.exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once_and_left_in_peace() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("gone");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&heard);
    let tell: Tell = Arc::new(move |text: &str| to.lock().unwrap().push(text.to_owned()));
    let mut examples = Examples::new(settings(&folder), tell).unwrap();
    fs::remove_dir(&folder).unwrap();
    let classes = labels(["cat", "cup"]);
    let lost = examples.lost();
    examples.frame(&picture(0), &seen(0, &classes, &[0.5, 0.4], false));
    while lost.count() == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    // in the pause nothing is tried, although it would go well
    fs::create_dir(&folder).unwrap();
    for number in 1..5 {
        examples.frame(&picture(0), &seen(number, &classes, &[0.5, 0.4], false));
    }
    drop(examples);
    assert_eq!((lost.count(), files(&folder).len()), (5, 0));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("gone") && heard[0].contains("room"), "{heard:?}");
}

#[test]
fn the_rate_is_bounded_by_interval_and_by_minute() {
    let mut rate = Rate::new(&ExamplesSettings {
        interval: 2.0,
        per_minute: 3,
        ..ExamplesSettings::default()
    });
    let mut allowed = |seconds| rate.allows(Duration::from_secs(seconds));
    let found: Vec<u64> = (0..130).filter(|&second| allowed(second)).collect();
    assert_eq!(found, [0, 2, 4, 60, 62, 64, 120, 122, 124]);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let told = |change: &dyn Fn(&mut ExamplesSettings)| {
        let mut settings = settings(dir.path());
        change(&mut settings);
        Examples::new(settings, quiet()).err().unwrap().to_string()
    };
    assert!(told(&|s| s.max_megabytes = 0).contains("max_megabytes"));
    assert!(told(&|s| s.interval = f32::NAN).contains("interval"));
    assert!(told(&|s| s.per_minute = 0).contains("per_minute"));
    assert!(told(&|s| s.margin = 2.0).contains("margin"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(told(&|s| s.directory.clone_from(&file)).contains("file"));
}
