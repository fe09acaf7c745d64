//! Parts of a picture that are looked at alone.

use std::fmt;
use std::str::FromStr;

use super::{Frame, FrameError};

/// Characters of a region's name.
const MAX_NAME: usize = 64;
/// How far rounding may carry a side over the edge: `0.7 + 0.3` is one.
const SLACK: f64 = 1e-6;

/// A part of the picture, as shares of its width and height from its top left corner.
///
/// Written `x,y,w,h` or `name=x,y,w,h`: `door=0,0.25,0.5,0.75` is called `door`.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    name: Option<String>,
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

impl Region {
    /// A region of that place.
    ///
    /// # Errors
    /// [`FrameError::Option`] for one without area, one that is not within the picture, and a name
    /// that is empty, longer than 64 characters, or has an `=` or control characters in it.
    pub fn new(name: Option<&str>, [x, y, w, h]: [f64; 4]) -> Result<Self, FrameError> {
        let refuse = |reason: &str| {
            let text =
                format!("{}{x},{y},{w},{h}", name.map_or(String::new(), |n| format!("{n}=")));
            Err(broken(&text, reason))
        };
        let bad = |c: char| c.is_control() || c == '=';
        if name.is_some_and(|name| name.trim().is_empty() || name.contains(bad)) {
            return refuse("the region's name is empty or has characters that cannot be printed");
        }
        if name.is_some_and(|name| name.chars().count() > MAX_NAME) {
            return refuse("the region's name is longer than 64 characters");
        }
        let within = |from: f64, size: f64| {
            from >= 0.0 && size > 0.0 && from < 1.0 && from + size <= 1.0 + SLACK
        };
        if !within(x, w) || !within(y, h) {
            return refuse("the region is not within the picture, or has no area");
        }
        Ok(Self { name: name.map(Into::into), x, y, w, h })
    }

    /// Its name, where it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it is called: its name, or its place where it has none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.to_string())
    }

    /// Left, top, width and height, as shares of the picture's.
    #[must_use]
    pub const fn shares(&self) -> [f64; 4] {
        [self.x, self.y, self.w, self.h]
    }

    /// Copies the region's pixels, at least one of a picture that has any. Allocates only where
    /// `into` was never that big.
    pub fn crop(&self, from: &Frame, into: &mut Frame) {
        let (left, width) = span(self.x, self.w, from.width());
        let (top, height) = span(self.y, self.h, from.height());
        into.resize(width, height);
        if from.pixels().is_empty() || into.pixels().is_empty() {
            return;
        }
        let rows = from.pixels().chunks_exact(from.width() as usize * 3).skip(top as usize);
        let out = into.pixels_mut().chunks_exact_mut(width as usize * 3);
        for (row, out) in rows.zip(out) {
            out.copy_from_slice(&row[left as usize * 3..][..out.len()]);
        }
    }
}

/// First pixel and number of pixels of a share of `side` pixels, to the nearest edges.
fn span(from: f64, size: f64, side: u32) -> (u32, u32) {
    let pixels = f64::from(side);
    let first = ((from * pixels).round() as u32).min(side.saturating_sub(1));
    let end = (((from + size) * pixels).round() as u32).min(side);
    (first, end.saturating_sub(first).max(1).min(side))
}

fn broken(text: &str, reason: &str) -> FrameError {
    FrameError::Option {
        name: text.into(),
        reason: reason.into(),
        remedy: "write x,y,w,h or name=x,y,w,h with shares of the picture from 0 to 1, such as \
                 door=0.5,0,0.5,1 for its right half",
    }
}

impl FromStr for Region {
    type Err = FrameError;

