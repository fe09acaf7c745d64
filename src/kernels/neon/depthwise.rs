//! Depthwise convolutions.

use core::arch::aarch64::*;

use super::finish;
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

/// Channels whose sums are made together.
const HALF: usize = LANES / 2;
/// Outputs whose sums are made together at most, from columns that are loaded once.
const OUTPUTS: usize = 8;
/// Columns under them at most, with the widest kernel and a stride of 2.
const COLUMNS: usize = 2 * (OUTPUTS - 1) + MAX_SIDE;

/// For each row and column under a block of outputs, the pixel that lies there (or the padding).
type Pixels = [[*const u8; COLUMNS]; MAX_SIDE];

#[target_feature(enable = "neon")]
pub(in crate::kernels) fn depthwise(d: &Depthwise, image: &[u8], first: usize, out: &mut [u8]) {
    let mut pixels = [[d.pad.as_ptr(); COLUMNS]; MAX_SIDE];
    for (y, out) in out.chunks_mut(d.width_out * d.stride_out).enumerate() {
        row(d, &d.rows(image, first + y)[..d.kernel], &mut pixels, out);
    }
}

#[target_feature(enable = "neon")]
fn row(d: &Depthwise, rows: &[&[u8]], pixels: &mut Pixels, out: &mut [u8]) {
    // SAFETY: sizes are as `Kernels::depthwise` checks them.
    unsafe {
        match (d.kernel, d.stride) {
            (3, 1) => blocks::<3, 1>(d, rows, pixels, out),
            (3, 2) => blocks::<3, 2>(d, rows, pixels, out),
            (5, 1) => blocks::<5, 1>(d, rows, pixels, out),
            (5, 2) => blocks::<5, 2>(d, rows, pixels, out),
            (7, 1) => blocks::<7, 1>(d, rows, pixels, out),
            (7, 2) => blocks::<7, 2>(d, rows, pixels, out),
            _ => (0..d.width_out).for_each(|x| block::<0, 1, 1>(d, rows, x, pixels, out)),
        }
    }
}

