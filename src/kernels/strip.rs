//! How the vector kernels walk over a row of a depthwise convolution.
//!
//! Outputs are made in strips. A strip first widens its input columns (with the padding filled in)
//! into a small buffer, each pixel once for all the kernel positions that it lies under; the sums
//! then run over the buffer and know nothing of image borders.

use core::ops::Range;

use super::{Depthwise, MAX_SIDE};

/// Columns of a strip's buffer.
pub(super) const COLUMNS: usize = 40;

/// A run of outputs and the columns under them.
pub(super) struct Strip {
    /// First output.
    pub(super) output: usize,
    /// Outputs.
    pub(super) outputs: usize,
    /// First column, counted from the left padding's start.
    first: usize,
    /// Columns, at most [`COLUMNS`].
    columns: usize,
}

/// The strips of an output row, left to right.
pub(super) struct Strips<'a> {
    d: &'a Depthwise<'a>,
    next: usize,
    most: usize,
}

impl<'a> Strips<'a> {
    pub(super) fn new(d: &'a Depthwise) -> Self {
        const { assert!(MAX_SIDE <= COLUMNS) };
        Strips { d, next: 0, most: (COLUMNS - d.kernel) / d.stride + 1 }
    }
}

impl Iterator for Strips<'_> {
    type Item = Strip;

    #[inline]
    fn next(&mut self) -> Option<Strip> {
        let output = self.next;
        let outputs = (self.d.width_out - output).min(self.most);
        self.next += outputs;
        (outputs > 0).then(|| Strip {
            output,
            outputs,
            first: output * self.d.stride,
            columns: (outputs - 1) * self.d.stride + self.d.kernel,
        })
    }
}

/// The input rows under a kernel of side `MAX` or less, from one channel on.
pub(super) struct Rows<'a, const MAX: usize> {
    d: &'a Depthwise<'a>,
    padding: Run<MAX>,
    pixels: Run<MAX>,
}

/// For each row, where a column's pixel lies and how far off the next column's is: nothing in a row
/// outside of the image, which is padding all along.
#[derive(Clone, Copy)]
pub(super) struct Run<const MAX: usize> {
    pub(super) at: [*const u8; MAX],
    step: [usize; MAX],
}

impl<const MAX: usize> Run<MAX> {
    /// Goes on by `columns`.
    #[inline(always)]
    pub(super) fn advance(&mut self, columns: usize) {
        for (at, step) in self.at.iter_mut().zip(self.step) {
            *at = at.wrapping_add(columns * step);
        }
    }
}

impl<'a, const MAX: usize> Rows<'a, MAX> {
    /// # Safety
    /// Sizes are as [`super::Kernels::depthwise`] checks them, and channel `c` exists.
    #[inline]
    pub(super) unsafe fn new(d: &'a Depthwise, rows: &'a [&'a [u8]], c: usize) -> Self {
        // SAFETY: channel c of the padding and of a row's first pixel.
        unsafe {
            let padding = Run { at: [d.pad.as_ptr().add(c); MAX], step: [0; MAX] };
            let mut pixels = padding;
            for (i, row) in rows.iter().enumerate() {
                if !row.is_empty() {
                    pixels.at[i] = row.as_ptr().add(c);
                    pixels.step[i] = d.channels;
                }
            }
            Rows { d, padding, pixels }
        }
    }

    /// The strip's columns: left padding, pixels, right padding.
    #[inline]
    pub(super) fn runs(&self, strip: &Strip) -> [(Range<usize>, Run<MAX>); 3] {
        let end = strip.first + strip.columns;
        let left = self.d.pad_left.clamp(strip.first, end);
        let right = (self.d.pad_left + self.d.width_in).clamp(left, end);
        let mut pixels = self.pixels;
        pixels.advance(left.saturating_sub(self.d.pad_left));
        [
            (0..left - strip.first, self.padding),
            (left - strip.first..right - strip.first, pixels),
            (right - strip.first..strip.columns, self.padding),
        ]
    }
}
