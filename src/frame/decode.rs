use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::limits::{self, MAX_FILE_BYTES};
use super::turn::turn;
use super::{Frame, FrameError, jpeg};

/// Decodes pictures; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Decoder {
    jpeg: jpeg::Decoder,
    file: Vec<u8>,
    samples: Vec<u8>,
    turned: Frame,
}

/// Decodes one picture. `name` is what errors call it.
///
/// # Errors
/// See [`Decoder::decode`].
pub fn decode(name: &str, bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut frame = Frame::new();
    Decoder::default().decode(name, bytes, &mut frame)?;
    Ok(frame)
}

/// Reads and decodes one picture's file.
///
/// # Errors
/// See [`Decoder::read`].
pub fn read(path: &Path) -> Result<Frame, FrameError> {
    let mut frame = Frame::new();
    Decoder::default().read(path, &mut frame)?;
    Ok(frame)
}

/// The bytes of a picture's file, to be decoded by [`Decoder::decode`].
///
/// # Errors
/// [`FrameError::Read`], [`FrameError::TooBig`] above [`MAX_FILE_BYTES`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, FrameError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| FrameError::read(&name, error))?;
    let mut bytes = Vec::new();
    read_all(&name, file, &mut bytes).map(|()| bytes)
}

impl Decoder {
    /// Reads a file into memory and decodes it.
    ///
    /// # Errors
    /// [`FrameError::Read`], [`FrameError::TooBig`] above [`MAX_FILE_BYTES`], and those of
    /// [`Self::decode`].
    pub fn read(&mut self, path: &Path, frame: &mut Frame) -> Result<(), FrameError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| FrameError::read(&name, error))?;
        self.read_from(&name, file, frame)
    }

    /// Reads all there is and decodes it as one picture.
    pub(super) fn read_from(
        &mut self,
        name: &str,
        from: impl Read,
        frame: &mut Frame,
    ) -> Result<(), FrameError> {
        let mut file = std::mem::take(&mut self.file);
        let result = read_all(name, from, &mut file).and_then(|()| self.decode(name, &file, frame));
        self.file = file;
        result
    }

    /// Decodes JPEG, PNG, WebP, BMP, TIFF, GIF (first frame) or PNM, told apart by their first
    /// bytes, to RGB as PIL does: turned upright by EXIF, alpha dropped, 16-bit colour by its high
    /// byte; 16-bit grey above 255 is white, as PIL's `convert("RGB")` has it.
    ///
    /// # Errors
    /// [`FrameError::Damaged`], [`FrameError::Unsupported`], and [`FrameError::TooBig`] above
    /// [`limits::MAX_PIXELS`] or [`limits::MAX_SIDE`], checked before memory is taken. The frame's
    /// pixels are then unspecified.
    pub fn decode(
        &mut self,
        name: &str,
        bytes: &[u8],
        frame: &mut Frame,
    ) -> Result<(), FrameError> {
        let orientation = if jpeg::is_jpeg(bytes) {
            let exif = self.jpeg.decode(name, bytes, frame)?;
            exif.and_then(Orientation::from_exif_chunk)
        } else {
            Some(self.decode_other(name, bytes, frame)?)
        };
        turn(frame, orientation.unwrap_or(Orientation::NoTransforms), &mut self.turned);
        Ok(())
    }

    fn decode_other(
        &mut self,
        name: &str,
        bytes: &[u8],
        frame: &mut Frame,
    ) -> Result<Orientation, FrameError> {
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| FrameError::read(name, error))?;
        let Some(format) = reader.format().filter(|format| FORMATS.contains(format)) else {
            return Err(unsupported(name, "this kind of file"));
        };
        let broken = |error| explain(name, error);
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        limits::check_size(name, width, height)?;
        let orientation = decoder.orientation().map_err(broken)?;
        let color = decoder.color_type();
        self.samples.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(&mut self.samples).map_err(broken)?;
        frame.resize(width, height);
        to_rgb(&self.samples, color, format, frame.pixels_mut())
            .ok_or_else(|| unsupported(name, &format!("a picture of {color:?} pixels")))?;
        Ok(orientation)
    }
}

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Gif,
    ImageFormat::Pnm,
];

fn unsupported(name: &str, what: &str) -> FrameError {
    FrameError::Unsupported {
        name: name.into(),
        reason: what.into(),
        remedy: "save it as JPEG, PNG, WebP, BMP, TIFF, GIF or PNM with 8 or 16 bits a colour",
    }
}

fn explain(name: &str, error: ImageError) -> FrameError {
    match error {
        ImageError::Unsupported(error) => unsupported(name, &error.to_string()),
        error => FrameError::damaged(name, error.to_string()),
    }
}

fn read_all(name: &str, from: impl Read, into: &mut Vec<u8>) -> Result<(), FrameError> {
    into.clear();
    let read = from.take(MAX_FILE_BYTES + 1).read_to_end(into);
    match read.map_err(|error| FrameError::read(name, error))? as u64 {
        found if found > MAX_FILE_BYTES => Err(FrameError::TooBig {
            name: name.into(),
            what: "a file in bytes",
            found,
            limit_name: "MAX_FILE_BYTES",
            limit: MAX_FILE_BYTES,
        }),
        _ => Ok(()),
    }
}

/// Converts samples as they lie in memory (16-bit ones in native order); `None` for a kind of
/// pixel that PIL does not turn into RGB either.
fn to_rgb(samples: &[u8], color: ColorType, format: ImageFormat, out: &mut [u8]) -> Option<()> {
    let out = out.as_chunks_mut::<3>().0;
    let wide = |pixel: &[u8], channel: usize| {
        u16::from_ne_bytes([pixel[channel * 2], pixel[channel * 2 + 1]])
    };
    // PIL keeps the high byte of 16-bit colours, but scales those of a PNM.
    let narrow = |value: u16| match format {
        ImageFormat::Pnm => (f64::from(value) / 257.0).round_ties_even() as u8,
        _ => (value >> 8) as u8,
    };
    let pixels = samples.chunks_exact(usize::from(color.bytes_per_pixel()));
    for (out, p) in out.iter_mut().zip(pixels) {
        *out = match color {
            ColorType::L8 | ColorType::La8 => [p[0]; 3],
            ColorType::Rgb8 | ColorType::Rgba8 => [p[0], p[1], p[2]],
            ColorType::L16 => [wide(p, 0).min(255) as u8; 3],
            ColorType::La16 => [narrow(wide(p, 0)); 3],
            ColorType::Rgb16 | ColorType::Rgba16 => [0, 1, 2].map(|c| narrow(wide(p, c))),
            _ => return None,
        };
    }
    Some(())
}