    fn from_str(text: &str) -> Result<Self, FrameError> {
        let (name, numbers) = match text.rsplit_once('=') {
            Some((name, numbers)) => (Some(name), numbers),
            None => (None, text),
        };
        let mut shares = [0.0; 4];
        let mut fields = numbers.split(',');
        for share in &mut shares {
            let number = fields.next().and_then(|field| field.trim().parse().ok());
            *share = number.ok_or_else(|| broken(text, "a region is four numbers"))?;
        }
        if fields.next().is_some() {
            return Err(broken(text, "a region is four numbers"));
        }
        Self::new(name, shares)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        write!(f, "{},{},{},{}", self.x, self.y, self.w, self.h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32) -> Frame {
        let mut frame = Frame::new();
        frame.resize(width, height);
        frame.pixels_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
        frame
    }

    fn crop(region: &str, from: &Frame) -> Frame {
        let mut into = Frame::new();
        region.parse::<Region>().unwrap().crop(from, &mut into);
        into
    }

    #[test]
    fn a_region_is_read_back_as_it_was_written() {
        for text in ["0,0,1,1", "door=0.5,0,0.5,1", "the left bin=0.1,0.2,0.30000001,0.4"] {
            let region: Region = text.parse().unwrap();
            assert_eq!(region.to_string(), text);
            assert_eq!(region.to_string().parse::<Region>().unwrap(), region);
        }
        let third = Region::new(Some("third"), [1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0]).unwrap();
        assert_eq!(third.to_string().parse::<Region>().unwrap(), third);
        assert_eq!(third.name(), Some("third"));
    }

    #[test]
    fn what_is_no_region_says_how_to_write_one() {
        for text in [
            "",
            "1",
            "0,0,1",
            "0,0,1,1,1",
            "a,b,c,d",
            "0,0,1,NaN",
            "0,0,inf,1",
            "-0.1,0,1,1",
            "0.6,0,0.5,1",
            "0,0,0,1",
            "0,1,1,0.1",
            "=0,0,1,1",
            "a=b=0,0,1,1",
            "a\nb=0,0,1,1",
        ] {
            let error = text.parse::<Region>().unwrap_err().to_string();
            assert!(error.contains("name=x,y,w,h"), "{text:?}: {error}");
        }
        let long = format!("{}=0,0,1,1", "n".repeat(65));
        assert!(long.parse::<Region>().unwrap_err().to_string().contains("64"));
    }

    #[test]
    fn the_crop_is_the_pixels_of_that_place() {
        let from = frame(7, 5);
        let got = crop("0.3,0.2,0.45,0.6", &from);
        assert_eq!((got.width(), got.height()), (3, 3));
        let pixel = |frame: &Frame, x: usize, y: usize| {
            frame.pixels().as_chunks::<3>().0[y * frame.width() as usize + x]
        };
        for (x, y) in (0..3).flat_map(|y| (0..3).map(move |x| (x, y))) {
            assert_eq!(pixel(&got, x, y), pixel(&from, x + 2, y + 1));
        }
        assert_eq!(crop("0,0,1,1", &from), from);

        let mut again = crop("0,0,1,1", &from);
        let place = again.pixels().as_ptr();
        "0.3,0.2,0.45,0.6".parse::<Region>().unwrap().crop(&from, &mut again);
        assert_eq!(again, got);
        assert_eq!(again.pixels().as_ptr(), place, "its memory is kept");
    }

    #[test]
    fn a_crop_has_at_least_one_pixel_and_halves_share_none() {
        for (width, height) in [(1, 1), (2, 3), (33, 1), (640, 480)] {
            let from = frame(width, height);
            for region in ["0,0,0.0001,0.0001", "0.999999,0.999999,0.000001,0.000001"] {
                let got = crop(region, &from);
                assert_eq!((got.width(), got.height()), (1, 1), "{region} of {width}x{height}");
            }
            let (left, right) = (crop("0,0,0.5,1", &from), crop("0.5,0,0.5,1", &from));
            assert!(width == 1 || left.width() + right.width() == width);
        }
        assert_eq!(crop("0,0,1,1", &Frame::new()), Frame::new());
        assert_eq!(crop("0.7,0.7,0.3,0.3", &frame(10, 10)).width(), 3);
    }
}
