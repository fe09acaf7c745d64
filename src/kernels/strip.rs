//! How the ARM kernels with dot products walk over a row for a depthwise convolution.
//!
//! Outputs are made in strips. For each column and kernel row under a strip it is looked up once where
//! the pixel lies (or the padding); the sums then know nothing of image borders.

use super::{Depthwise, End, LANES, MAX_SIDE};

/// Panels of channels that go over the image together: they share the look-up of the pixels, and their
/// weights stay in the level-1 cache.
const GROUP: usize = 16;
/// Outputs of a strip at most.
pub(super) const OUTPUTS: usize = 32;
/// Columns under them at most.
pub(super) const COLUMNS: usize = 2 * (OUTPUTS - 1) + MAX_SIDE;
/// Columns of padding behind the last one, for who takes several at once.
pub(super) const AHEAD: usize = 6;

/// Sums of a strip's outputs.
#[repr(align(64))]
pub(super) struct Sums(pub(super) [[i32; LANES]; OUTPUTS]);

/// A run of outputs and the pixels under them.
pub(super) struct Strip {
    /// First output.
    pub(super) output: usize,
    /// Outputs.
    pub(super) outputs: usize,
    /// Columns from one output to the next.
    pub(super) stride: usize,
    /// The first channel of each column's pixels, in the order of the kernel's rows.
    pub(super) columns: [[*const u8; MAX_SIDE]; COLUMNS + AHEAD],
    /// Pixels with fewer channels than [`LANES`], copied to where so many can be read.
    few: [[[u8; LANES]; MAX_SIDE]; COLUMNS + AHEAD],
}

impl Strip {
    pub(super) fn new(d: &Depthwise) -> Self {
        Strip {
            output: 0,
            outputs: 0,
            stride: d.stride,
            columns: [[d.pad.as_ptr(); MAX_SIDE]; COLUMNS + AHEAD],
            few: [[[0; LANES]; MAX_SIDE]; COLUMNS + AHEAD],
        }
    }

    /// Goes on to the next strip of an output row; false after the last. `rows` are the input rows under
    /// it, empty where they lie outside of the image.
    pub(super) fn next(&mut self, d: &Depthwise, rows: &[&[u8]]) -> bool {
        self.output += self.outputs;
        let most = ((COLUMNS - d.kernel) / d.stride + 1).min(OUTPUTS);
        self.outputs = (d.width_out - self.output).min(most);
        if self.outputs == 0 {
            self.output = 0;
            return false;
        }
        let first = self.output * d.stride;
        let count = (self.outputs - 1) * d.stride + d.kernel;
        let left = d.pad_left.clamp(first, first + count) - first;
        let right = (d.pad_left + d.width_in).clamp(first + left, first + count) - first;
        // Each kernel row's pixel of the column at hand, and the bytes to the next one: none in the padding.
        let pads = [(d.pad.as_ptr(), 0); MAX_SIDE];
        let mut pixels = pads;
        for (pixel, row) in pixels.iter_mut().zip(rows) {
            if !row.is_empty() {
                let at = (first + left).saturating_sub(d.pad_left) * d.channels;
                *pixel = (row.as_ptr().wrapping_add(at), d.channels);
            }
        }
        let fill = match d.kernel {
            ..=3 => fill::<3>,
            ..=5 => fill::<5>,
            _ => fill::<MAX_SIDE>,
        };
        fill(&mut self.columns[..left], pads);
        fill(&mut self.columns[left..right], pixels);
        fill(&mut self.columns[right..count + AHEAD], pads);
        if d.channels < LANES {
            self.copy(d.channels, d.kernel, count + AHEAD);
        }
        true
    }

    /// Gives the first `count` columns places where [`LANES`] channels can be read.
    fn copy(&mut self, channels: usize, kernel: usize, count: usize) {
        for (column, few) in self.columns.iter_mut().zip(&mut self.few).take(count) {
            for (pixel, few) in column.iter_mut().zip(few).take(kernel) {
                // SAFETY: a pixel has all channels, which are fewer than LANES here.
                unsafe { core::ptr::copy_nonoverlapping(*pixel, few.as_mut_ptr(), channels) };
                *pixel = few.as_ptr();
            }
        }
    }
}

/// Pixels of the first `TAPS` kernel rows in columns next to each other.
fn fill<const TAPS: usize>(
    columns: &mut [[*const u8; MAX_SIDE]],
    pixels: [(*const u8, usize); MAX_SIDE],
) {
    let (mut at, mut steps) = ([core::ptr::null::<u8>(); TAPS], [0; TAPS]);
    for (i, (pixel, step)) in pixels.into_iter().enumerate().take(TAPS) {
        (at[i], steps[i]) = (pixel, step);
    }
    for column in columns {
        for ((place, at), step) in column.iter_mut().zip(&mut at).zip(steps) {
            *place = *at;
            *at = at.wrapping_add(step);
        }
    }
}

/// The rows from output row `first` on that `out` holds. `load` reads the weights of the [`LANES`] channels from the given
/// one on, and `panel` makes a strip's outputs in them: they exist in each of its pixels.
#[inline(always)]
pub(super) fn run<W: Copy>(
    d: &Depthwise,
    image: &[u8],
    first: usize,
    out: &mut [u8],
    empty: W,
    mut load: impl FnMut(usize, &mut W),
    mut panel: impl FnMut(&Strip, usize, &W, &End),
) {
    let mut weights = [empty; GROUP];
    let mut strip = Strip::new(d);
    // The last panel ends with the channels: some may be made twice.
    let last = d.channels.saturating_sub(LANES);
    for group in (0..d.channels).step_by(GROUP * LANES) {
        let panels = (d.channels - group).div_ceil(LANES).min(GROUP);
        for (i, weights) in weights.iter_mut().enumerate().take(panels) {
            load(last.min(group + i * LANES), weights);
        }
        for (y, out) in out.chunks_mut(d.width_out * d.stride_out).enumerate() {
            let end = d.end(out);
            let rows = d.rows(image, first + y);
            while strip.next(d, &rows[..d.kernel]) {
                for (i, weights) in weights.iter().enumerate().take(panels) {
                    let c = last.min(group + i * LANES);
                    // LANES channels from c exist in each pixel of the strip, which sees to it where there
                    // are fewer; sizes are as `Kernels::depthwise` checks them.
                    panel(&strip, c, weights, &end);
                }
            }
        }
    }
}
