use super::Frame;
use super::resample::{Axis, Rows, RowsMut, columns_first};
use crate::asset::{Preprocess, ResizeMode};

/// Turns frames of any size into the encoder's square input.
///
/// Keeps the plan of the last frame's size: frames of one size cost no planning, and after the
/// first of them nothing is allocated.
#[derive(Debug)]
pub struct Preprocessor {
    size: usize,
    mode: ResizeMode,
    fill: [u8; 3],
    planned: (u32, u32),
    place: Placement,
    columns_first: bool,
    horizontal: Axis,
    vertical: Axis,
    rows: Vec<u8>,
    sums: Vec<i32>,
}

/// Where the resized picture lies in the square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Placement {
    /// Size of the whole resized picture.
    resized: (usize, usize),
    /// Left and top of the part of it that is kept.
    crop: (usize, usize),
    /// Left and top of that part in the square.
    pad: (usize, usize),
    /// Size of the part.
    part: (usize, usize),
}

impl Placement {
    fn new(mode: ResizeMode, size: usize, width: usize, height: usize) -> Self {
        match mode {
            // torchvision: Resize(size) then CenterCrop(size).
            ResizeMode::FitShortest => {
                let long = |long: usize, short: usize| size * long / short;
                let resized = if width <= height {
                    (size, long(height, width))
                } else {
                    (long(width, height), size)
                };
                let crop = (half(resized.0 - size), half(resized.1 - size));
                Self { resized, crop, pad: (0, 0), part: (size, size) }
            }
            // PIL: ImageOps.pad(size, color=mean).
            ResizeMode::FitLongest => {
                let short = |short: usize, long: usize| {
                    let exact = short as f64 / long as f64 * size as f64;
                    (exact.round_ties_even() as usize).clamp(1, size)
                };
                let resized = if width >= height {
                    (size, short(height, width))
                } else {
                    (short(width, height), size)
                };
                let pad = (half(size - resized.0), half(size - resized.1));
                Self { resized, crop: (0, 0), pad, part: resized }
            }
            ResizeMode::Squash => {
                Self { resized: (size, size), crop: (0, 0), pad: (0, 0), part: (size, size) }
            }
        }
    }
}

/// Python's `int(round(n / 2))`.
fn half(n: usize) -> usize {
    (n as f64 / 2.0).round_ties_even() as usize
}

impl Preprocessor {
    /// For the input that `preprocess` describes. `fit-longest` fills with its mean colour.
    #[must_use]
    pub fn new(preprocess: Preprocess) -> Self {
        Self {
            size: preprocess.size as usize,
            mode: preprocess.mode,
            fill: preprocess.mean.map(|mean| mean.round_ties_even().clamp(0.0, 255.0) as u8),
            planned: (0, 0),
            place: Placement::default(),
            columns_first: false,
            horizontal: Axis::default(),
            vertical: Axis::default(),
            rows: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Bytes of the output: `size * size * 3`.
    #[must_use]
    pub const fn output_len(&self) -> usize {
        self.size * self.size * 3
    }

    /// Resizes and crops or pads `frame` into `out`, `[size, size, 3]` red, green, blue.
    /// An empty frame becomes the mean colour.
    ///
    /// # Panics
    /// When `out` is not [`Self::output_len`] bytes.
    pub fn run(&mut self, frame: &Frame, out: &mut [u8]) {
        assert_eq!(out.len(), self.output_len(), "the output is size * size * 3 bytes");
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        if width == 0 || height == 0 {
            out.as_chunks_mut::<3>().0.fill(self.fill);
            return;
        }
        if self.planned != (frame.width(), frame.height()) {
            self.plan(width, height);
            self.planned = (frame.width(), frame.height());
        }
        let Placement { pad, part, .. } = self.place;
        if part != (self.size, self.size) {
            out.as_chunks_mut::<3>().0.fill(self.fill);
        }
        let stride = width * 3;
        let (columns, lines) = (self.horizontal.needed(), self.vertical.needed());
        let start = (pad.1 * self.size + pad.0) * 3;
        let out = &mut out[start..];
        if self.columns_first {
            let between = columns.len() * 3;
            let rows = Rows { bytes: &frame.pixels()[columns.start * 3..], stride };
            let rows_out = RowsMut { bytes: &mut self.rows, stride: between, width: between };
            self.vertical.columns(rows, 0, rows_out, &mut self.sums);
            let rows = self.rows.chunks_exact(between);
            for (row, out) in rows.zip(out.chunks_mut(self.size * 3)) {
                self.horizontal.row(row, columns.start, &mut out[..part.0 * 3]);
            }
        } else {
            let between = part.0 * 3;
            let rows = frame.pixels().chunks_exact(stride).skip(lines.start);
            for (row, out) in rows.zip(self.rows.chunks_exact_mut(between)) {
                self.horizontal.row(row, 0, out);
            }
            let rows = Rows { bytes: &self.rows, stride: between };
            let out = RowsMut { bytes: out, stride: self.size * 3, width: between };
            self.vertical.columns(rows, lines.start, out, &mut self.sums);
        }
    }

    fn plan(&mut self, width: usize, height: usize) {
        let place = Placement::new(self.mode, self.size, width, height);
        self.place = place;
        self.columns_first = columns_first((width, height), place.resized);
        self.horizontal.plan(width, place.resized.0, place.crop.0, place.part.0);
        self.vertical.plan(height, place.resized.1, place.crop.1, place.part.1);
        let between = if self.columns_first {
            self.horizontal.needed().len() * place.part.1
        } else {
            self.vertical.needed().len() * place.part.0
        };
        self.rows.resize(between * 3, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(mode: ResizeMode, width: usize, height: usize) -> Placement {
        Placement::new(mode, 224, width, height)
    }

    #[test]
    fn sizes_and_crops_are_torchvisions() {
        // Resize(224) of 500x333 gives 336x224 (int(336.33)); (336 - 224) / 2 = 56.
        let p = place(ResizeMode::FitShortest, 500, 333);
        assert_eq!((p.resized, p.crop), ((336, 224), (56, 0)));
        // 225 - 224 = 1: round(0.5) is 0; 227 - 224 = 3: round(1.5) is 2.
        assert_eq!(place(ResizeMode::FitShortest, 224, 225).crop, (0, 0));
        assert_eq!(place(ResizeMode::FitShortest, 224, 227).crop, (0, 2));
        assert_eq!(place(ResizeMode::FitShortest, 1, 9).resized, (224, 2016));
    }

    #[test]
    fn padding_is_pils() {
        let p = place(ResizeMode::FitLongest, 500, 333);
        assert_eq!((p.resized, p.pad), ((224, 149), (0, 38)));
        assert_eq!(place(ResizeMode::FitLongest, 3000, 1).resized, (224, 1));
        assert_eq!(place(ResizeMode::Squash, 3, 900).resized, (224, 224));
    }

    #[test]
    fn every_mode_and_size_fills_the_whole_output() {
        for mode in ResizeMode::ALL {
            let mean = [7.0; 3];
            let mut run = Preprocessor::new(Preprocess { size: 32, mode, mean, std: [1.0; 3] });
            for (width, height) in
                [(1, 1), (1, 300), (300, 1), (31, 33), (64, 48), (40, 900), (0, 0)]
            {
                let mut frame = Frame::new();
                frame.resize(width, height);
                frame.pixels_mut().fill(7);
                let mut out = vec![0; run.output_len()];
                run.run(&frame, &mut out);
                assert!(out.iter().all(|&v| v == 7), "{} {width}x{height}", mode.name());
            }
        }
    }
}
