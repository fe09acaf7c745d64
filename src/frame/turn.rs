//! Flips and turns by a right angle: what EXIF asks for, and what a camera mounted otherwise needs.

use std::fmt;
use std::str::FromStr;

use image::metadata::Orientation;

use super::source::{Source, Stamp};
use super::{Frame, FrameError};

/// How a camera's picture is mirrored, after it was turned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    /// Not at all.
    #[default]
    None,
    /// Left and right change places.
    Horizontal,
    /// Above and below change places.
    Vertical,
    /// Both: a camera that hangs upside down.
    Both,
}

/// How far a camera's picture is turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotate {
    /// Not at all.
    #[default]
    None,
    /// By 90 degrees.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    ThreeQuarters,
}

impl Flip {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::None, Self::Horizontal, Self::Vertical, Self::Both];

    /// The name for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Horizontal => "h",
            Self::Vertical => "v",
            Self::Both => "both",
        }
    }
}

impl Rotate {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::None, Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// The name for people and command lines: the degrees.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Quarter => "90",
            Self::Half => "180",
            Self::ThreeQuarters => "270",
        }
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Rotate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Flip {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        Self::ALL.into_iter().find(|flip| flip.name() == text).ok_or_else(|| FrameError::Option {
            name: text.into(),
            reason: "this is no way to flip a picture".into(),
            remedy: "give h (left and right change places), v (above and below), both or none",
        })
    }
}

impl FromStr for Rotate {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        let found = Self::ALL.into_iter().find(|rotate| rotate.name() == text);
        found.ok_or_else(|| FrameError::Option {
            name: text.into(),
            reason: "a picture can be turned by right angles only".into(),
            remedy: "give the degrees clockwise: 90, 180, 270 or 0",
        })
    }
}

/// Turning, then mirroring, as one movement.
fn orientation(rotate: Rotate, flip: Flip) -> Orientation {
    let quarters = match rotate {
        Rotate::None => 0,
        Rotate::Quarter => 1,
        Rotate::Half => 2,
        Rotate::ThreeQuarters => 3,
    };
    // Upside down is half a turn and a mirror image.
    let (more, mirrored) = match flip {
        Flip::None => (0, false),
        Flip::Horizontal => (0, true),
        Flip::Vertical => (2, true),
        Flip::Both => (2, false),
    };
    match ((quarters + more) % 4, mirrored) {
        (0, false) => Orientation::NoTransforms,
        (1, false) => Orientation::Rotate90,
        (2, false) => Orientation::Rotate180,
        (_, false) => Orientation::Rotate270,
        (0, true) => Orientation::FlipHorizontal,
        (1, true) => Orientation::Rotate90FlipH,
        (2, true) => Orientation::FlipVertical,
        (_, true) => Orientation::Rotate270FlipH,
    }
}

/// `source`, with its frames turned and then mirrored.
pub(super) fn turned(source: Box<dyn Source>, rotate: Rotate, flip: Flip) -> Box<dyn Source> {
    match orientation(rotate, flip) {
        Orientation::NoTransforms => source,
        orientation => Box::new(Turned { source, orientation, scratch: Frame::new() }),
    }
}

struct Turned {
    source: Box<dyn Source>,
    orientation: Orientation,
    scratch: Frame,
}

impl Source for Turned {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        let stamp = self.source.next(into)?;
        if stamp.is_some() {
            turn(into, self.orientation, &mut self.scratch);
        }
        Ok(stamp)
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn rate(&self) -> Option<f64> {
        self.source.rate()
    }
}

