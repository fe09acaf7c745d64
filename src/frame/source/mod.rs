//! Where frames come from, one file per kind of source.

#[cfg(all(feature = "camera", target_os = "linux"))]
mod camera;
mod demo;
mod images;
mod layout;
mod mjpeg;
mod pace;
mod raw;
mod reader;
#[cfg(test)]
mod tests;
mod uri;
mod y4m;
mod yuv;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(all(feature = "camera", target_os = "linux"))]
pub use camera::{Camera, Mode, cameras};
pub use demo::DEMO_PHOTOGRAPH;
pub use images::{is_picture, pictures};
pub use pace::Pace;
pub use uri::{Address, Uri};

#[cfg(all(feature = "camera", target_os = "linux"))]
use self::camera::open as open_camera;
use self::reader::Input;
use super::turn::turned;
use super::{Flip, Frame, FrameError, Rotate};

/// What a source says about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Counts the frames from 0, also those that could not be decoded.
    pub number: u64,
    /// The picture's path, or the stream's name.
    pub source: Arc<str>,
}

/// Gives frames one after another.
pub trait Source: Send {
    /// Fills `into` with the next frame; `None` at the end.
    ///
    /// # Errors
    /// A frame that cannot be read or decoded. The source may be asked again: it goes on with the
    /// frame after it, or says `None` where nothing can follow. A live source never ends: after a
    /// loss it waits, and opens its camera again.
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError>;

    /// Whether this is a camera: its frames come at their own pace, and errors are no reason to
    /// give it up.
    fn is_live(&self) -> bool {
        false
    }

    /// Frames a second of a recording that says so; `None` for what comes at its own pace.
    fn rate(&self) -> Option<f64> {
        None
    }
}

/// Ends all programs that were started for cameras and videos, and starts no more: for the end of the
/// process. A source that waits for one of their frames fails.
pub fn end_programs() {
    #[cfg(all(feature = "camera", target_os = "linux"))]
    camera::end_programs();
}

/// How a stream's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One picture, a folder of pictures or a pattern.
    Images,
    /// YUV4MPEG2, 8 bits.
    Y4m,
    /// JPEG pictures one after another.
    Mjpeg,
    /// Red, green, blue bytes.
    Rgb24,
    /// A plane of Y, then U and V of half the width and height (I420).
    Yuv420p,
    /// Y U Y V bytes, what most USB cameras give (YUY2).
    Yuyv,
    /// A plane of Y, then rows of U V pairs that four pixels share.
    Nv12,
    /// Y alone.
    Grey,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Images,
        Self::Y4m,
        Self::Mjpeg,
        Self::Rgb24,
        Self::Yuv420p,
        Self::Yuyv,
        Self::Nv12,
        Self::Grey,
    ];

    /// The name for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Y4m => "y4m",
            Self::Mjpeg => "mjpeg",
            Self::Rgb24 => "rgb24",
            Self::Yuv420p => "yuv420p",
            Self::Yuyv => "yuyv",
            Self::Nv12 => "nv12",
            Self::Grey => "grey",
        }
    }

    fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "y4m" => Self::Y4m,
            "mjpeg" | "mjpg" => Self::Mjpeg,
            "rgb" | "rgb24" => Self::Rgb24,
            "i420" | "yuv" | "yuv420p" => Self::Yuv420p,
            "yuy2" | "yuyv" => Self::Yuyv,
            "nv12" => Self::Nv12,
            "grey" | "gray" => Self::Grey,
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| FrameError::Option {
            name: text.into(),
            reason: "there is no such format".into(),
            remedy: "give images, y4m, mjpeg, rgb24, yuv420p, yuyv, nv12 or grey",
        })
    }
}

/// What cannot be read from the source itself, or is asked of a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourceOptions {
    /// How to read the bytes, and which of its formats a camera shall give; without it the name's
    /// ending and the first bytes tell, and a camera's cheapest is taken.
    pub format: Option<Format>,
    /// Width and height: of raw frames as they are, of a camera's frames the nearest that it has,
    /// and what videos and streams are scaled to.
    pub size: Option<(u32, u32)>,
    /// Frames a second, at most, of something live. Whatever else there is comes as fast as it is
    /// asked for, see [`Pace`].
    pub rate: Option<f64>,
    /// Begin again at the end. Needs something that can be read twice.
    pub looped: bool,
    /// How frames are turned.
    pub rotate: Rotate,
    /// How frames are mirrored, after that.
    pub flip: Flip,
}