/// Sides of images are multiples of 8 or (where it all began with 224) of 7.
///
/// # Safety
/// Sizes are as [`crate::kernels::Kernels::depthwise`] checks them; `SIDE` and `STRIDE` are those of
/// `d`.
#[target_feature(enable = "neon")]
unsafe fn blocks<const SIDE: usize, const STRIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    pixels: &mut Pixels,
    out: &mut [u8],
) {
    let width = d.width_out;
    let outputs = if width.is_multiple_of(8) { 8 } else { 7 };
    // The last block ends with the row, even where it covers a part of the one before.
    let last = width.saturating_sub(outputs);
    for x in (0..width).step_by(if width < outputs { 1 } else { outputs }) {
        // SAFETY: the caller's promise.
        unsafe {
            match outputs {
                _ if width < outputs => block::<0, 1, 1>(d, rows, x, pixels, out),
                8 => block::<SIDE, STRIDE, 8>(d, rows, x, pixels, out),
                _ => block::<SIDE, STRIDE, 7>(d, rows, x.min(last), pixels, out),
            }
        }
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
    pixels: &mut Pixels,
    out: &mut [u8],
) {
    let side = if SIDE == 0 { d.kernel } else { SIDE };
    let columns = (OUT - 1) * STRIDE + side;
    for (row, pixels) in rows.iter().zip(&mut *pixels) {
        let first = (x * d.stride).wrapping_sub(d.pad_left);
        for (i, pixel) in pixels.iter_mut().enumerate().take(columns) {
            let column = first.wrapping_add(i);
            let inside = column < d.width_in && !row.is_empty();
            let at = row.as_ptr().wrapping_add(column.wrapping_mul(d.channels));
            *pixel = if inside { at } else { d.pad.as_ptr() };
        }
    }
    let end = d.end(out);
    let whole = d.channels / HALF * HALF;
    let mut sums = [[0; LANES]; OUT];
    // SAFETY: each pixel and the padding have all channels; the last of them are copied to where
    // HALF can be read.
    unsafe {
        for c in (0..whole).step_by(HALF) {
            let half = sums.as_mut_ptr().cast::<i32>().add(c % LANES);
            channels::<SIDE, STRIDE, OUT>(d, pixels, c, c, half);
            if c % LANES == HALF {
                finish(&end, x, c - HALF, &sums);
            }
        }
        if whole < d.channels {
            let mut copies = [[[0u8; HALF]; COLUMNS]; MAX_SIDE];
            for (pixels, copies) in pixels.iter_mut().zip(&mut copies).take(side) {
                for (pixel, copy) in pixels.iter_mut().zip(copies).take(columns) {
                    let (from, count) = (pixel.add(whole), d.channels - whole);
                    core::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), count);
                    *pixel = copy.as_ptr();
                }
            }
            let half = sums.as_mut_ptr().cast::<i32>().add(whole % LANES);
            channels::<SIDE, STRIDE, OUT>(d, pixels, 0, whole, half);
        }
        if d.channels % LANES != 0 {
            finish(&end, x, d.channels / LANES * LANES, &sums);
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

/// The sums of [`HALF`] channels from `c` of a block, which lie `offset` into each pixel; those of an
/// output go every [`LANES`] values.
///
/// # Safety
/// Weights exist for the channels, HALF codes can be read from `offset` of each pixel on, and the sums
/// can be written.
#[target_feature(enable = "neon")]
unsafe fn channels<const SIDE: usize, const STRIDE: usize, const OUT: usize>(
    d: &Depthwise,
    pixels: &Pixels,
    offset: usize,
    c: usize,
    to: *mut i32,
) {
    let mut sums = [[vdupq_n_s32(0); 2]; OUT];
    let padded = d.channels.next_multiple_of(LANES);
    // SAFETY: the caller's promise.
    unsafe {
        let weights = d.weights.as_ptr().add(2 * c);
        if SIDE == 0 {
            for (y, pixels) in pixels.iter().enumerate().take(d.kernel) {
                for (i, pixel) in pixels.iter().enumerate().take(d.kernel) {
                    let w = load_weights(weights, padded, y * d.kernel + i);
                    multiply_add(&mut sums[0], load(pixel.add(offset)), w);
                }
            }
        } else {
            unrolled!(Y in 0 1 2 3 4 5 6 => {
                unrolled!(COLUMN in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 => {
                    if Y < SIDE && COLUMN < (OUT - 1) * STRIDE + SIDE {
                        let codes = load(pixels[Y][COLUMN].add(offset));
                        unrolled!(I in 0 1 2 3 4 5 6 7 => {
                            if I < OUT && COLUMN >= I * STRIDE && COLUMN - I * STRIDE < SIDE {
                                let tap = Y * SIDE + COLUMN - I * STRIDE;
                                let w = load_weights(weights, padded, tap);
                                multiply_add(&mut sums[I], codes, w);
                            }
                        });
                    }
                });
            });
        }
        for (i, [low, high]) in sums.into_iter().enumerate() {
            vst1q_s32(to.add(i * LANES), low);
            vst1q_s32(to.add(i * LANES + HALF / 2), high);
        }
    }
}

/// The weights of a tap.
///
/// # Safety
/// It exists.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_weights(weights: *const i16, padded: usize, tap: usize) -> int16x8_t {
    // SAFETY: the caller's promise.
    let pair = unsafe { vld2q_s16(weights.add(tap / 2 * padded * 2)) };
    if tap.is_multiple_of(2) { pair.0 } else { pair.1 }
}

/// [`HALF`] codes as i16.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(codes: *const u8) -> int16x8_t {
    // SAFETY: the caller's promise.
    vreinterpretq_s16_u16(vmovl_u8(unsafe { vld1_u8(codes) }))
}

#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(sums: &mut [int32x4_t; 2], codes: int16x8_t, weights: int16x8_t) {
    sums[0] = vmlal_s16(sums[0], vget_low_s16(codes), vget_low_s16(weights));
    sums[1] = vmlal_high_s16(sums[1], codes, weights);
}
