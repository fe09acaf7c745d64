//! How the vector kernels walk over a row of a depthwise convolution.
//!
//! Outputs are made in strips. A strip first widens its input columns (with the padding filled in)
//! into a small buffer, each pixel once for all the kernel positions that it lies under; the sums
//! then run over the buffer and know nothing of image borders.

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
    pub(super) first: usize,
    /// Columns, at most [`COLUMNS`].
    pub(super) columns: usize,
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
        Strips { d, next: 0, most: (COLUMNS - d.kernel) / d.stride.max(1) + 1 }
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

/// The input rows under the kernel, from one channel on.
pub(super) struct Rows<'a> {
    d: &'a Depthwise<'a>,
    pad: *const u8,
    /// Where a row's first pixel lies and how far its pixels are apart: nothing in a row outside of
    /// the image, which is padding all along.
    rows: [(*const u8, usize); MAX_SIDE],
}

/// The pixels of one column.
pub(super) struct Column<'a> {
    rows: &'a Rows<'a>,
    x: Option<usize>,
}

impl<'a> Rows<'a> {
    /// # Safety
    /// Sizes are as [`super::Kernels::depthwise`] checks them, and channel `c` exists.
    #[inline]
    pub(super) unsafe fn new(d: &'a Depthwise, rows: &'a [&'a [u8]], c: usize) -> Self {
        // SAFETY: channel c of the padding and of a row's first pixel.
        unsafe {
            let pad = d.pad.as_ptr().add(c);
            let mut at = [(pad, 0); MAX_SIDE];
            for (at, row) in at.iter_mut().zip(rows) {
                if !row.is_empty() {
                    *at = (row.as_ptr().add(c), d.channels);
                }
            }
            Rows { d, pad, rows: at }
        }
    }

    /// The column at `from_pad`, counted from the left padding's start.
    #[inline]
    pub(super) fn column(&self, from_pad: usize) -> Column<'_> {
        let x = from_pad.checked_sub(self.d.pad_left).filter(|x| *x < self.d.width_in);
        Column { rows: self, x }
    }
}

impl Column<'_> {
    /// Where the pixel under kernel row `y` lies, from the channel on.
    #[inline]
    pub(super) fn row(&self, y: usize) -> *const u8 {
        match self.x {
            Some(x) => {
                let (base, step) = self.rows.rows[y];
                base.wrapping_add(x * step)
            }
            None => self.rows.pad,
        }
    }
}
