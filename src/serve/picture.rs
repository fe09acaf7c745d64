use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageBuffer, Rgb, imageops};

use crate::frame::Frame;

/// A frame as JPEG whose longer side has at most `side` pixels; none for an empty frame.
pub(super) fn jpeg(frame: &Frame, side: u32, quality: u8) -> Option<Vec<u8>> {
    let (width, height) = (frame.width(), frame.height());
    let longest = width.max(height);
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, quality);
    let encoded = if longest <= side {
        encoder.encode(frame.pixels(), width, height, ExtendedColorType::Rgb8)
    } else {
        let view = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, frame.pixels())?;
        let scaled = |length: u32| {
            // a side of a frame fits 16 bits, and so does the smaller one after scaling
            let length = u64::from(length) * u64::from(side) / u64::from(longest);
            u32::try_from(length).unwrap_or(side).max(1)
        };
        let small = imageops::thumbnail(&view, scaled(width), scaled(height));
        encoder.encode(&small, small.width(), small.height(), ExtendedColorType::Rgb8)
    };
    encoded.ok().map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{DEMO_PHOTOGRAPH, decode};

    #[test]
    fn a_picture_is_made_small_enough_and_never_larger() {
        let frame = decode("demo", DEMO_PHOTOGRAPH).unwrap();
        let small = decode("small", &jpeg(&frame, 160, 80).unwrap()).unwrap();
        assert_eq!(small.width().max(small.height()), 160);
        let ratio = |frame: &Frame| f64::from(frame.width()) / f64::from(frame.height());
        assert!((ratio(&small) - ratio(&frame)).abs() < 0.02);
        let same = decode("same", &jpeg(&small, 160, 80).unwrap()).unwrap();
        assert_eq!((same.width(), same.height()), (small.width(), small.height()));
        let mut line = Frame::new();
        line.resize(2000, 1);
        assert_eq!(decode("line", &jpeg(&line, 100, 80).unwrap()).unwrap().height(), 1);
        assert!(jpeg(&Frame::new(), 160, 80).is_none());
    }
}
