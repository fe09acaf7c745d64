use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use linuxvideo::{CapabilityFlags, Device};

use super::modes::{self, Mode};
use super::{search_path, spawned};

/// How long libcamera may take to list its cameras.
const LISTING: Duration = Duration::from_secs(10);

/// Drivers of image processors and codecs: devices that look like cameras and are none.
const NO_CAMERAS: [&str; 5] = ["bcm2835-isp", "bcm2835-codec", "pispbe", "rpi-hevc-dec", "rpivid"];

/// A camera of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// What to give as an input: `/dev/video0`, `rpicam://0`.
    pub input: String,
    /// What it calls itself.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// What it can give; without those that are not read.
    pub modes: Vec<Mode>,
    /// Why it cannot be used as it is.
    pub problem: Option<String>,
}

/// The cameras of this machine: those of V4L2, and a Raspberry Pi's where its programs are there.
#[must_use]
pub fn cameras() -> Vec<Camera> {
    let mut cameras = v4l2(Path::new("/dev"), Path::new("/sys/class/video4linux"));
    cameras.extend(rpicam(&search_path()));
    cameras
}

fn v4l2(dev: &Path, sys: &Path) -> Vec<Camera> {
    let names = fs::read_dir(dev).into_iter().flatten().filter_map(Result::ok);
    let mut numbers: Vec<u32> = names
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.iter().filter_map(|number| camera(dev, sys, &format!("video{number}"))).collect()
}

/// `None` for a device that is no camera.
fn camera(dev: &Path, sys: &Path, device: &str) -> Option<Camera> {
    let input = dev.join(device).display().to_string();
    // From here rather than from the device: a name may be cut within a character.
    let name = fs::read(sys.join(device).join("name")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    let driver = fs::read_link(sys.join(device).join("device/driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    let mut camera = Camera {
        input,
        name,
        driver: driver.unwrap_or_default(),
        modes: Vec::new(),
        problem: None,
    };
    if NO_CAMERAS.iter().any(|no| camera.driver == *no || camera.name.starts_with(no)) {
        return None;
    }
    let device = match Device::open(&camera.input) {
        Ok(device) => device,
        Err(error) => {
            camera.problem =
                Some(format!("it cannot be opened ({error}); is the user in the group video?"));
            return Some(camera);
        }
    };
    let capabilities = device.capabilities().ok()?.device_capabilities();
    if capabilities.contains(CapabilityFlags::VIDEO_CAPTURE_MPLANE) {
        camera.problem = Some("it gives its pictures in several planes, which is not read".into());
        return Some(camera);
    }
    if !capabilities.contains(CapabilityFlags::VIDEO_CAPTURE) {
        return None;
    }
    let offered = modes::fourccs(&device);
    camera.modes = modes::modes(&device, &offered).into_iter().map(|(_, mode)| mode).collect();
    if camera.modes.is_empty() {
        camera.problem = Some(
            "none of its formats is read; if it is a sensor without an image processor, give \
             rpicam://0 on a Raspberry Pi or csi://0 on a Jetson"
                .into(),
        );
    }
    Some(camera)
}

/// A Raspberry Pi's cameras; none where its programs are missing or fail.
fn rpicam(search: &OsStr) -> Vec<Camera> {
    let program =
        ["rpicam-hello", "libcamera-hello"].iter().find_map(|it| spawned::find(it, search));
    let Some(program) = program else { return Vec::new() };
    let mut command = Command::new(program);
    command.arg("--list-cameras").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Vec::new() };
    let end = Instant::now() + LISTING;
    // What it writes is less than a pipe holds.
    let ended = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            status => break matches!(status, Ok(Some(_))),
        }
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return Vec::new();
    }
    let mut text = Vec::new();
    let read = child.stdout.take().map(|out| out.take(1 << 16).read_to_end(&mut text));
    if read.is_some_and(|read| read.is_ok()) {
        listed(&String::from_utf8_lossy(&text))
    } else {
        Vec::new()
    }
}

