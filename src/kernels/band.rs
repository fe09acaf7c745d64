//! How the x86 kernels walk over an image for a depthwise convolution: in bands of a few output rows, cut into
//! runs of outputs. The input under a run is laid out once for all of the band's rows, the padding too: the sums
//! then know nothing of image borders.

use core::ops::Range;

use super::depthwise::{Taps, Weights, Words, load_weights};
use super::end::{is_plain, is_small};
use super::{Depthwise, End, LANES, MAX_SIDE};

/// Panels of channels that go over the image together: the lines of its pixels, of which each takes a
/// part, stay in the level-1 cache, and so do their weights.
const PANELS: usize = 8;
/// Outputs of a run at most.
pub(super) const OUTPUTS: usize = 32;
/// Columns under them at most.
const COLUMNS: usize = 2 * (OUTPUTS - 1) + MAX_SIDE;
/// Input rows under a band at most, whole words of them.
const ROWS: usize = 8;
/// Words of a column at most.
pub(super) const GROUPS: usize = ROWS / 2;

/// The input under a run in a panel's channels, by group of rows and column.
pub(super) struct Laid([[Words; COLUMNS]; GROUPS]);

impl Laid {
    pub(super) const NOTHING: Self = Self([[Words([0; LANES]); COLUMNS]; GROUPS]);

    /// The words of a group of rows from a column on.
    #[inline(always)]
    pub(super) fn from(&self, group: usize, column: usize) -> &[Words] {
        &self.0[group][column..]
    }
}

/// Output rows of a band: those that need no more words of `taps` input rows than the first one.
pub(super) const fn rows_of_a_band(side: usize, stride: usize, taps: usize) -> usize {
    (side.next_multiple_of(taps) - side) / stride + 1
}

/// A run of outputs in each row of a band, and where the pixels under them lie.
pub(super) struct Band {
    /// The first row's first output, counted over all rows that are to be made.
    pub(super) output: usize,
    /// Outputs to the same place in the next row.
    pub(super) to_next_row: usize,
    /// Output rows.
    pub(super) rows: usize,
    /// Outputs of each.
    pub(super) outputs: usize,
    /// Columns from one output to the next.
    pub(super) stride: usize,
    /// Input rows that are needed.
    rows_in: usize,
    /// Each one's first pixel under the run that is inside of the image, and the bytes from there to the next.
    pixels: [(*const u8, usize); ROWS],
    columns: usize,
    /// Columns inside of the image.
    inside: Range<usize>,
    pad: *const u8,
    channels: usize,
}

impl Band {
    /// The run of `outputs` from output `x` on in `rows` rows from output row `y` on; `first` is the first one
    /// that is to be made.
    #[inline]
    fn new(d: &Depthwise, image: &[u8], first: usize, y: Range<usize>, x: Range<usize>) -> Self {
        let left = x.start * d.stride;
        let columns = (x.len() - 1) * d.stride + d.kernel;
        let start = d.pad_left.clamp(left, left + columns);
        let end = (d.pad_left + d.width_in).clamp(start, left + columns);
        let rows_in = (y.len() - 1) * d.stride + d.kernel;
        let mut pixels = [(d.pad.as_ptr(), 0); ROWS];
        for (tap, pixel) in pixels.iter_mut().enumerate().take(rows_in) {
            let row = (y.start * d.stride + tap).checked_sub(d.pad_top);
            if let Some(row) = row.filter(|row| *row < d.height_in && start < end) {
                let at = (row * d.width_in + start - d.pad_left) * d.channels;
                *pixel = (image[at..].as_ptr(), d.channels);
            }
        }
        Self {
            output: (y.start - first) * d.width_out + x.start,
            to_next_row: d.width_out,
            rows: y.len(),
            outputs: x.len(),
            stride: d.stride,
            rows_in,
            pixels,
            columns,
            inside: start - left..end - left,
            pad: d.pad.as_ptr(),
            channels: d.channels,
        }
    }

    /// Lays out the input in the channels from `c` on.
    ///
    /// # Safety
    /// [`LANES`] channels from `c` exist, or there are fewer and `c` is 0; the image lives.
    #[inline(always)]
    pub(super) unsafe fn lay<T: Taps>(&self, c: usize, laid: &mut Laid) {
        for (group, words) in laid.0.iter_mut().enumerate().take(self.rows_in.div_ceil(T::ROWS)) {
            let first = group * T::ROWS;
            // SAFETY: the caller's promise.
            unsafe {
                match (self.rows_in - first).min(T::ROWS) {
                    1 => self.lay_group::<T, 1>(first, c, words),
                    2 => self.lay_group::<T, 2>(first, c, words),
                    3 => self.lay_group::<T, 3>(first, c, words),
                    _ => self.lay_group::<T, 4>(first, c, words),
                }
            }
        }
    }

