use super::layout::Layout;
use super::reader::Input;
use super::{Format, Source, Stamp};
use crate::frame::{Frame, FrameError, limits};

/// Frames of raw pixels without any header.
pub(super) struct Raw {
    input: Input,
    layout: Layout,
    /// One frame as it comes; empty where the frame is read straight into its place.
    bytes: Vec<u8>,
    number: u64,
    /// Whether a whole frame came since the beginning: else beginning again would never end.
    any: bool,
}

impl Raw {
    /// Frames without padding.
    pub(super) fn open(
        input: Input,
        format: Format,
        size: Option<(u32, u32)>,
    ) -> Result<Self, FrameError> {
        let Some((width, height)) = size else {
            return Err(FrameError::Option {
                name: input.name().into(),
                reason: format!("raw {format} frames do not say how big they are"),
                remedy: "give --size WIDTHxHEIGHT, such as --size 640x480",
            });
        };
        if width == 0 || height == 0 {
            return Err(FrameError::Option {
                name: input.name().into(),
                reason: format!("a frame of {width}x{height} has no pixels"),
                remedy: "give --size WIDTHxHEIGHT with both above 0",
            });
        }
        limits::check_size(input.name(), width, height)?;
        match Layout::tight(format, width, height) {
            Some(layout) => Ok(Self::new(input, layout)),
            None => Err(FrameError::Option {
                name: input.name().into(),
                reason: format!("{format} frames are not raw pixels"),
                remedy: "give --input-format rgb24, yuv420p, yuyv, nv12 or grey",
            }),
        }
    }

    pub(super) fn new(input: Input, layout: Layout) -> Self {
        let bytes = vec![0; if layout.is_frame() { 0 } else { layout.len() }];
        Self { input, layout, bytes, number: 0, any: false }
    }

    /// Bytes of the frame that were there.
    fn read(&mut self, into: &mut Frame) -> Result<usize, FrameError> {
        let place = if self.bytes.is_empty() { into.pixels_mut() } else { &mut self.bytes };
        self.input.read_into(place)
    }
}

impl Source for Raw {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        self.layout.size(into);
        let mut have = self.read(into)?;
        if have == 0 && self.any && self.input.rewind()? {
            self.any = false;
            have = self.read(into)?;
        }
        if have == 0 {
            return Ok(None);
        }
        let number = self.number;
        self.number += 1;
        let whole = self.layout.len();
        if have < whole {
            return Err(cut_off(self.input.name(), number, have, whole));
        }
        self.any = true;
        if !self.bytes.is_empty() {
            self.layout.convert(&self.bytes, into);
        }
        Ok(Some(Stamp { number, source: self.input.shared_name() }))
    }
}

/// The error of a stream that ends within a frame.
pub(super) fn cut_off(name: &str, number: u64, have: usize, whole: usize) -> FrameError {
    let reason =
        format!("the stream ends after {have} of {whole} bytes of it (is the size right?)");
    FrameError::damaged(name, reason).in_frame(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(bytes: Vec<u8>, format: Format, size: (u32, u32)) -> Raw {
        Raw::open(Input::new("test", std::io::Cursor::new(bytes)), format, Some(size)).unwrap()
    }

    #[test]
    fn whole_frames_come_and_a_cut_one_is_an_error() {
        let mut source = raw((0..20).collect(), Format::Rgb24, (1, 3));
        let mut frame = Frame::new();
        assert_eq!(source.next(&mut frame).unwrap().unwrap().number, 0);
        assert_eq!(frame.pixels(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(source.next(&mut frame).unwrap().unwrap().number, 1);
        let error = source.next(&mut frame).unwrap_err().to_string();
        assert!(error.contains("test, frame 2") && error.contains("2 of 9 bytes"), "{error}");
        assert!(source.next(&mut frame).unwrap().is_none());
    }

    #[test]
    fn odd_sizes_have_rounded_up_chroma() {
        let mut frame = Frame::new();
        let mut source = raw(vec![128; 17 * 2], Format::Yuv420p, (3, 3));
        for _ in 0..2 {
            assert!(source.next(&mut frame).unwrap().is_some());
        }
        assert!(source.next(&mut frame).unwrap().is_none());
        let mut source = raw(vec![128; 8], Format::Yuyv, (3, 1));
        assert!(source.next(&mut frame).unwrap().is_some());
        assert!(source.next(&mut frame).unwrap().is_none());
    }

    #[test]
    fn a_missing_or_impossible_size_names_the_option() {
        for size in [None, Some((0, 480)), Some((1 << 20, 480))] {
            let input = Input::new("test", std::io::empty());
            let error = Raw::open(input, Format::Yuyv, size).err().unwrap().to_string();
            assert!(error.contains("--size") || error.contains("MAX_SIDE"), "{error}");
        }
    }
}
