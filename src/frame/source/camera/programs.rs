//! Which program gives an input's frames, how it is called, and how it is installed.

use std::time::Duration;

use super::super::layout::Layout;
use super::super::uri::{Address, Uri};
use super::super::{Format, SourceOptions};
use crate::frame::FrameError;

/// Asked of a Raspberry Pi's camera where nothing is said.
const RPICAM_SIZE: (u32, u32) = (640, 480);
/// Asked of a Jetson's camera where nothing is said: its sensors' usual modes are this wide.
const CSI_SIZE: (u32, u32) = (640, 360);
/// Frames a second of a stream where nothing is said: some streams claim thousands.
const STREAM_RATE: f64 = 25.0;
/// GStreamer's rows of colour are multiples of 4 bytes, and half as long as the picture's.
const CSI_ROW: u32 = 8;
/// The rows that libcamera gives begin at multiples of so many bytes.
const LIBCAMERA_ROW: u32 = 64;

/// A program that writes nothing for so long, and for two frames, is dead: connecting and waiting for
/// the first whole picture of a stream takes seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// A file is there or not: what is silent for less is a processor that has no time for ffmpeg.
const SILENCE_OF_A_FILE: Duration = Duration::from_secs(120);

/// Words of a program's messages, and what helps then.
pub(super) type Hints = &'static [(&'static str, &'static str)];

const STREAM_HINTS: Hints = &[
    ("401 Unauthorized", "check the user name and the password in the address"),
    ("404 Not Found", "check what stands behind the host in the address"),
    ("resolve hostname", "check the host's name in the address"),
    ("Connection refused", "is the camera switched on, and is the port right?"),
    ("No route to host", "is the camera switched on, and in the same network?"),
];
const CSI_HINTS: Hints = &[("nvarguscamerasrc\"", "sudo apt install nvidia-l4t-gstreamer")];

/// A program that writes frames to its standard output.
pub(super) struct Plan {
    /// The first of them that is installed is taken.
    pub(super) programs: &'static [&'static str],
    /// How to install it.
    pub(super) remedy: &'static str,
    pub(super) hints: Hints,
    pub(super) args: Vec<String>,
    pub(super) output: Output,
    pub(super) live: bool,
    /// How long its output is waited for.
    pub(super) silence: Duration,
    /// What its messages must not repeat.
    pub(super) secret: Option<Address>,
}

/// What a program writes.
pub(super) enum Output {
    Y4m,
    Raw(Layout),
}

impl Plan {
    pub(super) fn of(uri: &Uri, options: &SourceOptions) -> Result<Self, FrameError> {
        if let Some(format) = options.format {
            return Err(FrameError::Option {
                name: uri.to_string(),
                reason: format!("the frames of this input do not come as {format}"),
                remedy: "leave out --input-format",
            });
        }
        match uri {
            Uri::Rpicam(number) => rpicam(*number, options),
            Uri::Csi(number) => Ok(csi(*number, options)),
            Uri::Network(address) => Ok(stream(address, uri.is_live(), options)),
            Uri::Video(path) => Ok(video(path, options)),
            Uri::Demo | Uri::Stdin | Uri::Path(_) | Uri::V4l2(_) => Err(FrameError::Option {
                name: uri.to_string(),
                reason: "no program is needed for this input".into(),
                remedy: "give a camera, a stream or a video",
            }),
        }
    }
}

fn silence(options: &SourceOptions) -> Duration {
    let frame = options.rate.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok());
    SILENCE.saturating_add(frame.unwrap_or_default().saturating_mul(2))
}

/// Both sides even, as 4:2:0 of cameras has them.
fn even((width, height): (u32, u32)) -> (u32, u32) {
    (width.next_multiple_of(2), height.next_multiple_of(2))
}

fn args<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(Into::into).into()
}

