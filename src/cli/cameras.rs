//! `tipcam cameras`: what can be given to `watch`?

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use super::shared::{Format, Shared};
use super::table::Table;
use crate::frame::source::{self, Camera, Mode};

/// List the cameras of this machine with their formats, sizes and rates
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam cameras
  tipcam watch /dev/video0 --size 1280x720 --rate 10 --input-format mjpeg

The first column is what `watch` takes. It asks a camera for 640x480, or the nearest size, in the format
that costs least, unless it is told otherwise.
Streams (rtsp://...), a Jetson's own cameras (csi://0) and videos are not listed but can be watched.")]
pub(super) struct Cameras {}

impl Cameras {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let cameras = source::cameras();
        super::print(&match shared.format_or(Format::Table) {
            Format::Json => {
                let cameras: Vec<_> = cameras.iter().map(json_of).collect();
                format!("{}\n", json!({ "v": crate::report::SCHEMA, "cameras": cameras }))
            }
            Format::Table => text_of(&cameras),
        })?;
        Ok(Outcome::Done)
    }
}

fn json_of(camera: &Camera) -> Value {
    let mode = |mode: &Mode| {
        let rates: Vec<_> = mode.rates.iter().map(|rate| (rate * 100.0).round() / 100.0).collect();
        // a driver that does not say its sizes takes any
        let largest = (mode.largest.0 < u32::MAX).then_some([mode.largest.0, mode.largest.1]);
        json!({
            "format": mode.format.map(|format| format.name()),
            "smallest": [mode.smallest.0, mode.smallest.1],
            "largest": largest,
            "rates": rates,
        })
    };
    json!({
        "input": camera.input,
        "name": camera.name,
        "driver": camera.driver,
        "problem": camera.problem,
        "modes": camera.modes.iter().map(mode).collect::<Vec<_>>(),
    })
}

fn text_of(cameras: &[Camera]) -> String {
    if cameras.is_empty() {
        return "No camera is connected (or none that this user may use: is the user in the group \
                video?).\n`tipcam watch demo` shows a few photographs instead; rtsp://..., videos \
                and folders of pictures work too.\n"
            .into();
    }
    let mut table = Table::default();
    table.row(["input", "camera", "driver", "format", "sizes (frames a second)"]);
    for camera in cameras {
        let mut first = [&*camera.input, &*camera.name, &*camera.driver];
        if let Some(problem) = &camera.problem {
            let [input, name, driver] = first;
            table.row([input, name, driver, "-", problem]);
        }
        // one line for each format, in the order of the modes
        for same in camera.modes.chunk_by(|a, b| a.format == b.format) {
            let format = same[0].format.map_or("its own", |format| format.name());
            let sizes: Vec<_> = same.iter().map(size).collect();
            let [input, name, driver] = std::mem::take(&mut first);
            table.row([input, name, driver, format, &sizes.join(", ")]);
        }
    }
    table.text()
}

fn size(mode: &Mode) -> String {
    let size = |(width, height): (u32, u32)| format!("{width}x{height}");
    let sizes = match (mode.smallest, mode.largest) {
        (smallest, largest) if smallest == largest => size(largest),
        (_, (u32::MAX, _)) => "any size".into(),
        (smallest, largest) => format!("{} to {}", size(smallest), size(largest)),
    };
    let rates: Vec<_> =
        mode.rates.iter().map(|rate| format!("{}", (rate * 10.0).round() / 10.0)).collect();
    if rates.is_empty() { sizes } else { format!("{sizes} ({})", rates.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Format as Pixels;

    fn webcam() -> Camera {
        let mode = |format, width, height, rates: &[f64]| Mode {
            format: Some(format),
            smallest: (width, height),
            largest: (width, height),
            rates: rates.to_vec(),
        };
        Camera {
            input: "/dev/video0".into(),
            name: "Webcam".into(),
            driver: "uvcvideo".into(),
            modes: vec![
                mode(Pixels::Yuyv, 640, 480, &[15.0, 30000.0 / 1001.0]),
                mode(Pixels::Yuyv, 1280, 720, &[10.0]),
                mode(Pixels::Mjpeg, 1280, 720, &[]),
            ],
            problem: None,
        }
    }

    #[test]
    fn a_camera_has_a_line_for_each_format() {
        let mut broken = webcam();
        broken.modes.clear();
        broken.problem = Some("it is broken".into());
        let text = text_of(&[webcam(), broken]);
        let lines: Vec<_> =
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(
            lines[1].join(" "),
            "/dev/video0 Webcam uvcvideo yuyv 640x480 (15 30), 1280x720 (10)"
        );
        assert_eq!(lines[2].join(" "), "mjpeg 1280x720");
        assert_eq!(lines[3].join(" "), "/dev/video0 Webcam uvcvideo - it is broken");
    }

    #[test]
    fn the_json_has_what_watch_takes() {
        let json = json_of(&webcam());
        assert_eq!(json["input"], "/dev/video0");
        assert_eq!(json["modes"][0]["format"], "yuyv");
        assert_eq!(json["modes"][0]["rates"][1], 29.97);
    }

    #[test]
    fn no_camera_is_said_kindly() {
        assert!(text_of(&[]).contains("watch demo"));
    }
}
