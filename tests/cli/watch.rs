//! `tipcam watch`.

use super::*;

/// The program while it runs; killed if the test forgets it.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = program();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The exit code and stderr, within five minutes.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                let mut err = String::new();
                self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                return (status.code(), err);
            }
            assert!(begun.elapsed() < Duration::from_secs(300), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_prints_the_fields_of_the_contract_and_accounts_for_every_frame() {
    needs_asset!();
    let done = tipcam(&["watch", "demo", "--rate", "50"]).succeeds();
    let lines = done.json();
    let fields = [
        "v", "source", "frame", "mono_ms", "time", "raw", "stable", "score", "unknown", "top",
        "nearest", "ms", "dropped", "changed",
    ];
    // the first photograph is recognised: it changes the stable label
    assert_eq!(keys(&lines[0]), fields);
    assert!(lines.iter().all(|line| line["changed"] != false), "written only if so");
    let last = lines.last().unwrap();
    assert_eq!(last["frame"], 9, "the last frame is answered");
    assert_eq!(lines.len() as u64 + last["dropped"].as_u64().unwrap(), 10);
    for field in ["frame", "mono_ms", "dropped"] {
        assert!(lines.is_sorted_by(|a, b| a[field].as_u64() <= b[field].as_u64()), "{field}");
    }
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    assert!(done.err.contains("10 frames"), "{}", done.err);
}

#[test]
fn watch_answers_every_frame_when_it_is_told_to() {
    needs_asset!();
    let lines = tipcam(&["watch", "demo", "--every-frame"]).succeeds().json();
    let frames: Vec<_> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(frames, (0..10).collect::<Vec<_>>());
    assert_eq!(lines[9]["dropped"], 0);
}

#[test]
fn watch_reads_streams_from_standard_input() {
    needs_asset!();
    let count = |args: &[&str], bytes: &[u8]| {
        let all = [&["watch", "-", "--every-frame"][..], args].concat();
        tipcam_reading(&all, bytes).succeeds().json().len()
    };
    let mut y4m = b"YUV4MPEG2 W64 H48 F25:1 C420\n".to_vec();
    for frame in 0..3u8 {
        y4m.extend(b"FRAME\n");
        y4m.extend([60 * frame; 64 * 48]);
        y4m.extend([128; 64 * 48 / 2]);
    }
    assert_eq!(count(&[], &y4m), 3);
    let rgb = vec![90; 64 * 48 * 3 * 2];
    assert_eq!(count(&["--input-format", "rgb24", "--size", "64x48"], &rgb), 2);
    assert_eq!(count(&["--input-format", "yuyv", "--size", "64x48"], &rgb), 3);
    assert_eq!(count(&["--input-format", "yuv420p", "--size", "64x48"], &rgb), 4);
    let mjpeg = ["pizza_2", "rooster_3"].map(|name| fs::read(demo(name)).unwrap()).concat();
    assert_eq!(count(&["--input-format", "mjpeg"], &mjpeg), 2);
    tipcam_reading(&["watch", "-", "--input-format", "rgb24"], &rgb).fails_with(&["--size"]);
}

#[test]
fn watch_tells_what_it_could_not_read_and_goes_on() {
    needs_asset!();
    let folder = folder();
    fs::copy(demo("pizza_2"), path(&folder, "1.jpg")).unwrap();
    fs::write(path(&folder, "2.jpg"), "broken").unwrap();
    fs::copy(demo("rooster_3"), path(&folder, "3.jpg")).unwrap();
    let done = tipcam(&["watch", folder.path().to_str().unwrap(), "--every-frame"]);
    let done = done.fails_with(&["2.jpg", "1 could not be read"]);
    assert_eq!(done.json().len(), 2);
}

#[test]
fn watch_ends_quietly_when_nobody_reads_any_more() {
    needs_asset!();
    let mut running = Running::start(&["watch", "demo", "--loop", "--rate", "50"]);
    let mut line = String::new();
    let mut out = BufReader::new(running.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    let (code, err) = running.wait();
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(serde_json::from_str::<Value>(&line).is_ok());
}

#[cfg(unix)]
#[test]
fn watch_ends_with_whole_lines_on_a_signal() {
    needs_asset!();
    for signal in ["INT", "TERM"] {
        let mut running = Running::start(&["watch", "demo", "--loop", "--rate", "20"]);
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        let mut text = String::new();
        out.read_line(&mut text).unwrap();
        let id = running.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        out.read_to_string(&mut text).unwrap();
        let (code, err) = running.wait();
        assert_eq!(code, Some(0), "{signal}: {err}");
        assert!(text.ends_with("}\n"), "{signal}");
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        assert!(err.contains("frames:"), "{signal}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_watch_whose_camera_is_silent() {
    needs_asset!();
    let mut running = Running::start(&["watch", "-", "--input-format", "rgb24", "--size", "64x48"]);
    // one frame, whose answer says that it listens; then its standard input stays open and silent
    running.0.stdin.as_mut().unwrap().write_all(&[90; 64 * 48 * 3]).unwrap();
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let (code, err) = running.wait();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("1 frames"), "{err}");
}

/// A program that was started for a camera that never answers must not stay behind.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_program_that_waits_for_a_camera_too() {
    use std::os::unix::fs::PermissionsExt;
    needs_asset!();
    let folder = tempfile::tempdir().unwrap();
    let (ffmpeg, started) = (folder.path().join("ffmpeg"), folder.path().join("started"));
    let script = format!("#!/bin/sh\necho $$ > '{}'\nexec sleep 1000\n", started.display());
    fs::write(&ffmpeg, script).unwrap();
    fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = program();
    command.args(["watch", "rtsp://127.0.0.1/live"]).stdin(Stdio::null());
    command.env("PATH", format!("{}:{path}", folder.path().display()));
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let child: String = loop {
        match fs::read_to_string(&started) {
            Ok(id) if id.ends_with('\n') => break id.trim().to_owned(),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let (code, err) = running.wait();
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("gave nothing"), "it ended before it was given up: {err}");
    let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
    assert_ne!(name.trim(), "sleep", "{child} is still there");
}

#[test]
fn a_camera_is_read_while_nobody_takes_the_output() {
    needs_asset!();
    let mut running =
        Running::start(&["watch", "-", "--input-format", "rgb24", "--size", "64x48", "-k", "32"]);
    let mut camera = running.0.stdin.take().unwrap();
    // far more than pipes hold: if reading waited for the output this would never end
    let frame = vec![90; 64 * 48 * 3];
    for _ in 0..2000 {
        camera.write_all(&frame).unwrap();
    }
    drop(camera);
    let mut text = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["frame"], 1999);
    let answered = text.lines().count() as u64;
    assert_eq!(answered + last["dropped"].as_u64().unwrap(), 2000);
    assert_eq!(running.wait().0, Some(0));
}
