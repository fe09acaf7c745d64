//! `tipcam classify`.

use super::*;

#[test]
fn classify_prints_the_fields_of_the_contract() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2")]).succeeds();
    let lines = done.json();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    let fields = ["v", "source", "label", "score", "unknown", "top", "nearest", "ms"];
    assert_eq!(keys(line), fields);
    assert_eq!(line["v"], 1);
    assert_eq!(line["source"], demo("pizza_2"));
    let top = line["top"].as_array().unwrap();
    assert!((1..=5).contains(&top.len()));
    assert_eq!(keys(&top[0]), ["label", "score", "zero_shot", "cache"]);
    assert_eq!(top[0]["score"], line["score"]);
    assert!(top.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()));
    let nearest = line["nearest"].as_array().unwrap();
    assert_eq!(nearest.len(), 3);
    assert_eq!(keys(&nearest[0]), ["key", "label", "cosine"]);
    assert!(nearest.is_sorted_by(|a, b| a["cosine"].as_f64() >= b["cosine"].as_f64()));
    assert_eq!(keys(&line["ms"]), ["decode", "preprocess", "encode", "head"]);
    match line["unknown"].as_bool().unwrap() {
        true => assert!(line["label"].is_null()),
        false => assert_eq!(line["label"], top[0]["label"]),
    }
}

#[test]
fn classify_lists_as_many_classes_as_asked_for() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2"), "--top-k", "2"]).succeeds();
    assert_eq!(done.json()[0]["top"].as_array().unwrap().len(), 2);
    assert_eq!(tipcam(&["classify", &demo("pizza_2"), "--top-k", "0"]).code, 2);
}

#[test]
fn classify_takes_folders_patterns_and_standard_input() {
    needs_asset!();
    let folder = folder();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::copy(demo("pizza_2"), path(&folder, "b.jpg")).unwrap();
    fs::copy(demo("rooster_3"), path(&folder, "below/a.JPG")).unwrap();
    fs::write(path(&folder, "notes.txt"), "no picture").unwrap();
    let sources = |args: &[&str]| -> Vec<String> {
        let lines = tipcam(args).succeeds().json();
        lines.iter().map(|line| line["source"].as_str().unwrap().to_owned()).collect()
    };
    let both = [path(&folder, "b.jpg"), path(&folder, "below/a.JPG")];
    assert_eq!(sources(&["classify", folder.path().to_str().unwrap()]), both);
    assert_eq!(sources(&["classify", &path(&folder, "*.jpg")]), both[..1]);

    let pizza = fs::read(demo("pizza_2")).unwrap();
    let piped = tipcam_reading(&["classify", "-"], &pizza).succeeds().json();
    let read = tipcam(&["classify", &demo("pizza_2")]).json();
    assert_eq!(piped[0]["source"], "-");
    assert_eq!(piped[0]["top"], read[0]["top"]);
}

#[test]
fn unreadable_pictures_are_told_and_the_others_answered() {
    needs_asset!();
    let folder = folder();
    let (broken, empty) = (path(&folder, "broken.jpg"), path(&folder, "empty.jpg"));
    let whole = fs::read(demo("pizza_2")).unwrap();
    fs::write(&broken, &whole[..40]).unwrap();
    fs::write(&empty, "").unwrap();
    let missing = path(&folder, "missing.jpg");
    let done = tipcam(&["classify", &broken, &missing, &empty, &demo("pizza_2")]);
    let done = done.fails_with(&["broken.jpg", "missing.jpg", "empty.jpg"]);
    assert_eq!(done.err.matches("Error: ").count(), 3, "{}", done.err);
    assert_eq!(done.json().len(), 1);
    assert_eq!(done.json()[0]["source"], demo("pizza_2"));
}

#[test]
fn an_empty_folder_is_an_error() {
    needs_asset!();
    let folder = folder();
    let name = folder.path().to_str().unwrap();
    tipcam(&["classify", name]).fails_with(&[name, "no picture"]);
    tipcam(&["watch", name]).fails_with(&[name, "no picture"]);
    tipcam(&["eval", name]).fails_with(&[name]);
    tipcam(&["build", "--shots", name, "-o", &path(&folder, "a.tipcam")]).fails_with(&[name]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_table_is_for_eyes() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2"), "--format", "table"]).succeeds();
    assert_eq!(done.out.lines().count(), 1);
    assert!(done.out.contains("pizza") && !done.out.contains('{'), "{}", done.out);
}

#[test]
fn any_number_of_threads_gives_the_same_answer() {
    needs_asset!();
    let answer = |threads: &str| {
        let done = tipcam(&["classify", &demo("elephant_43"), "--threads", threads]).succeeds();
        done.json()[0]["top"].clone()
    };
    assert_eq!(answer("1"), answer("3"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_output_is_an_error() {
    needs_asset!();
    for args in [&["classify", &demo("pizza_2")][..], &["watch", "demo"], &["inspect"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program().args(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("No space left"), "{args:?}: {err}");
    }
}
