//! Depthwise convolutions.

use core::arch::aarch64::*;

use super::{QUARTER, QUARTERS, finish};
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

/// Outputs that share what is loaded: their sums fill 16 registers.
const OUTPUTS: usize = 4;
/// Columns under them at most, with the widest kernel and a stride of 2.
const COLUMNS: usize = 2 * (OUTPUTS - 1) + MAX_SIDE;

/// For each row and column under a block of outputs, the pixel that lies there (or the padding).
type Pixels = [[*const u8; COLUMNS]; MAX_SIDE];

#[target_feature(enable = "neon")]
pub(super) fn depthwise(d: &Depthwise, image: &[u8], first: usize, out: &mut [u8]) {
    for (y, out) in out.chunks_mut(d.width_out * d.stride_out).enumerate() {
        row(d, &d.rows(image, first + y)[..d.kernel], out);
    }
}

#[target_feature(enable = "neon")]
fn row(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    // SAFETY: sizes are as `Kernels::depthwise` checks them.
    unsafe {
        match (d.kernel, d.stride) {
            (3, 1) => by_fours::<3, 1>(d, rows, out),
            (3, 2) => by_fours::<3, 2>(d, rows, out),
            (5, 1) => by_fours::<5, 1>(d, rows, out),
            (5, 2) => by_fours::<5, 2>(d, rows, out),
            (7, 1) => by_fours::<7, 1>(d, rows, out),
            (7, 2) => by_fours::<7, 2>(d, rows, out),
            _ => (0..d.width_out).for_each(|x| block::<0, 1, 1>(d, rows, x, out)),
        }
    }
}

/// # Safety
/// Sizes are as [`crate::kernels::Kernels::depthwise`] checks them; `SIDE` and `STRIDE` are those of
/// `d`.
#[target_feature(enable = "neon")]
unsafe fn by_fours<const SIDE: usize, const STRIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    out: &mut [u8],
) {
    let Some(last) = d.width_out.checked_sub(OUTPUTS) else {
        // SAFETY: the caller's promise.
        return (0..d.width_out).for_each(|x| unsafe { block::<SIDE, 1, 1>(d, rows, x, out) });
    };
    // The last block begins where it ends with the row: some outputs may be made twice.
    for x in (0..d.width_out).step_by(OUTPUTS) {
        // SAFETY: the caller's promise.
        unsafe { block::<SIDE, STRIDE, OUTPUTS>(d, rows, x.min(last), out) };
    }
}

/// All channels of the outputs from `x` on. `SIDE` is the kernel's, or 0, which takes any.
///
/// # Safety
/// The `OUT` outputs exist; sizes are as [`crate::kernels::Kernels::depthwise`] checks them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn block<const SIDE: usize, const STRIDE: usize, const OUT: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    x: usize,
    out: &mut [u8],
) {
    let side = if SIDE == 0 { d.kernel } else { SIDE };
    let columns = (OUT - 1) * STRIDE + side;
    let mut pixels: Pixels = [[d.pad.as_ptr(); COLUMNS]; MAX_SIDE];
    for (row, pixels) in rows.iter().zip(&mut pixels).filter(|(row, _)| !row.is_empty()) {
        for (i, pixel) in pixels.iter_mut().enumerate().take(columns) {
            let column = (x * d.stride + i).wrapping_sub(d.pad_left);
            if column < d.width_in {
                *pixel = row[column * d.channels..].as_ptr();
            }
        }
    }
    let whole = d.channels / LANES * LANES;
    // SAFETY: each pixel and the padding have all channels; the last of them are copied to where
    // LANES can be read.
    unsafe {
        for c in (0..whole).step_by(LANES) {
            channels::<SIDE, STRIDE, OUT>(d, &pixels, c, c, x, out);
        }
        if whole < d.channels {
            let mut copies = [[[0u8; LANES]; COLUMNS]; MAX_SIDE];
            for (pixels, copies) in pixels.iter_mut().zip(&mut copies).take(side) {
                for (pixel, copy) in pixels.iter_mut().zip(copies).take(columns) {
                    let (from, count) = (pixel.add(whole), d.channels - whole);
                    core::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), count);
                    *pixel = copy.as_ptr();
                }
            }
            channels::<SIDE, STRIDE, OUT>(d, &pixels, 0, whole, x, out);
        }
    }
}

/// Up to [`LANES`] channels from `c` of the outputs from `x` on; they lie `offset` into each pixel.
///
/// # Safety
/// The channels and outputs exist; LANES codes can be read from `offset` of each pixel on.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn channels<const SIDE: usize, const STRIDE: usize, const OUT: usize>(
    d: &Depthwise,
    pixels: &Pixels,
    offset: usize,
    c: usize,
    x: usize,
    out: &mut [u8],
) {
    let side = if SIDE == 0 { d.kernel } else { SIDE };
    let padded = d.channels.next_multiple_of(LANES);
    let mut sums = [[vdupq_n_s32(0); QUARTERS]; OUT];
    // SAFETY: the caller's promise; weights and units are padded to whole panels.
    unsafe {
        for (y, pixels) in pixels.iter().enumerate().take(side) {
            let mut weights = [[vdupq_n_s16(0); 2]; MAX_SIDE];
            for (i, weights) in weights.iter_mut().enumerate().take(side) {
                let tap = y * side + i;
                for (half, weights) in weights.iter_mut().enumerate() {
                    let at = (tap / 2 * padded + c + half * LANES / 2) * 2;
                    let pair = vld2q_s16(d.weights.as_ptr().add(at));
                    *weights = if tap.is_multiple_of(2) { pair.0 } else { pair.1 };
                }
            }
            // Each column is loaded once for all outputs above it.
            for column in 0..(OUT - 1) * STRIDE + side {
                let codes = vld1q_u8(pixels[column].add(offset));
                let low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes)));
                let high = vreinterpretq_s16_u16(vmovl_high_u8(codes));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let tap = column.wrapping_sub(i * STRIDE);
                    if tap < side {
                        let w = weights[tap];
                        sums[0] = vmlal_s16(sums[0], vget_low_s16(low), vget_low_s16(w[0]));
                        sums[1] = vmlal_high_s16(sums[1], low, w[0]);
                        sums[2] = vmlal_s16(sums[2], vget_low_s16(high), vget_low_s16(w[1]));
                        sums[3] = vmlal_high_s16(sums[3], high, w[1]);
                    }
                }
            }
        }
        let mut stored = [[0; LANES]; OUT];
        for (stored, sums) in stored.iter_mut().zip(sums) {
            for (stored, sum) in stored.chunks_exact_mut(QUARTER).zip(sums) {
                vst1q_s32(stored.as_mut_ptr(), sum);
            }
        }
        finish(&d.end(out), x, c, &stored, 0);
    }
}
