//! Programs that give frames: scripts in place of those of boards, and the real ffmpeg.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::frame::{Frame, Stamp};

const PAUSE: Duration = Duration::from_millis(1);

/// A folder of programs: names and what `sh` does for them.
fn programs(scripts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in scripts {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn open_in(
    uri: &str,
    options: SourceOptions,
    folder: &Path,
) -> Result<Box<dyn Source>, FrameError> {
    open_with(&uri.parse().unwrap(), options, folder.as_os_str(), PAUSE)
}

fn sized(width: u32, height: u32) -> SourceOptions {
    SourceOptions { size: Some((width, height)), ..SourceOptions::default() }
}

/// The next frame. A script that was just written may be held open by a process that another test is
/// about to start: that is no matter of the source, which tries again.
fn next(source: &mut dyn Source, frame: &mut Frame) -> Result<Option<Stamp>, FrameError> {
    loop {
        match source.next(frame) {
            Err(error) if error.to_string().contains("Text file busy") => {}
            other => return other,
        }
    }
}

/// The next error of a source whose frames do not matter.
fn error_of(source: &mut dyn Source) -> String {
    let mut frame = Frame::new();
    loop {
        match next(source, &mut frame) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without an error"),
            Err(error) => return error.to_string(),
        }
    }
}

#[test]
fn frames_of_a_raspberry_pi_come_without_their_padding() {
    let folder = programs(&[("rpicam-vid", r#"cat "$(dirname "$0")/frames"; exec sleep 60"#)]);
    // Two frames of 6x4 in rows of 64 bytes; what must not be seen is white.
    let mut frames = Vec::new();
    for number in 0..2u8 {
        let mut plane = |rows: u8, columns: usize, row: usize, value: u8| {
            for y in 0..rows {
                frames.extend(vec![value + y * 10 + number; columns]);
                frames.extend(vec![255; row - columns]);
            }
        };
        plane(4, 6, 64, 60);
        plane(2, 3, 32, 128 - 5);
        plane(2, 3, 32, 128 - 5);
    }
    fs::write(folder.path().join("frames"), &frames).unwrap();
    let mut source = open_in("rpicam://0", sized(6, 4), folder.path()).unwrap();
    assert!(source.is_live() && source.rate().is_none());
    let mut frame = Frame::new();
    for number in 0..2 {
        let stamp = next(&mut *source, &mut frame).unwrap().unwrap();
        assert_eq!((stamp.number, &*stamp.source), (number, "rpicam://0"));
        assert_eq!((frame.width(), frame.height()), (6, 4));
        for row in frame.pixels().chunks_exact(18) {
            let (first, rest) = row.split_at(3);
            assert!(rest.chunks_exact(3).all(|pixel| pixel == first), "{row:?}");
            assert!(first.iter().all(|&byte| byte < 120), "{row:?}");
        }
    }
}

#[test]
fn the_older_program_serves_where_the_newer_one_is_missing() {
    let folder = programs(&[("libcamera-vid", "head -c 192 /dev/zero; exec sleep 60")]);
    // 2x2: two rows of 64 bytes, and one of 32 for each colour.
    let mut source = open_in("rpicam://0", sized(2, 2), folder.path()).unwrap();
    assert!(next(&mut *source, &mut Frame::new()).unwrap().is_some());
}

#[test]
fn a_jetson_gives_y4m_and_gets_its_pipeline_word_by_word() {
    let script = r#"echo "$@" > "$(dirname "$0")/called"
printf 'YUV4MPEG2 W2 H2 F30:1 C420\nFRAME\n123456'
exec sleep 60"#;
    let folder = programs(&[("gst-launch-1.0", script)]);
    let mut source = open_in("csi://1", sized(2, 2), folder.path()).unwrap();
    let mut frame = Frame::new();
    assert!(next(&mut *source, &mut frame).unwrap().is_some());
    assert_eq!((frame.width(), frame.height()), (2, 2));
    assert_eq!(source.rate(), None, "a camera sets its own pace");
    let called = fs::read_to_string(folder.path().join("called")).unwrap();
    assert_eq!(
        called.trim(),
        "-q nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM) ! nvvidconv ! \
         video/x-raw,format=I420,width=8,height=2 ! y4menc ! fdsink fd=1"
    );
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let folder = programs(&[]);
    for (uri, program, package) in [
        ("rpicam://0", "rpicam-vid", "rpicam-apps"),
        ("csi://0", "gst-launch-1.0", "nvidia-l4t-gstreamer"),
        ("rtsp://user:s3cret@cam/live", "ffmpeg", "apt install ffmpeg"),
        ("a.mp4", "ffmpeg", "apt install ffmpeg"),
    ] {
        let error = open_in(uri, SourceOptions::default(), folder.path()).err().unwrap();
        let error = error.to_string();
        assert!(error.contains(program) && error.contains(package), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn the_last_words_of_a_program_are_its_error_without_the_password() {
    let script = r#"for word; do case $word in rtsp*) url=$word;; esac; done
echo "one warning" >&2; echo "$url: 401 Unauthorized (s3cret)" >&2; exit 1"#;
    let folder = programs(&[
        ("ffmpeg", script),
        (
            "rpicam-vid",
            "head -c 200 /dev/zero; echo 'ERROR: *** no cameras available ***' >&2; exit 255",
        ),
        ("gst-launch-1.0", "exit 3"),
    ]);
    let open = |uri| open_in(uri, sized(2, 2), folder.path()).unwrap();
    let error = error_of(&mut *open("rtsp://user:s3cret@cam/live"));
    assert!(error.contains("rtsp://user:***@cam/live: 401 Unauthorized (***)"), "{error}");
    assert!(error.contains("ffmpeg has ended") && !error.contains("s3cret"), "{error}");
    assert!(error.contains("; check the user name") && error.contains("waiting"), "{error}");
    let error = error_of(&mut *open("rpicam://0"));
    assert!(error.contains("no cameras available"), "{error}");
    let error = error_of(&mut *open("csi://0"));
    assert!(error.contains("exit code 3"), "{error}");
}

#[test]
fn the_line_with_the_cause_is_told_and_is_the_same_at_each_attempt() {
    let script = r#"echo "[tcp @ 0x$$] Failed to resolve hostname cam: Name or service not known" >&2
echo "rtsp://cam/live: Input/output error" >&2; exit 1"#;
    let folder = programs(&[("ffmpeg", script)]);
    let mut source = open_in("rtsp://cam/live", sized(2, 2), folder.path()).unwrap();
    let error = error_of(&mut *source);
    assert!(error.contains("has ended: Failed to resolve hostname cam: Name"), "{error}");
    assert!(error.contains("; check the host's name"), "{error}");
}

#[test]
fn a_line_that_is_too_long_to_be_kept_does_not_show_half_a_password() {
    let script = r#"for word; do case $word in rtsp*) url=$word;; esac; done
echo "$url$(head -c 4090 /dev/zero | tr '\0' x)" >&2; exit 1"#;
    let folder = programs(&[("ffmpeg", script)]);
    let uri = "rtsp://user:s3cret-s3cret@cam/";
    let error = error_of(&mut *open_in(uri, sized(2, 2), folder.path()).unwrap());
    assert!(error.contains("exit code 1") && !error.contains("cret"), "{error}");
}

#[test]
fn a_program_that_dies_is_started_again() {
    // Gives one frame and fails; from the third start on it runs.
    let script = r#"here=$(dirname "$0"); echo >> "$here/starts"
head -c 192 /dev/zero
[ "$(wc -l < "$here/starts")" -ge 3 ] && exec cat /dev/zero
echo "unplugged" >&2; exit 1"#;
    let folder = programs(&[("rpicam-vid", script)]);
    let mut source = open_in("rpicam://0", sized(2, 2), folder.path()).unwrap();
    let mut frame = Frame::new();
    let (mut frames, mut errors) = (0, Vec::new());
    while frames < 20 {
        match next(&mut *source, &mut frame) {
            Ok(stamp) => {
                assert_eq!(stamp.unwrap().number, frames);
                frames += 1;
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("unplugged"), "{errors:?}");
    assert_eq!(fs::read_to_string(folder.path().join("starts")).unwrap().lines().count(), 3);
}

#[test]
fn a_program_ends_with_its_source() {
    let script = r#"echo $$ > "$(dirname "$0")/pid"; head -c 192 /dev/zero; exec sleep 1000"#;
    let folder = programs(&[("rpicam-vid", script)]);
    let mut source = open_in("rpicam://0", sized(2, 2), folder.path()).unwrap();
    assert!(next(&mut *source, &mut Frame::new()).unwrap().is_some());
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    drop(source);
    assert!(!process.exists(), "killed and waited for: not even a zombie is left");
}

#[test]
fn a_program_that_hangs_is_lost_with_what_it_said() {
    let script = "echo 'no signal' >&2; head -c 192 /dev/zero; exec sleep 1000";
    let folder = programs(&[("rpicam-vid", script)]);
    let plan = Plan::of(&Uri::Rpicam(0), &sized(2, 2)).unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan { silence: Duration::from_millis(300), ..plan };
    let mut source = Spawned::open("rpicam://0", plan, folder.path().as_os_str()).unwrap();
    let error = error_of(&mut source);
    assert!(error.contains("gave nothing for 300ms (no signal)"), "{error}");
    assert!(next(&mut source, &mut Frame::new()).unwrap().is_none());
}

#[test]
fn a_camera_cannot_be_looped() {
    let options = SourceOptions { looped: true, ..SourceOptions::default() };
    let error = open_in("rpicam://0", options, Path::new("/")).err().unwrap().to_string();
    assert!(error.contains("--loop"), "{error}");
}

/// A video of five frames of 64x48, or `None` where there is no ffmpeg.
fn video(folder: &Path) -> Option<String> {
    let Some(ffmpeg) = spawned::find("ffmpeg", &search_path()) else {
        eprintln!("left out: ffmpeg is not installed");
        return None;
    };
    let path = folder.join("a video:1.mkv").to_str().unwrap().to_owned();
    let made = Command::new(ffmpeg)
        .args(["-v", "error", "-f", "lavfi", "-i", "color=red:size=64x48:rate=12.5:duration=0.4"])
        .args(["-c:v", "mjpeg", "-q:v", "2", &format!("file:{path}")])
        .status();
    assert!(made.unwrap().success());
    Some(path)
}

#[test]
fn a_video_is_read_through_ffmpeg_at_its_own_rate() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = video(folder.path()) else { return };
    let mut frame = Frame::new();
    let mut count = |options: SourceOptions, most: usize| {
        let mut source = crate::frame::open(&path, options).unwrap();
        assert!(!source.is_live());
        assert_eq!(source.rate(), Some(12.5));
        let mut frames = 0;
        while frames < most && next(&mut *source, &mut frame).unwrap().is_some() {
            frames += 1;
        }
        let middle = frame.pixels().len() / 2 / 3 * 3;
        let [red, green, blue] = *frame.pixels()[middle..].first_chunk().unwrap();
        assert!(red > 230 && green < 25 && blue < 25, "{red} {green} {blue}");
        (frames, frame.width(), frame.height())
    };
    assert_eq!(count(SourceOptions::default(), 99), (5, 64, 48));
    assert_eq!(count(sized(33, 20), 99), (5, 33, 20));
    let looped = SourceOptions { looped: true, ..SourceOptions::default() };
    assert_eq!(count(looped, 12), (12, 64, 48));
}

#[test]
fn a_broken_video_and_a_dead_stream_say_what_ffmpeg_says() {
    let folder = tempfile::tempdir().unwrap();
    if video(folder.path()).is_none() {
        return;
    }
    let broken = folder.path().join("broken.mp4");
    fs::write(&broken, b"this is no video").unwrap();
    let error = crate::frame::open(broken.to_str().unwrap(), SourceOptions::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("ffmpeg has ended") && error.contains("Invalid data"), "{error}");

    // Nobody listens on this port of this machine.
    let dead = "rtsp://user:s3cret@127.0.0.1:9/live";
    let mut source = crate::frame::open(dead, SourceOptions::default()).unwrap();
    let error = error_of(&mut *source);
    assert!(error.contains("user:***@127.0.0.1") && error.contains("refused"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}
