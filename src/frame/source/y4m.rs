use super::raw::cut_off;
use super::reader::Input;
use super::yuv::{self, Chroma, Range};
use super::{Pace, Source, Stamp};
use crate::frame::{Frame, FrameError, limits};

/// What every YUV4MPEG2 stream begins with.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// Longest header line.
const MAX_LINE: usize = 1024;

/// A YUV4MPEG2 stream of 8 bits; BT.601, limited range unless it says `XCOLORRANGE=FULL`.
pub(super) struct Y4m {
    input: Input,
    header: Header,
    bytes: Vec<u8>,
    number: u64,
    /// Whether a whole frame came since the beginning: else beginning again would never end.
    any: bool,
    broken: bool,
}

#[derive(Debug, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    chroma: Chroma,
    range: Range,
    /// Frames a second.
    rate: Option<f64>,
}

impl Header {
    fn parse(name: &str, line: &[u8]) -> Result<Self, FrameError> {
        let line = String::from_utf8_lossy(line);
        let (mut width, mut height, mut rate) = (0, 0, None);
        let (mut chroma, mut range) = (Chroma::Shared(2, 2), Range::Limited);
        for field in line.split(' ').skip(1).filter(|field| !field.is_empty()) {
            let number = |digits: &str| {
                digits.parse().map_err(|_| {
                    FrameError::damaged(name, format!("the header's size `{field}` is no number"))
                })
            };
            if let Some(digits) = field.strip_prefix('W') {
                width = number(digits)?;
            } else if let Some(digits) = field.strip_prefix('H') {
                height = number(digits)?;
            } else if let Some(kind) = field.strip_prefix('C') {
                chroma = match kind {
                    "420" | "420jpeg" | "420paldv" | "420mpeg2" => Chroma::Shared(2, 2),
                    "422" => Chroma::Shared(2, 1),
                    "444" => Chroma::Shared(1, 1),
                    "411" => Chroma::Shared(4, 1),
                    "mono" => Chroma::None,
                    _ => {
                        return Err(FrameError::Unsupported {
                            name: name.into(),
                            reason: format!("colour layout `{kind}`"),
                            remedy: "write y4m with 8 bits, for example ffmpeg -pix_fmt yuv420p",
                        });
                    }
                };
            } else if let Some(fraction) = field.strip_prefix('F') {
                // a stream that does not know its rate says 0:0 here
                rate = rate_of(fraction);
            } else if field == "XCOLORRANGE=FULL" {
                range = Range::Full;
            }
        }
        limits::check_size(name, width, height)?;
        Ok(Self { width, height, chroma, range, rate })
    }
}

/// The number of a fraction such as `30000:1001`.
fn rate_of(fraction: &str) -> Option<f64> {
    let (frames, seconds) = fraction.split_once(':')?;
    let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    Pace::new(rate).map(|_| rate)
}

impl Y4m {
    pub(super) fn open(mut input: Input) -> Result<Self, FrameError> {
        let header = read_header(&mut input)?;
        let len = yuv::planar_len(header.width as usize, header.height as usize, header.chroma);
        let bytes = vec![0; len];
        Ok(Self { input, header, bytes, number: 0, any: false, broken: false })
    }

    /// Frames a second, as the header says.
    pub(super) fn header_rate(&self) -> Option<f64> {
        self.header.rate
    }
}

fn read_header(input: &mut Input) -> Result<Header, FrameError> {
    let end = line(input)?.unwrap_or(0);
    let line = &input.buffered()[..end];
    if !line.starts_with(MAGIC) {
        return Err(FrameError::damaged(input.name(), "it does not begin as a YUV4MPEG2 stream"));
    }
    let header = Header::parse(input.name(), line)?;
    input.take(end + 1);
    Ok(header)
}

/// Reads until a whole line is buffered and says how long it is; `None` at the end of the stream.
fn line(input: &mut Input) -> Result<Option<usize>, FrameError> {
    loop {
        let end = input.buffered().iter().take(MAX_LINE).position(|&byte| byte == b'\n');
        if end.is_some() {
            return Ok(end);
        }
        if input.buffered().len() >= MAX_LINE || !input.fill()? {
            let nothing = input.buffered().is_empty();
            let error = FrameError::damaged(input.name(), "a y4m header line has no end");
            return if nothing { Ok(None) } else { Err(error) };
        }
    }
}

