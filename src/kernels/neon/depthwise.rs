//! Depthwise convolutions.

use core::arch::aarch64::*;

use super::{QUARTERS, finish};
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

/// Repeats a block with a number that the compiler knows in each: loops that it does not unroll keep
/// their sums in memory.
macro_rules! unrolled {
    ($i:ident in $($n:literal)* => $body:block) => {
        $({
            const $i: usize = $n;
            $body
        })*
    };
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
    let mut sums = [[vdupq_n_s32(0); QUARTERS]; OUT];
    let weights = Weights { d, c };
    // SAFETY: the caller's promise; weights and units are padded to whole panels.
    unsafe {
        if SIDE == 0 {
            for (y, pixels) in pixels.iter().enumerate().take(side) {
                for (i, pixel) in pixels.iter().enumerate().take(side) {
                    let codes = load(pixel.add(offset));
                    multiply_add(&mut sums[0], codes, weights.load(y * side + i));
                }
            }
        } else {
            // Each column is loaded once for all outputs above it.
            unrolled!(Y in 0 1 2 3 4 5 6 => {
                unrolled!(COLUMN in 0 1 2 3 4 5 6 7 8 9 10 11 12 => {
                    if Y < SIDE && COLUMN < (OUT - 1) * STRIDE + SIDE {
                        let codes = load(pixels[Y][COLUMN].add(offset));
                        unrolled!(I in 0 1 2 3 => {
                            if I < OUT && COLUMN >= I * STRIDE && COLUMN - I * STRIDE < SIDE {
                                let weights = weights.load(Y * SIDE + COLUMN - I * STRIDE);
                                multiply_add(&mut sums[I], codes, weights);
                            }
                        });
                    }
                });
            });
        }
        let mut stored = [[0; LANES]; OUT];
        for (stored, [s, t, u, v]) in stored.iter_mut().zip(sums) {
            vst1q_s32_x4(stored.as_mut_ptr(), int32x4x4_t(s, t, u, v));
        }
        finish(&d.end(out), x, c, &stored, 0);
    }
}

/// The weights of [`LANES`] channels from `c` on.
#[derive(Clone, Copy)]
struct Weights<'a> {
    d: &'a Depthwise<'a>,
    c: usize,
}

impl Weights<'_> {
    /// # Safety
    /// The tap and the channels exist.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(self, tap: usize) -> int16x8x2_t {
        let padded = self.d.channels.next_multiple_of(LANES);
        // SAFETY: the caller's promise; channels are padded to whole panels.
        unsafe {
            let at = self.d.weights.as_ptr().add((tap / 2 * padded + self.c) * 2);
            let (low, high) = (vld2q_s16(at), vld2q_s16(at.add(LANES)));
            if tap.is_multiple_of(2) {
                int16x8x2_t(low.0, high.0)
            } else {
                int16x8x2_t(low.1, high.1)
            }
        }
    }
}

/// [`LANES`] codes as i16.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(codes: *const u8) -> int16x8x2_t {
    // SAFETY: the caller's promise.
    let codes = unsafe { vld1q_u8(codes) };
    let (low, high) = (vmovl_u8(vget_low_u8(codes)), vmovl_high_u8(codes));
    int16x8x2_t(vreinterpretq_s16_u16(low), vreinterpretq_s16_u16(high))
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(sums: &mut [int32x4_t; QUARTERS], codes: int16x8x2_t, weights: int16x8x2_t) {
    sums[0] = vmlal_s16(sums[0], vget_low_s16(codes.0), vget_low_s16(weights.0));
    sums[1] = vmlal_high_s16(sums[1], codes.0, weights.0);
    sums[2] = vmlal_s16(sums[2], vget_low_s16(codes.1), vget_low_s16(weights.1));
    sums[3] = vmlal_high_s16(sums[3], codes.1, weights.1);
}