    /// Lays out `N` input rows from the given one on.
    ///
    /// # Safety
    /// As [`lay`](Self::lay).
    #[inline(always)]
    unsafe fn lay_group<T: Taps, const N: usize>(
        &self,
        first: usize,
        c: usize,
        words: &mut [Words; COLUMNS],
    ) {
        let Some(rows) = self.pixels[first..].first_chunk::<N>() else { return };
        // SAFETY: the columns inside of the image have a pixel in each row, or the padding stands there for
        // it; for the channels the caller's promise.
        unsafe {
            if self.inside.len() < self.columns {
                let edge = if self.channels < LANES {
                    self.few::<T, N>([self.pad; N])
                } else {
                    T::load_codes(&[self.pad; N], c)
                };
                for words in &mut words[..self.inside.start] {
                    edge.lay(words);
                }
                for words in &mut words[self.inside.end..self.columns] {
                    edge.lay(words);
                }
            }
            let mut pixels = [self.pad; N];
            for (pixel, row) in pixels.iter_mut().zip(rows) {
                *pixel = row.0;
            }
            let words = &mut words[self.inside.clone()];
            if self.channels < LANES {
                for words in words {
                    self.few::<T, N>(pixels).lay(words);
                    step(&mut pixels, rows);
                }
                return;
            }
            for words in words {
                T::load_codes(&pixels, c).lay(words);
                step(&mut pixels, rows);
            }
        }
    }

    /// The codes of `N` pixels with fewer channels than [`LANES`] side by side.
    ///
    /// # Safety
    /// The pixels exist.
    #[inline(always)]
    unsafe fn few<T: Taps, const N: usize>(&self, mut pixels: [*const u8; N]) -> T {
        let mut few = [[0; LANES]; N];
        // SAFETY: a pixel has all channels.
        unsafe {
            for (pixel, few) in pixels.iter_mut().zip(&mut few) {
                core::ptr::copy_nonoverlapping(*pixel, few.as_mut_ptr(), self.channels);
                *pixel = few.as_ptr();
            }
            T::load_codes(&pixels, 0)
        }
    }
}

/// Goes on to the next column.
#[inline(always)]
fn step<const N: usize>(pixels: &mut [*const u8; N], rows: &[(*const u8, usize); N]) {
    for (pixel, row) in pixels.iter_mut().zip(rows) {
        *pixel = pixel.wrapping_add(row.1);
    }
}

/// The rows from output row `first` on that `out` holds. `panel` makes a band's outputs in the channels from the
/// given one on, of which there are [`LANES`] in each pixel, or all if there are fewer.
#[inline(always)]
pub(super) fn run<T: Taps>(
    d: &Depthwise,
    image: &[u8],
    first: usize,
    out: &mut [u8],
    panel: unsafe fn(&Band, usize, &Weights, &End, &mut Work),
) {
    let mut weights = [Weights::NONE; PANELS];
    let rows = out.len().div_ceil(d.width_out * d.stride_out);
    let end = d.end(out);
    let greatest = if d.are_bytes { 1 << 7 } else { 1 << 15 };
    let is_plain = is_plain(&end) && is_small(&end, d.kernel * d.kernel * 255 * greatest);
    let mut work = Work { laid: Laid::NOTHING, sums: [[0; LANES]; OUTPUTS], is_plain };
    let rows_of_band = rows_of_a_band(d.kernel, d.stride, T::ROWS);
    let most = ((COLUMNS - d.kernel) / d.stride + 1).min(OUTPUTS);
    // The last panel ends with the channels: some may be made twice.
    let last = d.channels.saturating_sub(LANES);
    for group in (0..d.channels).step_by(PANELS * LANES) {
        let panels = (group..d.channels).step_by(LANES).take(PANELS);
        let panels = panels.map(|c| c.min(last));
        load_weights(d, panels.clone(), T::ROWS, &mut weights);
        for y in (first..first + rows).step_by(rows_of_band) {
            let rows = y..(first + rows).min(y + rows_of_band);
            for x in (0..d.width_out).step_by(most) {
                let outputs = x..d.width_out.min(x + most);
                let band = Band::new(d, image, first, rows.clone(), outputs);
                for (c, weights) in panels.clone().zip(&weights) {
                    // SAFETY: the channels exist; sizes are as `Kernels::depthwise` checks them.
                    unsafe { panel(&band, c, weights, &end, &mut work) };
                }
            }
        }
    }
}

/// What is made for one panel of a band after the other.
#[repr(align(64))]
pub(super) struct Work {
    pub(super) laid: Laid,
    /// Sums of one row's outputs.
    pub(super) sums: [[i32; LANES]; OUTPUTS],
    /// Whether [codes](is_plain) can be made of them in registers.
    pub(super) is_plain: bool,
}