/// Opens what a [`Uri`] names: a camera, a stream, a video, pictures, a pipe or the demo.
///
/// A camera that is not there yet is no error: [`Source::next`] tells of it and waits.
///
/// # Errors
/// [`FrameError::Read`], [`FrameError::Nothing`] where no picture is found, [`FrameError::Option`]
/// where an option is missing or does not fit, and [`FrameError::Program`] where one is missing.
pub fn open(input: &str, options: SourceOptions) -> Result<Box<dyn Source>, FrameError> {
    if options.rate.is_some_and(|rate| Pace::new(rate).is_none()) {
        return Err(FrameError::Option {
            name: input.parse::<Uri>()?.to_string(),
            reason: "a rate is a number of frames a second above 0 and at most 1000".into(),
            remedy: "give another --rate, or none",
        });
    }
    let source = match input.parse()? {
        Uri::Demo => Box::new(demo::Demo::new(options.looped)),
        Uri::Stdin => open_path("-", options)?,
        Uri::Path(path) => open_path(&path, options)?,
        // A video whose bytes somebody knows is read as those.
        Uri::Video(path) if options.format.is_some() => open_path(&path, options)?,
        uri => open_camera(&uri, options)?,
    };
    Ok(turned(source, options.rotate, options.flip))
}

#[cfg(not(all(feature = "camera", target_os = "linux")))]
fn open_camera(uri: &Uri, _: SourceOptions) -> Result<Box<dyn Source>, FrameError> {
    Err(FrameError::Unsupported {
        name: uri.to_string(),
        reason: "this program was built without cameras and videos: that".into(),
        remedy: "build it on Linux with the feature `camera`, or pipe frames into it",
    })
}

/// Opens `-` (standard input), a folder, a pattern of files, a picture, or a stream's file or pipe.
fn open_path(input: &str, options: SourceOptions) -> Result<Box<dyn Source>, FrameError> {
    let path = Path::new(input);
    let format = options.format.or_else(|| Format::of_extension(path));
    let bytes_only = input == "-" || is_pipe(path);
    // Only a file that is no picture by its name can be a stream without saying so.
    let unknown = bytes_only || (path.is_file() && !is_picture(path));
    let by_path = match format {
        Some(format) => format == Format::Images && !bytes_only,
        None => !unknown,
    };
    if by_path {
        return Ok(Box::new(images::Images::open(input, options.looped)?));
    }
    let mut bytes = Input::open(input, options.looped)?;
    let format = match format {
        Some(format) => format,
        None => sniff(&mut bytes)?,
    };
    Ok(match format {
        Format::Images => Box::new(images::One::new(bytes)),
        Format::Mjpeg => Box::new(mjpeg::Mjpeg::new(bytes)),
        Format::Y4m => Box::new(y4m::Y4m::open(bytes)?),
        Format::Rgb24 | Format::Yuv420p | Format::Yuyv | Format::Nv12 | Format::Grey => {
            Box::new(raw::Raw::open(bytes, format, options.size)?)
        }
    })
}

/// Something to be read once, from its first byte on: no folder and no file.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Tells a stream by its first bytes.
fn sniff(bytes: &mut Input) -> Result<Format, FrameError> {
    let head = bytes.peek(12)?;
    Ok(match head {
        [0xff, 0xd8, ..] => Format::Mjpeg,
        _ if head.starts_with(y4m::MAGIC) => Format::Y4m,
        _ if image::guess_format(head).is_ok() => Format::Images,
        [] => return Err(FrameError::damaged(bytes.name(), "it has no bytes")),
        _ => {
            return Err(FrameError::Option {
                name: bytes.name().into(),
                reason: "the first bytes do not tell what it is".into(),
                remedy: "give --input-format: y4m, mjpeg, or rgb24, yuv420p, yuyv, nv12 or grey with \
                         --size WxH",
            });
        }
    })
}
