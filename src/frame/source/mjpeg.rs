use super::reader::Input;
use super::{Source, Stamp};
use crate::frame::{Decoder, Frame, FrameError};

/// Bytes of one JPEG in a stream; what is longer is taken for damage.
const MAX_FRAME_BYTES: usize = 1 << 25;

/// JPEG pictures one after another, with anything between them (multipart headers, padding).
pub(super) struct Mjpeg {
    input: Input,
    scanner: Scanner,
    number: u64,
    /// Whether a frame came since the beginning: else beginning again would never end.
    any: bool,
    decoder: Decoder,
}

impl Mjpeg {
    pub(super) fn new(input: Input) -> Self {
        let scanner = Scanner::default();
        Self { input, scanner, number: 0, any: false, decoder: Decoder::default() }
    }

    /// Finds the next JPEG and says its length; it then lies at the buffer's beginning.
    fn find(&mut self) -> Result<Option<Found>, FrameError> {
        self.scanner = Scanner::default();
        loop {
            let start = start_of_image(self.input.buffered());
            self.input.take(start);
            if self.input.buffered().starts_with(&SOI) {
                break;
            }
            if !self.input.fill()? {
                return Ok(None);
            }
        }
        loop {
            match self.scanner.scan(self.input.buffered()) {
                Some(found) => return Ok(Some(found)),
                None if self.scanner.at > MAX_FRAME_BYTES => {
                    return Ok(Some(Found { len: SOI.len(), whole: false }));
                }
                None if self.input.fill()? => {}
                None => {
                    return Ok(Some(Found { len: self.input.buffered().len(), whole: false }));
                }
            }
        }
    }
}

impl Source for Mjpeg {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        let mut found = self.find()?;
        if found.is_none() && self.any && self.input.rewind()? {
            self.any = false;
            found = self.find()?;
        }
        let Some(Found { len, whole }) = found else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let bytes = &self.input.buffered()[..len];
        let result = if whole {
            self.decoder.decode(self.input.name(), bytes, into)
        } else {
            Err(FrameError::damaged(self.input.name(), "the JPEG is cut off"))
        };
        self.input.take(len);
        result.map_err(|error| error.in_frame(number))?;
        self.any = true;
        Ok(Some(Stamp { number, source: self.input.shared_name() }))
    }
}

const SOI: [u8; 3] = [0xff, 0xd8, 0xff];

/// Bytes before the first beginning of a JPEG, or before what may become one.
fn start_of_image(bytes: &[u8]) -> usize {
    let whole = bytes.windows(SOI.len()).position(|window| window == SOI);
    whole.unwrap_or_else(|| bytes.len() - bytes.len().min(SOI.len() - 1))
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    len: usize,
    whole: bool,
}

/// Walks over a JPEG's markers to its end. Thumbnails in a segment are stepped over with it.
#[derive(Debug, Default)]
struct Scanner {
    /// Where to go on.
    at: usize,
    /// Within entropy-coded data rather than at a marker.
    coded: bool,
}

impl Scanner {
    /// The JPEG's length once its end is there; `None` to be asked again with more bytes.
    fn scan(&mut self, bytes: &[u8]) -> Option<Found> {
        self.at = self.at.max(2);
        loop {
            if self.coded {
                let rest = bytes.get(self.at..)?;
                let skip = rest.iter().position(|&byte| byte == 0xff).unwrap_or(rest.len());
                self.at += skip;
            }
            let &[first, marker] = bytes.get(self.at..self.at + 2)? else { return None };
            match marker {
                _ if first != 0xff => return Some(Found { len: self.at, whole: false }),
                0x00 if self.coded => self.at += 2,
                0xff => self.at += 1,
                0xd9 => return Some(Found { len: self.at + 2, whole: true }),
                // The next JPEG begins before this one ended.
                0xd8 => return Some(Found { len: self.at, whole: false }),
                0x01 | 0xd0..=0xd7 => self.at += 2,
                _ => {
                    let &[high, low] = bytes.get(self.at + 2..self.at + 4)? else { return None };
                    self.coded = marker == 0xda;
                    self.at += 2 + usize::from(u16::from_be_bytes([high, low]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOTOGRAPH: &[u8] = include_bytes!("../../../models/demo/grand_piano_24.jpg");

    /// Gives one byte more at each read than at the one before: every place is a boundary once.
    struct Drip(Vec<u8>, usize);

    impl std::io::Read for Drip {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            let count = self.1.min(into.len()).min(self.0.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn run(bytes: Vec<u8>) -> Vec<Result<u64, String>> {
        let mut source = Mjpeg::new(Input::new("test", Drip(bytes, 0)));
        let mut frame = Frame::new();
        let mut results = Vec::new();
        loop {
            match source.next(&mut frame) {
                Ok(Some(stamp)) => {
                    let whole = crate::frame::decode("one", PHOTOGRAPH).unwrap();
                    assert!(frame == whole, "the pixels are others");
                    results.push(Ok(stamp.number));
                }
                Ok(None) => return results,
                Err(error) => results.push(Err(error.to_string())),
            }
        }
    }

    #[test]
    fn anything_may_lie_between_frames() {
        let part = b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\x00\xff".as_slice();
        let stream = [part, PHOTOGRAPH, b"\0\xff", PHOTOGRAPH, PHOTOGRAPH, part].concat();
        assert_eq!(run(stream), [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(run(part.to_vec()), []);
        assert_eq!(run(Vec::new()), []);
    }

    #[test]
    fn a_thumbnail_is_no_frame() {
        let thumbnail = [b"\xff\xe1\x00\x0dExif\0\0\xff\xd8\xff\xd9\xff\xd8".as_slice()].concat();
        let len = thumbnail.len() as u16 - 2;
        let mut stream = [&PHOTOGRAPH[..2], &thumbnail, &PHOTOGRAPH[2..]].concat();
        stream[4..6].copy_from_slice(&len.to_be_bytes());
        assert_eq!(run(stream), [Ok(0)]);
    }

    #[test]
    fn a_damaged_frame_is_an_error_and_the_next_one_comes() {
        let half = &PHOTOGRAPH[..PHOTOGRAPH.len() / 2];
        let results = run([half, PHOTOGRAPH, half].concat());
        let [Err(first), Ok(1), Err(last)] = &results[..] else { panic!("{results:?}") };
        assert!(first.contains("test, frame 0") && first.contains("cut off"), "{first}");
        assert!(last.contains("test, frame 2") && last.contains("cut off"), "{last}");
        let mut broken = PHOTOGRAPH.to_vec();
        let table = broken.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
        broken[table + 4] = 0x55;
        let results = run([&broken, PHOTOGRAPH].concat());
        let [Err(first), Ok(1)] = &results[..] else { panic!("{results:?}") };
        assert!(first.contains("test, frame 0") && first.contains("quantization"), "{first}");
    }
}