impl Source for Y4m {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        if self.broken {
            return Ok(None);
        }
        // A frame's place is known only from the one before: after damage nothing can follow.
        self.broken = true;
        let mut head = line(&mut self.input)?;
        if head.is_none() && self.any && self.input.rewind()? {
            self.any = false;
            read_header(&mut self.input)?;
            head = line(&mut self.input)?;
        }
        let Some(end) = head else { return Ok(None) };
        let number = self.number;
        if !self.input.buffered()[..end].starts_with(b"FRAME") {
            let error = FrameError::damaged(self.input.name(), "the word FRAME is not there");
            return Err(error.in_frame(number));
        }
        self.input.take(end + 1);
        let have = self.input.read_into(&mut self.bytes)?;
        if have < self.bytes.len() {
            return Err(cut_off(self.input.name(), number, have, self.bytes.len()));
        }
        let &Header { width, height, chroma, range, .. } = &self.header;
        into.resize(width, height);
        let columns = width as usize;
        yuv::planar(&self.bytes, columns, columns, chroma, range, into.pixels_mut());
        self.broken = false;
        self.any = true;
        self.number += 1;
        Ok(Some(Stamp { number, source: self.input.shared_name() }))
    }

    fn rate(&self) -> Option<f64> {
        self.header_rate().filter(|_| self.input.is_recording())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Y4m, FrameError> {
        Y4m::open(Input::new("test.y4m", std::io::Cursor::new(bytes.to_vec())))
    }

    #[test]
    fn frames_and_colour_range_are_read() {
        let stream = [
            b"YUV4MPEG2 W2 H1 F30:1 Ip C444 XCOLORRANGE=FULL\nFRAME Ixyz\n".as_slice(),
            &[0, 255, 128, 128, 128, 128],
            b"FRAME\n",
            &[9, 8, 128, 128, 128, 128],
        ]
        .concat();
        let mut source = open(&stream).unwrap();
        let mut frame = Frame::new();
        assert_eq!(source.next(&mut frame).unwrap().unwrap().number, 0);
        assert_eq!(frame.pixels(), [0, 0, 0, 255, 255, 255]);
        assert_eq!(source.next(&mut frame).unwrap().unwrap().number, 1);
        assert_eq!(frame.pixels(), [9, 9, 9, 8, 8, 8]);
        assert!(source.next(&mut frame).unwrap().is_none());
        assert_eq!(source.header_rate(), Some(30.0));
        assert_eq!(source.rate(), None, "a pipe sets its own pace");
    }

    #[test]
    fn a_rate_is_a_fraction_or_unknown() {
        assert_eq!(rate_of("30000:1001"), Some(30000.0 / 1001.0));
        for unknown in ["0:0", "0:1", "1:0", "25", "a:b", "-5:1", ""] {
            assert_eq!(rate_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_cut_frame_is_an_error_and_then_the_end() {
        let mut source = open(b"YUV4MPEG2 W3 H3\nFRAME\n0123456789").unwrap();
        let mut frame = Frame::new();
        let error = source.next(&mut frame).unwrap_err().to_string();
        assert!(error.contains("10 of 17 bytes"), "{error}");
        assert!(source.next(&mut frame).unwrap().is_none());
    }

    #[test]
    fn broken_headers_are_named() {
        for (header, part) in [
            ("YUV4MPEG2 Wx H3\n", "Wx"),
            ("YUV4MPEG2 W0 H3\n", "0x3"),
            ("YUV4MPEG2 W3 H3 C420p10\n", "420p10"),
            ("YUV4MPEG2 W99999999 H3\n", "MAX_SIDE"),
            ("YUV4MPEG2 W3 H3", "no end"),
            ("RIFF", "no end"),
            ("RIFF\n", "YUV4MPEG2"),
            ("", "YUV4MPEG2"),
        ] {
            let error = open(header.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(part), "{header:?}: {error}");
        }
        let mut source = open(b"YUV4MPEG2 W1 H1 Cmono\nFREIM\n0").unwrap();
        assert!(source.next(&mut Frame::new()).unwrap_err().to_string().contains("FRAME"));
    }
}