fn rpicam(number: u8, options: &SourceOptions) -> Result<Plan, FrameError> {
    let (width, height) = even(options.size.unwrap_or(RPICAM_SIZE));
    let mut args = args(["-t", "0", "-n", "--codec", "yuv420", "--flush"]);
    args.extend(["--camera".into(), number.to_string()]);
    args.extend(["--width".into(), width.to_string()]);
    args.extend(["--height".into(), height.to_string()]);
    if let Some(rate) = options.rate {
        args.extend(["--framerate".into(), rate.to_string()]);
    }
    args.extend(["-o".into(), "-".into()]);
    let layout = Layout::tight(Format::Yuv420p, width, height)
        .map(|layout| layout.with_stride(width.next_multiple_of(LIBCAMERA_ROW) as usize));
    let layout = layout.ok_or_else(|| FrameError::damaged("rpicam", "no raw format"))?;
    Ok(Plan {
        programs: &["rpicam-vid", "libcamera-vid"],
        remedy: "on Raspberry Pi OS: sudo apt install rpicam-apps-lite (libcamera-apps-lite before \
                 Bookworm); other systems have no such camera",
        args,
        output: Output::Raw(layout),
        hints: &[],
        live: true,
        silence: silence(options),
        secret: None,
    })
}

fn csi(number: u8, options: &SourceOptions) -> Plan {
    let (width, height) = even(options.size.unwrap_or(CSI_SIZE));
    // y4menc writes whole rows of GStreamer's buffers, which it pads
    let width = width.next_multiple_of(CSI_ROW);
    let mut args = args(["-q", "nvarguscamerasrc"]);
    args.push(format!("sensor-id={number}"));
    args.extend(["!".into(), "video/x-raw(memory:NVMM)".into(), "!".into(), "nvvidconv".into()]);
    let size = format!("video/x-raw,format=I420,width={width},height={height}");
    args.extend(["!".into(), size]);
    if let Some(rate) = options.rate {
        args.extend(["!".into(), "videorate".into(), "drop-only=true".into()]);
        // a range: a camera that is slower than this is not to be refused
        let thousandths = (rate * 1000.0).round().max(1.0);
        args.extend(["!".into(), format!("video/x-raw,framerate=[0/1,{thousandths}/1000]")]);
    }
    args.extend(["!", "y4menc", "!", "fdsink", "fd=1"].map(Into::into));
    Plan {
        programs: &["gst-launch-1.0"],
        remedy: "on a Jetson: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good \
                 nvidia-l4t-gstreamer; other systems have no such camera",
        hints: CSI_HINTS,
        args,
        output: Output::Y4m,
        live: true,
        silence: silence(options),
        secret: None,
    }
}

fn stream(address: &Address, live: bool, options: &SourceOptions) -> Plan {
    let url = address.secret();
    let mut before = Vec::new();
    if url.to_ascii_lowercase().starts_with("rtsp") {
        // Lost datagrams smear the picture; what is lost here is asked for again.
        before.extend(["-rtsp_transport", "tcp"].map(Into::into));
    }
    let mut after = Vec::new();
    if live {
        before.extend(["-fflags", "nobuffer", "-flags", "low_delay"].map(Into::into));
        after.extend(["-r".into(), options.rate.unwrap_or(STREAM_RATE).to_string()]);
    }
    let secret = Some(address.clone());
    Plan { live, secret, hints: STREAM_HINTS, ..ffmpeg(before, url, after, options) }
}

fn video(path: &str, options: &SourceOptions) -> Plan {
    // With its protocol, a name like `a:b.mp4` or `-x.mp4` is a file too.
    let plan = ffmpeg(Vec::new(), &format!("file:{path}"), Vec::new(), options);
    Plan { silence: SILENCE_OF_A_FILE, ..plan }
}

