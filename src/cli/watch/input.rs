//! What is watched.

use std::path::Path;

use anyhow::Result;
use clap::Args;

use super::values::{parse_celsius, parse_rate, parse_size};
use crate::frame::source::is_picture;
use crate::frame::{self, Flip, Format, Pace, Region, Rotate, Source, SourceOptions};

/// Frames a second of the demo and of other pictures: slow enough for the stable label to follow.
const PICTURES_RATE: f64 = 2.0;

/// Frames a second of a recording that does not say its own.
const RECORDING_RATE: f64 = 25.0;

/// Degrees Celsius from which boards with a small heat sink lower their clock.
const HOT: f32 = 78.0;

#[derive(Args)]
pub(super) struct Input {
    /// A camera (/dev/video0, rpicam://0, csi://0, rtsp://...), a video, pictures, demo, or - for
    /// standard input
    #[arg(value_name = "INPUT", help_heading = "Input")]
    pub(super) input: Option<String>,

    /// What the input's bytes are, or which format a camera shall give: y4m, mjpeg, rgb24, yuv420p,
    /// yuyv, nv12, grey or images [default: told from the name or the first bytes]
    #[arg(long, value_name = "FORMAT", help_heading = "Input")]
    input_format: Option<Format>,

    /// Width and height: of raw frames, or the ones wanted from a camera
    #[arg(long, value_name = "WxH", value_parser = parse_size, help_heading = "Input")]
    size: Option<(u32, u32)>,

    /// Frames a second, at most [default: 2 for pictures, a recording's own; cameras and pipes as they
    /// come]
    #[arg(long, value_name = "FPS", value_parser = parse_rate, help_heading = "Input")]
    rate: Option<f64>,

    /// Begin again at the end
    #[arg(long = "loop", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_possible_values = true,
          hide_default_value = true, help_heading = "Input", action = clap::ArgAction::Set)]
    looped: bool,

    /// Answer every frame: the input waits instead of losing frames
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_possible_values = true,
          hide_default_value = true, help_heading = "Input", action = clap::ArgAction::Set)]
    pub(super) every_frame: bool,

    /// Turn the picture clockwise: 0, 90, 180 or 270 degrees
    #[arg(long, value_name = "DEGREES", default_value_t = Rotate::None, help_heading = "Input")]
    rotate: Rotate,

    /// Mirror the picture: none, h, v or both
    #[arg(long, value_name = "FLIP", default_value_t = Flip::None, help_heading = "Input")]
    flip: Flip,

    /// Look at a part of the picture alone, NAME=X,Y,W,H in shares of width and height; several give an
    /// answer each
    #[arg(long, value_name = "REGION", help_heading = "Input")]
    crop: Vec<Region>,

    /// From this temperature of the processor fewer frames are answered, in degrees Celsius
    #[arg(long, value_name = "DEGREES", default_value_t = HOT, value_parser = parse_celsius,
          help_heading = "Input")]
    pub(super) max_temperature: f32,
}

impl Input {
    /// Opens the input.
    pub(super) fn open(&self) -> Result<Box<dyn Source>> {
        let Some(input) = &self.input else {
            anyhow::bail!(
                "say what to watch: tipcam watch /dev/video0 for a camera (`tipcam cameras` lists \
                 them), tipcam watch demo to see how it works"
            );
        };
        let options = SourceOptions {
            format: self.input_format,
            size: self.size,
            rate: self.rate,
            looped: self.looped,
            rotate: self.rotate,
            flip: self.flip,
        };
        Ok(frame::open(input, options)?)
    }

    /// The pace of something that has no clock of its own; none for a pipe or a camera.
    pub(super) fn pace(&self, source: &dyn Source) -> Option<Pace> {
        let input = self.input.as_deref().unwrap_or_default();
        let path = Path::new(input);
        let default = match path.metadata() {
            // a camera was told its rate
            _ if source.is_live() => return None,
            _ if self.every_frame || input == "-" => None,
            Ok(file) if file.is_file() && !is_picture(path) => {
                Some(source.rate().unwrap_or(RECORDING_RATE))
            }
            Ok(pipe) if !pipe.is_file() && !pipe.is_dir() => None,
            // a folder, a picture, a pattern or the demo
            _ => Some(PICTURES_RATE),
        };
        Pace::new(self.rate.or(default)?)
    }

    /// The parts to look at, with names that differ.
    pub(super) fn regions(&self) -> Result<Vec<Region>> {
        for (i, region) in self.crop.iter().enumerate() {
            let label = region.label();
            anyhow::ensure!(
                self.crop[..i].iter().all(|other| other.label() != label),
                "--crop: two regions are called {label:?}: give each a name of its own, \
                 NAME=X,Y,W,H"
            );
        }
        Ok(self.crop.clone())
    }
}
