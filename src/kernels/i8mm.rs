//! 64-bit ARM with 8-bit matrix products: `usmmla` multiplies 2 x 8 u8 by 8 x 2 i8, so activations
//! need no offset. Everything but the matrix product is [`dotprod`]'s, which such processors have.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::neon::{F32x16, QUARTER, QUARTERS, ROWS_AT_ONCE};
use super::vector::finish;
use super::{Gemm, Isa, Kernels, LANES, dotprod};

static KERNELS: Kernels = Kernels { isa: Isa::I8mm, gemm, ..dotprod::KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = std::arch::is_aarch64_feature_detected!("i8mm") && dotprod::detect().is_some();
    has.then_some(&KERNELS)
}

/// Pairs of rows in the largest tile: 16 registers of sums.
const TILE_PAIRS: usize = 2;

type Sums = [[i32; LANES]; 2 * TILE_PAIRS];

#[target_feature(enable = "neon,i8mm")]
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    for start in rows.clone().step_by(ROWS_AT_ONCE) {
        let end = rows.end.min(start + ROWS_AT_ONCE);
        for p in panels.clone() {
            for r in (start..end).step_by(2 * TILE_PAIRS) {
                let mut sums = [[0; LANES]; 2 * TILE_PAIRS];
                let rows = (end - r).min(2 * TILE_PAIRS);
                // SAFETY: rows r..r + rows and panel p exist, see `Gemm::checked`.
                unsafe {
                    match rows {
                        1..=2 => tile::<1>(g, r, p, &mut sums),
                        _ => tile::<TILE_PAIRS>(g, r, p, &mut sums),
                    }
                    finish::<F32x16>(g, r, p, &sums[..rows], 0);
                }
            }
        }
    }
}

/// The integer sums of `PAIRS` pairs of rows from `r` and panel `p`; rows past the last one repeat it.
///
/// # Safety
/// Row `r` and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn tile<const PAIRS: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    // Register i of a pair holds channels 2i and 2i + 1 of its first row, then of its second.
    let mut acc = [[vdupq_n_s32(0); 2 * QUARTERS]; PAIRS];
    let row = |i: usize| (r + i).min(g.a.count - 1);
    let whole = g.w.k / 8 * 8;
    // SAFETY: `whole` inputs lie inside of each row; a panel has 64 weights for every four of them,
    // and for what is left of a last four.
    unsafe {
        let a = |i: usize, k: usize| g.a.codes.as_ptr().add(row(i) * g.a.stride + k);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for k in (0..whole).step_by(8) {
            let mut inputs = [vdupq_n_u8(0); PAIRS];
            for (i, input) in inputs.iter_mut().enumerate() {
                *input = vcombine_u8(vld1_u8(a(2 * i, k)), vld1_u8(a(2 * i + 1, k)));
            }
            multiply_add(&mut acc, inputs, weights, true);
            weights = weights.add(8 * LANES);
        }
        if whole < g.w.k {
            let mut inputs = [vdupq_n_u8(0); PAIRS];
            for (i, input) in inputs.iter_mut().enumerate() {
                let mut rest = [0; 16];
                for (j, rest) in rest.chunks_exact_mut(8).enumerate() {
                    let at = row(2 * i + j) * g.a.stride;
                    rest[..g.w.k - whole].copy_from_slice(&g.a.codes[at..][whole..g.w.k]);
                }
                *input = vld1q_u8(rest.as_ptr());
            }
            multiply_add(&mut acc, inputs, weights, g.w.k - whole > 4);
        }
        for (acc, sums) in acc.iter().zip(sums.chunks_exact_mut(2)) {
            for j in 0..QUARTERS {
                let [low, high] = [acc[2 * j], acc[2 * j + 1]].map(|v| vreinterpretq_s64_s32(v));
                let first = vreinterpretq_s32_s64(vzip1q_s64(low, high));
                let second = vreinterpretq_s32_s64(vzip2q_s64(low, high));
                vst1q_s32(sums[0].as_mut_ptr().add(j * QUARTER), first);
                vst1q_s32(sums[1].as_mut_ptr().add(j * QUARTER), second);
            }
        }
    }
}

/// Adds the products of eight inputs of pairs of rows and two groups of 64 weights; the second group
/// counts as zeros where it is not `both`.
///
/// # Safety
/// 64 weights, or 128 with `both`, can be read.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn multiply_add<const PAIRS: usize>(
    acc: &mut [[int32x4_t; 2 * QUARTERS]; PAIRS],
    inputs: [uint8x16_t; PAIRS],
    weights: *const i8,
    both: bool,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let (first, second) = unsafe {
            let at = weights.add(16 * j).cast::<i32>();
            (vld1q_s32(at), if both { vld1q_s32(at.add(16)) } else { vdupq_n_s32(0) })
        };
        let low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        let high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
        for (acc, a) in acc.iter_mut().zip(inputs) {
            acc[2 * j] = multiply(acc[2 * j], a, low);
            acc[2 * j + 1] = multiply(acc[2 * j + 1], a, high);
        }
    }
}

/// Adds the 2 x 2 products of two rows of eight u8 and two rows of eight i8.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn multiply(mut acc: int32x4_t, a: uint8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: callers have the instruction; it touches its three registers only.
    unsafe {
        asm!("usmmla {acc:v}.4s, {a:v}.16b, {w:v}.16b", acc = inout(vreg) acc,
            a = in(vreg) a, w = in(vreg) w, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}
