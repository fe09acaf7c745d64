//! How depthwise convolutions walk over a row.
//!
//! Outputs are made in strips. For each column and kernel row under a strip it is looked up once where
//! the pixel lies (or the padding); the sums then know nothing of image borders.

use super::{Depthwise, LANES, MAX_SIDE};

/// Outputs of a strip at most.
pub(super) const OUTPUTS: usize = 32;
/// Columns under them at most.
const COLUMNS: usize = 2 * (OUTPUTS - 1) + MAX_SIDE;

/// A run of outputs and the pixels under them.
pub(super) struct Strip {
    /// First output.
    pub(super) output: usize,
    /// Outputs.
    pub(super) outputs: usize,
    /// Columns from one output to the next.
    pub(super) stride: usize,
    /// The first channel of each column's pixels, in the order of the kernel's rows.
    pub(super) columns: [[*const u8; MAX_SIDE]; COLUMNS],
    /// Pixels with fewer channels than [`LANES`], copied to where so many can be read.
    few: [[[u8; LANES]; MAX_SIDE]; COLUMNS],
}

impl Strip {
    pub(super) fn new(d: &Depthwise) -> Self {
        Strip {
            output: 0,
            outputs: 0,
            stride: d.stride,
            columns: [[d.pad.as_ptr(); MAX_SIDE]; COLUMNS],
            few: [[[0; LANES]; MAX_SIDE]; COLUMNS],
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
        for (tap, row) in rows.iter().enumerate() {
            let inside = if row.is_empty() { 0..0 } else { left..right };
            for column in &mut self.columns[..inside.start] {
                column[tap] = d.pad.as_ptr();
            }
            for column in &mut self.columns[inside.end..count] {
                column[tap] = d.pad.as_ptr();
            }
            let mut pixel = row
                .as_ptr()
                .wrapping_add((first + inside.start).saturating_sub(d.pad_left) * d.channels);
            for column in &mut self.columns[inside] {
                column[tap] = pixel;
                pixel = pixel.wrapping_add(d.channels);
            }
        }
        if d.channels < LANES {
            self.copy(d.channels, d.kernel, count);
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
