//! Pictures: where they come from, how they are decoded and how they become the encoder's input.
//!
//! A [`Source`] fills a [`Frame`], a [`Preprocessor`] turns it into the square that the encoder
//! reads. Every step is integer arithmetic in one written-down order, so the pixels are the same
//! on every processor, and equal to what Python's PIL gives (`Image.open`,
//! `ImageOps.exif_transpose`, `convert("RGB")`, `resize(BICUBIC)`), whose pixels public models
//! were trained on.

mod decode;
mod error;
mod jpeg;
mod motion;
mod preprocess;
mod region;
mod resample;
pub mod source;
mod turn;
mod view;

pub use decode::{Decoder, decode, read, read_bytes};
pub use error::FrameError;
pub use motion::{Motion, MotionRules};
pub use preprocess::Preprocessor;
pub use region::Region;
pub use source::{
    DEMO_PHOTOGRAPH, Format, Pace, Source, SourceOptions, Stamp, Uri, end_programs, open,
};
pub use turn::{Flip, Rotate};
pub use view::View;

/// Sizes above which a picture is refused before memory is taken for it.
pub mod limits {
    use super::FrameError;

    /// Pixels of one picture: 64 million, 192 MiB as RGB.
    pub const MAX_PIXELS: u64 = 1 << 26;
    /// Pixels of one side: what a JPEG can have.
    pub const MAX_SIDE: u64 = 65_535;
    /// Bytes of one picture's file.
    pub const MAX_FILE_BYTES: u64 = 1 << 28;

    /// Refuses a picture without area or above [`MAX_SIDE`] or [`MAX_PIXELS`].
    pub(crate) fn check_size(name: &str, width: u32, height: u32) -> Result<(), FrameError> {
        if width == 0 || height == 0 {
            return Err(FrameError::damaged(
                name,
                format!("a picture of {width}x{height} has no pixels"),
            ));
        }
        let too_big = |what, found, limit_name, limit| {
            Err(FrameError::TooBig { name: name.into(), what, found, limit_name, limit })
        };
        let side = u64::from(width.max(height));
        let pixels = u64::from(width) * u64::from(height);
        if side > MAX_SIDE {
            return too_big("a side in pixels", side, "MAX_SIDE", MAX_SIDE);
        }
        if pixels > MAX_PIXELS {
            return too_big("a number of pixels", pixels, "MAX_PIXELS", MAX_PIXELS);
        }
        Ok(())
    }
}

/// One picture: 8-bit RGB, rows from top to bottom without padding.
///
/// Made empty once and filled again and again: its memory is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Frame {
    /// An empty frame (0x0).
    #[must_use]
    pub const fn new() -> Self {
        Self { width: 0, height: 0, pixels: Vec::new() }
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// `height * width * 3` bytes, red, green, blue.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The same, to be written.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Gives the frame a size; its pixels are unspecified until they are written.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        self.pixels.resize(width as usize * height as usize * 3, 0);
    }
}