fn ffmpeg(before: Vec<String>, input: &str, after: Vec<String>, options: &SourceOptions) -> Plan {
    let mut all = args(["-nostdin", "-hide_banner", "-v", "error"]);
    all.extend(before);
    if options.looped {
        all.extend(["-stream_loop", "-1"].map(Into::into));
    }
    all.extend(["-i", input, "-map", "0:v:0", "-pix_fmt", "yuv420p"].map(Into::into));
    if let Some((width, height)) = options.size {
        all.extend(["-vf".into(), format!("scale={width}:{height}")]);
    }
    all.extend(after);
    all.extend(["-f", "yuv4mpegpipe", "-"].map(Into::into));
    Plan {
        programs: &["ffmpeg"],
        remedy: "on Debian, Raspberry Pi OS and Jetson: sudo apt install ffmpeg",
        hints: &[],
        args: all,
        output: Output::Y4m,
        live: false,
        silence: silence(options),
        secret: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(uri: &str, options: SourceOptions) -> Plan {
        Plan::of(&uri.parse().unwrap(), &options).unwrap_or_else(|error| panic!("{error}"))
    }

    fn words(uri: &str, options: SourceOptions) -> String {
        plan(uri, options).args.join(" ")
    }

    const BIG: SourceOptions = SourceOptions {
        size: Some((801, 600)),
        rate: Some(7.5),
        looped: false,
        format: None,
        flip: crate::frame::Flip::None,
        rotate: crate::frame::Rotate::None,
    };

    #[test]
    fn size_and_rate_reach_every_program() {
        let rpicam = words("rpicam://1", BIG);
        assert!(rpicam.contains("--camera 1 --width 802 --height 600 --framerate 7.5"), "{rpicam}");
        let csi = words("csi://1", BIG);
        assert!(csi.contains("sensor-id=1") && csi.contains("width=808,height=600"), "{csi}");
        assert!(csi.contains("framerate=[0/1,7500/1000]"), "{csi}");
        let stream = words("rtsp://cam/live", BIG);
        assert!(stream.contains("scale=801:600 -r 7.5"), "{stream}");
        assert!(stream.contains("-rtsp_transport tcp"), "{stream}");
        let http = words("http://cam/live", SourceOptions::default());
        assert!(http.contains("-r 25") && !http.contains("rtsp"), "{http}");
        // A recording is replayed at its own rate by whoever asks for its frames.
        assert!(!words("a.mp4", BIG).contains("-r "));
        let looped = SourceOptions { looped: true, ..SourceOptions::default() };
        assert!(words("-a:b.mp4", looped).contains("-stream_loop -1 -i file:-a:b.mp4"));
    }

    #[test]
    fn a_slow_rate_is_no_silence() {
        let slow = SourceOptions { rate: Some(0.05), ..SourceOptions::default() };
        for uri in ["rpicam://0", "csi://0", "rtsp://cam/live"] {
            assert_eq!(plan(uri, slow).silence, SILENCE + Duration::from_secs(40), "{uri}");
            assert_eq!(plan(uri, SourceOptions::default()).silence, SILENCE);
        }
        let video = plan("a.mp4", SourceOptions { looped: true, ..SourceOptions::default() });
        assert_eq!(video.silence, SILENCE_OF_A_FILE);
    }

    #[test]
    fn a_camera_is_live_and_a_recording_is_not() {
        for (uri, live) in [
            ("rpicam://0", true),
            ("csi://0", true),
            ("rtsp://cam/a.mp4", true),
            ("https://host/a.mp4", false),
            ("a.mp4", false),
        ] {
            assert_eq!(plan(uri, SourceOptions::default()).live, live, "{uri}");
        }
    }

    #[test]
    fn rows_of_a_raspberry_pi_are_padded_to_64_bytes() {
        let size = Some((100, 50));
        let plan = plan("rpicam://0", SourceOptions { size, ..SourceOptions::default() });
        let Output::Raw(layout) = plan.output else { panic!() };
        assert_eq!(layout.len(), 128 * 50 + 2 * 64 * 25);
    }

    #[test]
    fn an_input_format_is_refused() {
        let options = SourceOptions { format: Some(Format::Yuyv), ..SourceOptions::default() };
        for uri in ["rpicam://0", "csi://0", "rtsp://cam/live"] {
            let error = Plan::of(&uri.parse().unwrap(), &options).err().unwrap().to_string();
            assert!(error.contains("--input-format"), "{error}");
        }
    }
}
