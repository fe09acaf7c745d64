//! Opening by name, format and first bytes.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const PHOTOGRAPH: &[u8] = include_bytes!("../../../models/demo/pizza_2.jpg");
const Y4M: &[u8] = b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x10FRAME\n\xeb";

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn names(paths: &[PathBuf], folder: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
    paths.iter().map(name).collect()
}

/// Numbers of the frames, at most `most` of them.
fn frames(input: &Path, options: SourceOptions, most: usize) -> Vec<u64> {
    let mut source = open(input.to_str().unwrap(), options).unwrap();
    let mut frame = Frame::new();
    let mut numbers = Vec::new();
    while numbers.len() < most {
        let Some(stamp) = source.next(&mut frame).unwrap() else { break };
        assert!(frame.width() > 0);
        numbers.push(stamp.number);
    }
    numbers
}

#[test]
fn folders_and_patterns_give_their_pictures_in_order() {
    let folder = folder(&[
        ("b/2.JPG", b""),
        ("b/1.jpeg", b""),
        ("a/3.png", b""),
        ("a/notes.txt", b""),
        ("a/.hidden.png", b""),
        ("c/d/4.tiff", b""),
    ]);
    let root = folder.path();
    let found = |input: PathBuf| names(&pictures(input.to_str().unwrap()).unwrap(), root);
    assert_eq!(found(root.into()), ["a/3.png", "b/1.jpeg", "b/2.JPG", "c/d/4.tiff"]);
    assert_eq!(found(root.join("*/*.j*")), ["b/1.jpeg"]);
    assert_eq!(found(root.join("[ac]")), ["a/3.png", "c/d/4.tiff"]);
    assert_eq!(found(root.join("a/notes.txt")), ["a/notes.txt"]);
}

#[test]
fn nothing_found_and_nothing_there_are_clear_errors() {
    let folder = folder(&[("notes.txt", b"hello")]);
    let error = |input: &str| pictures(input).unwrap_err().to_string();
    let root = folder.path().to_str().unwrap();
    assert!(error(root).contains("no picture there"), "{}", error(root));
    assert!(error(&format!("{root}/*.jpg")).contains("no picture there"));
    assert!(error(&format!("{root}/gone.jpg")).contains("gone.jpg: cannot be read"));
    assert!(error(&format!("{root}/***")).contains("the pattern is broken"));
}

#[test]
fn a_stream_is_told_by_its_name_or_its_first_bytes() {
    let twice = [PHOTOGRAPH, PHOTOGRAPH].concat();
    let folder = folder(&[
        ("a.y4m", Y4M),
        ("b", Y4M),
        ("c.mjpeg", &twice),
        ("d.bin", &twice),
        ("e.jpg", PHOTOGRAPH),
        ("f.rgb", &[7; 12]),
        ("g.bin", b"\x89PNG\r\n\x1a\nbroken"),
    ]);
    let path = |name: &str| folder.path().join(name);
    let plain = SourceOptions::default();
    for (name, count) in [("a.y4m", 2), ("b", 2), ("c.mjpeg", 2), ("d.bin", 2), ("e.jpg", 1)] {
        let numbers: Vec<u64> = (0..count).collect();
        assert_eq!(frames(&path(name), plain, 9), numbers, "{name}");
    }
    let size = SourceOptions { size: Some((2, 1)), ..plain };
    assert_eq!(frames(&path("f.rgb"), size, 9), [0, 1]);
    let yuyv = SourceOptions { format: Some(Format::Yuyv), ..size };
    assert_eq!(frames(&path("f.rgb"), yuyv, 9), [0, 1, 2]);
    let mut source = open(path("g.bin").to_str().unwrap(), plain).unwrap();
    assert!(source.next(&mut Frame::new()).is_err());
    assert!(source.next(&mut Frame::new()).unwrap().is_none());
}

#[test]
fn a_loop_begins_again_but_not_over_nothing() {
    let folder = folder(&[
        ("a.y4m", Y4M),
        ("c.mjpeg", PHOTOGRAPH),
        ("e.jpg", PHOTOGRAPH),
        ("f.rgb", &[7; 6]),
        ("empty.rgb", b""),
        ("empty.mjpeg", b""),
    ]);
    let options = SourceOptions { size: Some((2, 1)), looped: true, ..SourceOptions::default() };
    for name in ["a.y4m", "c.mjpeg", "e.jpg", "f.rgb"] {
        assert_eq!(frames(&folder.path().join(name), options, 5), [0, 1, 2, 3, 4], "{name}");
    }
    for name in ["empty.rgb", "empty.mjpeg"] {
        assert!(frames(&folder.path().join(name), options, 5).is_empty(), "{name}");
    }
    let error = open("-", options).err().unwrap().to_string();
    assert!(error.contains("only once") && error.contains("--loop"), "{error}");
}

#[test]
fn the_demo_shows_each_bundled_photograph() {
    let mut source = open("demo", SourceOptions::default()).unwrap();
    let mut frame = Frame::new();
    let mut labels = Vec::new();
    while let Some(stamp) = source.next(&mut frame).unwrap() {
        labels.push(stamp.source.to_string());
    }
    assert_eq!(labels.len(), 10);
    assert_eq!(labels[0], "demo/butterfly_68.jpg");
    let looped = SourceOptions { looped: true, ..SourceOptions::default() };
    assert_eq!(frames(Path::new("demo"), looped, 25).len(), 25);
}

#[test]
fn unknown_bytes_ask_for_the_format() {
    let folder = folder(&[("a.bin", b"what is this, please?"), ("none", b"")]);
    let error = |name: &str| {
        let path = folder.path().join(name);
        open(path.to_str().unwrap(), SourceOptions::default()).err().unwrap().to_string()
    };
    assert!(error("a.bin").contains("--input-format"), "{}", error("a.bin"));
    assert!(error("none").contains("no bytes"), "{}", error("none"));
}
