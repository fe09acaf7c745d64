//! Where frames come from, one file per kind of source.

mod demo;
mod images;
mod mjpeg;
mod pace;
mod raw;
mod reader;
#[cfg(test)]
mod tests;
mod y4m;
mod yuv;

use std::path::Path;
use std::sync::Arc;

pub use demo::DEMO_PHOTOGRAPH;
pub use images::{is_picture, pictures};
pub use pace::Pace;

use self::reader::Input;
use super::{Frame, FrameError};

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
    /// frame after it, or says `None` where nothing can follow.
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError>;
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
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::Images, Self::Y4m, Self::Mjpeg, Self::Rgb24, Self::Yuv420p, Self::Yuyv];

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
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "y4m" => Self::Y4m,
            "mjpeg" | "mjpg" => Self::Mjpeg,
            "rgb" | "rgb24" => Self::Rgb24,
            "i420" | "yuv" | "yuv420p" => Self::Yuv420p,
            "yuy2" | "yuyv" => Self::Yuyv,
            _ => return None,
        })
    }
}

/// What cannot be read from the source itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourceOptions {
    /// How to read the bytes; without it the name's ending and the first bytes tell.
    pub format: Option<Format>,
    /// Width and height of raw frames.
    pub size: Option<(u32, u32)>,
    /// Begin again at the end. Needs something that can be read twice.
    pub looped: bool,
}

/// Opens `demo` (the bundled photographs), `-` (standard input), a folder, a pattern of files, a
/// picture, or a stream's file or pipe.
///
/// # Errors
/// [`FrameError::Read`], [`FrameError::Nothing`] where no picture is found, and
/// [`FrameError::Option`] where an option is missing or does not fit.
pub fn open(input: &str, options: SourceOptions) -> Result<Box<dyn Source>, FrameError> {
    if input == "demo" {
        return Ok(Box::new(demo::Demo::new(options.looped)));
    }
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
        Format::Rgb24 | Format::Yuv420p | Format::Yuyv => {
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
                remedy: "give --input-format: y4m, mjpeg, or rgb24, yuv420p or yuyv with --size WxH",
            });
        }
    })
}