/// Turns `frame`; `turned` is room to work in.
pub(super) fn turn(frame: &mut Frame, orientation: Orientation, turned: &mut Frame) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    // Where the output's pixel (x, y) comes from: the start and the step along x and along y.
    let last = (width * height) as isize - 1;
    let (right, down) = (1, width as isize);
    let (top_right, bottom_left) = (right * (width as isize - 1), last - (width as isize - 1));
    let (start, along_x, along_y, swapped) = match orientation {
        Orientation::NoTransforms => return,
        Orientation::FlipHorizontal => (top_right, -right, down, false),
        Orientation::Rotate180 => (last, -right, -down, false),
        Orientation::FlipVertical => (bottom_left, right, -down, false),
        Orientation::Rotate90FlipH => (0, down, right, true),
        Orientation::Rotate90 => (bottom_left, -down, right, true),
        Orientation::Rotate270FlipH => (last, -down, -right, true),
        Orientation::Rotate270 => (top_right, down, -right, true),
    };
    let (out_width, out_height) = if swapped { (height, width) } else { (width, height) };
    turned.resize(out_width as u32, out_height as u32);
    let pixels = frame.pixels().as_chunks::<3>().0;
    let rows = turned.pixels_mut().chunks_exact_mut(out_width * 3);
    for (y, row) in rows.enumerate() {
        let row_start = start + y as isize * along_y;
        for (x, out) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *out = pixels[(row_start + x as isize * along_x) as usize];
        }
    }
    std::mem::swap(frame, turned);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(u32, u32);

    impl Source for Numbered {
        fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
            into.resize(self.0, self.1);
            into.pixels_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
            Ok(Some(Stamp { number: 0, source: "numbered".into() }))
        }

        fn rate(&self) -> Option<f64> {
            Some(12.5)
        }
    }

    type Grid = Vec<Vec<[u8; 3]>>;

    fn grid(frame: &Frame) -> Grid {
        let rows = frame.pixels().chunks_exact(frame.width() as usize * 3);
        rows.map(|row| row.as_chunks::<3>().0.to_vec()).collect()
    }

    /// The first column, read upwards, becomes the first row.
    fn quarter(grid: &Grid) -> Grid {
        let columns = 0..grid[0].len();
        columns.map(|x| grid.iter().rev().map(|row| row[x]).collect()).collect()
    }

    fn plainly(mut grid: Grid, rotate: Rotate, flip: Flip) -> Grid {
        for _ in 0..rotate.name().parse::<usize>().unwrap() / 90 {
            grid = quarter(&grid);
        }
        if matches!(flip, Flip::Horizontal | Flip::Both) {
            grid.iter_mut().for_each(|row| row.reverse());
        }
        if matches!(flip, Flip::Vertical | Flip::Both) {
            grid.reverse();
        }
        grid
    }

    #[test]
    fn every_turn_and_flip_is_what_a_plain_one_gives_on_odd_sizes() {
        for (rotate, flip) in
            Rotate::ALL.into_iter().flat_map(|rotate| Flip::ALL.map(|flip| (rotate, flip)))
        {
            for (width, height) in [(1, 1), (3, 5), (4, 3), (1, 6), (7, 1)] {
                let mut before = Frame::new();
                Numbered(width, height).next(&mut before).unwrap();
                let mut source = turned(Box::new(Numbered(width, height)), rotate, flip);
                let mut frame = Frame::new();
                for _ in 0..3 {
                    source.next(&mut frame).unwrap().unwrap();
                    let want = plainly(grid(&before), rotate, flip);
                    assert_eq!(grid(&frame), want, "{rotate} {flip} of {width}x{height}");
                }
                assert_eq!((source.rate(), source.is_live()), (Some(12.5), false));
            }
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for flip in Flip::ALL {
            assert_eq!(flip.to_string().parse::<Flip>().unwrap(), flip);
        }
        for rotate in Rotate::ALL {
            assert_eq!(rotate.to_string().parse::<Rotate>().unwrap(), rotate);
        }
        let error = "45".parse::<Rotate>().unwrap_err().to_string();
        assert!(error.contains("270"), "{error}");
        let error = "x".parse::<Flip>().unwrap_err().to_string();
        assert!(error.contains("both"), "{error}");
    }
}
