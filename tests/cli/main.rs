//! The program as its users meet it: command lines, exit codes, outputs and what they keep whole.
//!
//! Most of it needs an asset inside the program; a build without one leaves those tests out.

macro_rules! needs_asset {
    () => {
        if !has_asset() {
            return;
        }
    };
}

mod classify;
mod convert;
mod fit;
mod keep;
mod make;
mod resume;
mod service;
#[cfg(feature = "import")]
mod text;
mod watch;
mod wrong;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;
use tempfile::TempDir;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo");

/// What a finished program left behind.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    /// The JSON objects of the output, one a line.
    fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// Fails with all of `words` in what it says on stderr.
    #[track_caller]
    fn fails_with(self, words: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self
    }
}

/// The program, under the emulator that cargo runs the tests with if there is one.
fn program() -> Command {
    Command::cargo_bin("tipcam").unwrap()
}

fn tipcam<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Done {
    tipcam_reading(args, b"")
}

fn tipcam_reading<S: AsRef<std::ffi::OsStr>>(args: &[S], input: &[u8]) -> Done {
    let mut command = assert_cmd::Command::from_std(program());
    let output =
        command.args(args).write_stdin(input).timeout(Duration::from_secs(600)).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whether the program has an asset inside.
fn has_asset() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let has = tipcam(&["inspect"]).code == 0;
        if !has {
            println!("left out: tests that need an asset (the program was built without one)");
        }
        has
    })
}

fn demo(name: &str) -> String {
    format!("{DEMO}/{name}.jpg")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A copy of the asset in the program, as `learn` makes one: with one more class, "stripes".
fn own_asset(folder: &TempDir) -> String {
    let (asset, picture) = (path(folder, "own.tipcam"), path(folder, "stripes.ppm"));
    write_stripes(&picture, 8);
    tipcam(&["learn", "stripes", &picture, "--asset", &asset]).succeeds();
    asset
}

/// A picture of vertical stripes.
fn write_stripes(path: &str, width: usize) {
    let mut ppm = b"P6 160 120 255\n".to_vec();
    for at in 0..160 * 120 {
        let on = (at % 160 / width).is_multiple_of(2);
        ppm.extend(if on { [250, 240, 20] } else { [20, 20, 120] });
    }
    fs::write(path, ppm).unwrap();
}

#[test]
fn help_shows_examples_for_every_command() {
    let help = tipcam(&["--help"]).succeeds().out;
    let mut commands = vec![
        "classify",
        "watch",
        "learn",
        "forget",
        "install",
        "build",
        "fit",
        "eval",
        "embed",
        "convert",
        "inspect",
        "doctor",
        "cameras",
        "completions",
        "man",
    ];
    if cfg!(feature = "import") {
        commands.extend(["encoder", "text"]);
    }
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in:\n{help}");
        let own = tipcam(&[command, "--help"]).succeeds().out;
        assert!(own.contains("--asset") && own.contains("--kernel"), "{own}");
    }
    assert!(help.contains("Examples:") && help.contains("Exit code"));
}

#[test]
fn manual_pages_and_completions_are_written_by_the_program() {
    assert!(tipcam(&["man"]).succeeds().out.contains(".TH tipcam 1"));
    let folder = folder();
    tipcam(&["man", &path(&folder, "man1")]).succeeds();
    let page = fs::read_to_string(path(&folder, "man1/tipcam-watch.1")).unwrap();
    assert!(page.contains("camera"), "{page}");
    for shell in ["bash", "fish", "zsh"] {
        let script = tipcam(&["completions", shell]).succeeds().out;
        assert!(script.contains("classify"), "{shell}: {script}");
    }
    assert_eq!(tipcam(&["completions", "dos"]).code, 2);
    let file = path(&folder, "file");
    fs::write(&file, "").unwrap();
    tipcam(&["man", &file]).fails_with(&["writing manual pages", &file]);
}

#[test]
fn an_unknown_flag_is_an_error_of_the_command_line() {
    let done = tipcam(&["classify", "x.jpg", "--colour"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--colour"), "{}", done.err);
    assert_eq!(tipcam(&["classify"]).code, 2, "no path");
    assert_eq!(tipcam(&["paint"]).code, 2, "no such command");
    assert_eq!(tipcam(&["doctor", "--threads", "0"]).code, 2);
    assert_eq!(tipcam(&["watch", "demo", "--size", "big"]).code, 2);
}

#[test]
fn a_kernel_that_the_processor_lacks_is_an_error_that_lists_those_it_has() {
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx512" };
    tipcam(&["doctor", "--kernel", foreign]).fails_with(&[foreign, "it has scalar"]);
    tipcam(&["doctor", "--kernel", "scalar"]).succeeds();
}

#[test]
fn doctor_describes_the_machine() {
    let done = tipcam(&["doctor", "--format", "json"]).succeeds();
    let report = &done.json()[0];
    assert_eq!(report["arch"], std::env::consts::ARCH);
    assert_eq!(report["kernels"][0], "scalar");
    assert!(report["kernels"].as_array().unwrap().contains(&report["kernel"]));
    assert!(report["threads"].as_u64().unwrap() >= 1);
    assert!(tipcam(&["doctor"]).succeeds().out.contains("kernels"));
}

#[test]
fn a_missing_asset_is_named_with_what_to_do() {
    tipcam(&["classify", "x.jpg", "--asset", "/nowhere/my.tipcam"])
        .fails_with(&["Error: /nowhere/my.tipcam", "check the path"]);
}
