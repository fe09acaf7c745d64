//! Matrix products.

use core::arch::aarch64::*;
use core::ops::Range;

use super::{F32x16, QUARTER, QUARTERS, centred_four};
use crate::kernels::vector::finish;
use crate::kernels::{Gemm, LANES};

/// Rows of a tile: 16 registers of sums.
const TILE_ROWS: usize = 2;

/// Rows between two visits of a panel: their inputs stay in the cache while the panels pass by, and
/// the panels' offsets are worth computing.
pub(in crate::kernels) const ROWS_AT_ONCE: usize = 64;

#[target_feature(enable = "neon")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    for start in rows.clone().step_by(ROWS_AT_ONCE) {
        let end = rows.end.min(start + ROWS_AT_ONCE);
        for p in panels.clone() {
            // SAFETY: rows start..end and panel p exist, see `Gemm::checked`.
            unsafe {
                let mut r = start;
                while r < end {
                    let rows = TILE_ROWS.min(end - r);
                    let mut sums = [[0; LANES]; TILE_ROWS];
                    match rows {
                        TILE_ROWS => tile::<TILE_ROWS>(g, r, p, &mut sums),
                        _ => tile::<1>(g, r, p, &mut sums),
                    }
                    finish::<F32x16>(g, r, p, &sums[..rows], 128);
                    r += rows;
                }
            }
        }
    }
}

/// Register i of a row holds two sums each of channels 2i and 2i + 1.
type Partial = [int32x4_t; 2 * QUARTERS];

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut [[i32; LANES]; TILE_ROWS]) {
    let mut acc = [[vdupq_n_s32(0); 2 * QUARTERS]; R];
    let fours = g.w.k / 4;
    // SAFETY: `fours` groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..fours / 2 {
            let mut inputs = [[vdupq_n_s8(0); 2]; R];
            for (r, inputs) in inputs.iter_mut().enumerate() {
                let at = a.add(r * g.a.stride).cast::<i32>();
                inputs[0] = centred_four(at.read_unaligned());
                inputs[1] = centred_four(at.add(1).read_unaligned());
            }
            multiply_add_eight(&mut acc, inputs, weights);
            a = a.add(8);
            weights = weights.add(8 * LANES);
        }
        if fours % 2 == 1 {
            let mut inputs = [vdupq_n_s8(0); R];
            for (r, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
            }
            multiply_add_four(&mut acc, inputs, weights);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut inputs = [vdupq_n_s8(0); R];
            for (i, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(g.last_four(r + i));
            }
            multiply_add_four(&mut acc, inputs, weights);
        }
        for (acc, sums) in acc.into_iter().zip(sums) {
            for (j, dots) in fold(acc).into_iter().enumerate() {
                vst1q_s32(sums.as_mut_ptr().add(j * QUARTER), dots);
            }
        }
    }
}

/// Adds the products of eight inputs of `R` rows and two groups of 64 weights.
///
/// # Safety
/// 128 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn multiply_add_eight<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [[int8x16_t; 2]; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { [vld1q_s8(weights.add(16 * j)), vld1q_s8(weights.add(64 + 16 * j))] };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            let low = vmull_s8(vget_low_s8(w[0]), vget_low_s8(a[0]));
            let low = vmlal_s8(low, vget_low_s8(w[1]), vget_low_s8(a[1]));
            acc[2 * j] = vpadalq_s16(acc[2 * j], low);
            let high = vmlal_high_s8(vmull_high_s8(w[0], a[0]), w[1], a[1]);
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], high);
        }
    }
}

/// Adds the products of four inputs of `R` rows and 64 weights.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn multiply_add_four<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [int8x16_t; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { vld1q_s8(weights.add(16 * j)) };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            acc[2 * j] = vpadalq_s16(acc[2 * j], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], vmull_high_s8(w, a));
        }
    }
}

/// The sums of the panel's channels in their order.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn fold(acc: Partial) -> [int32x4_t; QUARTERS] {
    [
        vpaddq_s32(acc[0], acc[1]),
        vpaddq_s32(acc[2], acc[3]),
        vpaddq_s32(acc[4], acc[5]),
        vpaddq_s32(acc[6], acc[7]),
    ]
}