/// Reads what `--list-cameras` prints: a line `0 : imx219 [3280x2464 ...] (path)` for each camera,
/// and for each of its modes a size and `[... fps`.
fn listed(text: &str) -> Vec<Camera> {
    let mut cameras: Vec<Camera> = Vec::new();
    for line in text.lines() {
        let head = line.split_once(" : ").and_then(|(number, rest)| {
            Some((number.trim().parse::<u8>().ok()?, rest.split_whitespace().next()?))
        });
        if let Some((number, name)) = head {
            cameras.push(Camera {
                input: format!("rpicam://{number}"),
                name: name.into(),
                driver: "libcamera".into(),
                modes: Vec::new(),
                problem: None,
            });
        } else if let (Some(camera), Some(mode)) = (cameras.last_mut(), mode(line)) {
            // A size comes once for each depth of colour.
            if !camera.modes.contains(&mode) {
                camera.modes.push(mode);
            }
        }
    }
    cameras
}

fn mode(line: &str) -> Option<Mode> {
    let (before, after) = line.split_once(" fps")?;
    let (size, rate) = before.rsplit_once('[')?;
    let (width, height) = size.split_whitespace().last()?.split_once('x')?;
    let size = (width.parse().ok()?, height.parse().ok()?);
    let rate = rate.trim().parse().ok().filter(|rate: &f64| rate.is_finite() && !after.is_empty());
    Some(Mode { format: None, smallest: size, largest: size, rates: rate.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
Available cameras
-----------------
0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
    Modes: 'SRGGB10_CSI2P' : 640x480 [103.33 fps - (1000, 752)/1280x960 crop]
                             3280x2464 [21.19 fps - (0, 0)/3280x2464 crop]
           'SRGGB8' : 640x480 [103.33 fps - (1000, 752)/1280x960 crop]

1 : ov5647 [2592x1944 10-bit GBRG] (/base/soc/i2c0mux/i2c@0/ov5647@36)
    Modes: 'SGBRG10_CSI2P' : 640x480 [58.92 fps - (16, 0)/2560x1920 crop]
";

    #[test]
    fn the_list_of_a_raspberry_pi_is_read() {
        let cameras = listed(LISTED);
        let inputs: Vec<_> = cameras.iter().map(|it| (&*it.input, &*it.name)).collect();
        assert_eq!(inputs, [("rpicam://0", "imx219"), ("rpicam://1", "ov5647")]);
        let modes: Vec<_> =
            cameras[0].modes.iter().map(|mode| (mode.largest, mode.rates[0])).collect();
        assert_eq!(modes, [((640, 480), 103.33), ((3280, 2464), 21.19)]);
        assert_eq!(cameras[1].modes.len(), 1);
        assert!(listed("No cameras available!\n").is_empty() && listed("").is_empty());
        assert!(listed("    640x480 [1 fps - ]\n").is_empty(), "a mode without a camera");
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_listed_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (dev, sys) = (folder.path().join("dev"), folder.path().join("sys"));
        for (name, card) in
            [("video2", b"Webcam \xc3\n".as_slice()), ("video10", b"bcm2835-isp-capture0\n")]
        {
            fs::create_dir_all(sys.join(name)).unwrap();
            fs::write(sys.join(name).join("name"), card).unwrap();
            fs::create_dir_all(&dev).unwrap();
            fs::write(dev.join(name), b"").unwrap();
        }
        let cameras = v4l2(&dev, &sys);
        assert_eq!(cameras.len(), 1, "{cameras:?}");
        assert_eq!(cameras[0].name, "Webcam \u{fffd}");
        assert!(cameras[0].problem.as_ref().is_some_and(|text| text.contains("cannot be opened")));
        assert!(v4l2(Path::new("/nowhere"), &sys).is_empty());
    }
}
