//! Depthwise convolutions.

use core::arch::aarch64::*;

use super::{Units, round_codes, store};
use crate::kernels::strip::{COLUMNS, Rows, Strips};
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

/// Channels that a depthwise convolution takes at once.
const EIGHT: usize = 8;

#[target_feature(enable = "neon")]
pub(super) fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let mut columns = [[vdupq_n_s16(0); MAX_SIDE]; COLUMNS];
    for c in (0..d.channels).step_by(EIGHT) {
        // SAFETY: channel c exists.
        unsafe {
            match d.kernel {
                3 => depthwise_block::<3>(d, rows, c, &mut columns, out),
                5 => depthwise_block::<5>(d, rows, c, &mut columns, out),
                _ => depthwise_block::<MAX_SIDE>(d, rows, c, &mut columns, out),
            }
        }
    }
}

/// Up to [`EIGHT`] channels from `c` of one output row. `SIDE` is the kernel's, or [`MAX_SIDE`], which
/// takes any.
///
/// # Safety
/// Channel `c` exists.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn depthwise_block<const SIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    c: usize,
    columns: &mut [[int16x8_t; MAX_SIDE]; COLUMNS],
    out: &mut [u8],
) {
    let side = if SIDE < MAX_SIDE { SIDE } else { d.kernel };
    let count = (d.channels - c).min(EIGHT);
    let padded = d.channels.next_multiple_of(LANES);
    let mut weights = [[vdupq_n_s16(0); MAX_SIDE]; MAX_SIDE];
    // SAFETY: `Rows` gives pixels of which the `count` channels from c are read; the weights are
    // padded to whole panels.
    unsafe {
        for (x, weights) in weights.iter_mut().enumerate().take(side) {
            for (y, weights) in weights.iter_mut().enumerate().take(side) {
                let tap = y * side + x;
                let pair = vld2q_s16(d.weights.as_ptr().add((tap / 2 * padded + c) * 2));
                *weights = if tap % 2 == 0 { pair.0 } else { pair.1 };
            }
        }
        let units = Units::<2>::load(&d.requant, c);
        let source = Rows::<SIDE>::new(d, rows, c);
        for strip in Strips::new(d) {
            for (range, mut pixels) in source.runs(&strip) {
                for columns in &mut columns[range] {
                    for (y, column) in columns.iter_mut().enumerate().take(side) {
                        *column = load_eight(pixels.at[y], count);
                    }
                    pixels.advance(1);
                }
            }
            for i in 0..strip.outputs {
                let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
                for (x, weights) in weights.iter().enumerate().take(side) {
                    let column = &columns[i * d.stride + x];
                    for (column, weights) in column.iter().zip(weights).take(side) {
                        low = vmlal_s16(low, vget_low_s16(*column), vget_low_s16(*weights));
                        high = vmlal_high_s16(high, *column, *weights);
                    }
                }
                let low = units.clamped(units.scaled(0, low));
                let high = units.clamped(units.scaled(1, high));
                let mut codes = [0; EIGHT];
                vst1_u8(codes.as_mut_ptr(), round_codes(low, high));
                store(&codes, &mut out[(strip.output + i) * d.channels + c..][..count]);
            }
        }
    }
}

/// Up to [`EIGHT`] u8 as i16.
///
/// # Safety
/// `count` codes can be read, at most [`EIGHT`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_eight(at: *const u8, count: usize) -> int16x8_t {
    // SAFETY: the caller's promise.
    let codes = unsafe {
        if count == EIGHT {
            vld1_u8(at)
        } else {
            let mut codes = [0; EIGHT];
            core::ptr::copy_nonoverlapping(at, codes.as_mut_ptr(), count);
            vld1_u8(codes.as_ptr())
        }
    };
    vreinterpretq_s16_u16(vmovl_u8(codes))
}
