//! Pillow's bicubic resampling with antialiasing (`src/libImaging/Resample.c`), bit for bit.
//!
//! Weights are 22-bit fixed point; one axis is resampled first and rounded to 8 bits, then the
//! other: where the filter overshoots, the order and the rounding between show.

/// The fixed point of the weights: 32 bits less 8 of the pixel and 2 of overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// Half the width of the bicubic kernel.
const SUPPORT: f64 = 2.0;

/// Keys' cubic convolution with a = -0.5 (Catmull-Rom).
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Whether Pillow (since version 13) resamples the columns first: where the height shrinks by more
/// than twice what the width does.
pub(super) fn columns_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let lost_height = from.1.saturating_sub(to.1);
    lost_height > 2 * from.0.saturating_sub(to.0)
}

/// Which input pixels make which output pixels of one axis, and with which weights.
#[derive(Debug, Default)]
pub(super) struct Axis {
    /// First input pixel and number of taps of each output pixel.
    spans: Vec<(usize, usize)>,
    /// Fixed-point weights, `taps` places per output pixel.
    weights: Vec<i32>,
    taps: usize,
    float: Vec<f64>,
}

impl Axis {
    /// Plans output pixels `first..first + count` of an axis resized from `from` to `to` pixels.
    pub(super) fn plan(&mut self, from: usize, to: usize, first: usize, count: usize) {
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let support = SUPPORT * filter_scale;
        let step = 1.0 / filter_scale;
        self.taps = support.ceil() as usize * 2 + 1;
        self.spans.clear();
        self.weights.clear();
        self.weights.resize(self.taps * count, 0);
        for (out, weights) in (first..first + count).zip(self.weights.chunks_exact_mut(self.taps)) {
            let center = (out as f64 + 0.5) * scale;
            let low = (center - support + 0.5).max(0.0) as usize;
            let high = ((center + support + 0.5) as usize).min(from);
            self.float.clear();
            self.float.extend((low..high).map(|x| bicubic((x as f64 - center + 0.5) * step)));
            let sum: f64 = self.float.iter().sum();
            for (weight, &float) in weights.iter_mut().zip(&self.float) {
                let float = if sum == 0.0 { float } else { float / sum };
                let scaled = float * f64::from(1 << PRECISION_BITS);
                *weight = (scaled + 0.5f64.copysign(scaled)) as i32;
            }
            self.spans.push((low, high - low));
        }
    }

    /// The input pixels that the planned output needs.
    pub(super) fn needed(&self) -> core::ops::Range<usize> {
        let first = self.spans.first().map_or(0, |&(low, _)| low);
        let last = self.spans.last().map_or(0, |&(low, taps)| low + taps);
        first..last
    }

    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans
            .iter()
            .zip(self.weights.chunks_exact(self.taps))
            .map(|(&(low, taps), weights)| (low, &weights[..taps]))
    }

    /// Resamples one row of RGB pixels, whose first is input pixel `base`.
    pub(super) fn row(&self, row: &[u8], base: usize, out: &mut [u8]) {
        let row = row.as_chunks::<3>().0;
        for ((low, weights), out) in self.outputs().zip(out.as_chunks_mut::<3>().0) {
            let mut sums = [HALF; 3];
            for (pixel, weight) in row[low - base..].iter().zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            *out = sums.map(clip);
        }
    }

    /// Resamples columns of bytes, as many as an `out` row has; the first row is input row `base`.
    pub(super) fn columns(&self, rows: Rows, base: usize, out: RowsMut, sums: &mut Vec<i32>) {
        let width = out.width;
        let outs = out.bytes.chunks_mut(out.stride);
        for ((low, weights), out) in self.outputs().zip(outs) {
            sums.clear();
            sums.resize(width, HALF);
            let rows = rows.bytes[(low - base) * rows.stride..].chunks(rows.stride);
            for (row, &weight) in rows.zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(sums.iter()) {
                *out = clip(sum);
            }
        }
    }
}

/// Rows of bytes, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
}

/// Rows of `width` bytes to be written, `stride` apart.
pub(super) struct RowsMut<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) stride: usize,
    pub(super) width: usize,
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_keeps_its_size_copies() {
        let mut axis = Axis::default();
        axis.plan(5, 5, 0, 5);
        let row: Vec<u8> = (0..15).map(|i| i * 17).collect();
        let mut out = vec![0; 15];
        axis.row(&row, 0, &mut out);
        assert_eq!(out, row);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_scale() {
        let mut axis = Axis::default();
        for (from, to) in [(1, 7), (7, 1), (640, 224), (224, 640), (2, 3), (1000, 3)] {
            axis.plan(from, to, 0, to);
            for value in [0, 1, 127, 255] {
                let mut out = vec![9; to * 3];
                axis.row(&vec![value; from * 3], 0, &mut out);
                assert_eq!(out, vec![value; to * 3], "{from} to {to}");
                let mut sums = Vec::new();
                let rows = Rows { bytes: &vec![value; from * 3], stride: 3 };
                let outs = RowsMut { bytes: &mut out, stride: 3, width: 3 };
                axis.columns(rows, 0, outs, &mut sums);
                assert_eq!(out, vec![value; to * 3], "columns {from} to {to}");
            }
        }
    }

    #[test]
    fn a_part_equals_the_part_of_the_whole() {
        let row: Vec<u8> = (0..300u32).map(|i| (i * i % 251) as u8).collect();
        let (mut whole, mut part) = (Axis::default(), Axis::default());
        whole.plan(100, 37, 0, 37);
        part.plan(100, 37, 11, 20);
        let (mut all, mut some) = (vec![0; 37 * 3], vec![0; 20 * 3]);
        whole.row(&row, 0, &mut all);
        part.row(&row[part.needed().start * 3..], part.needed().start, &mut some);
        assert_eq!(some, all[33..93]);
    }
}
