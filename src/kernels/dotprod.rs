//! 64-bit ARM with dot products, such as Cortex-A76: `sdot` adds four i8 x i8 products to an i32.
//!
//! What needs no integer dot product is [`neon`]'s. The instruction's intrinsic is not stable, so it
//! is written as assembly.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::neon::{self, F32x16, QUARTER, QUARTERS, ROWS_AT_ONCE, centred_four};
use super::vector::finish;
use super::{Gemm, Isa, Kernels, KeyUnits, LANES, Query};

pub(super) static KERNELS: Kernels = Kernels { isa: Isa::Dotprod, gemm, affinity, ..neon::KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("dotprod").then_some(&KERNELS)
}

/// Rows of the largest tile: 16 registers of sums.
const TILE_ROWS: usize = 4;

#[target_feature(enable = "neon,dotprod")]
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    for start in rows.clone().step_by(ROWS_AT_ONCE) {
        let end = rows.end.min(start + ROWS_AT_ONCE);
        for p in panels.clone() {
            // SAFETY: rows start..end and panel p exist, see `Gemm::checked`.
            unsafe {
                let mut r = start;
                while r < end {
                    let mut sums = [[0; LANES]; TILE_ROWS];
                    let rows = if end - r < TILE_ROWS { 1 } else { TILE_ROWS };
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

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut [[i32; LANES]; TILE_ROWS]) {
    let mut acc = [[vdupq_n_s32(0); QUARTERS]; R];
    let fours = g.w.k / 4;
    // SAFETY: `fours` groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..fours / 4 {
            let mut inputs = [vdupq_n_s8(0); R];
            for (r, input) in inputs.iter_mut().enumerate() {
                let codes = vld1q_s8(a.add(r * g.a.stride).cast());
                *input = veorq_s8(codes, vdupq_n_s8(i8::MIN));
            }
            multiply_add::<0, R>(&mut acc, inputs, weights);
            multiply_add::<1, R>(&mut acc, inputs, weights.add(4 * LANES));
            multiply_add::<2, R>(&mut acc, inputs, weights.add(8 * LANES));
            multiply_add::<3, R>(&mut acc, inputs, weights.add(12 * LANES));
            a = a.add(16);
            weights = weights.add(16 * LANES);
        }
        for _ in 0..fours % 4 {
            let mut inputs = [vdupq_n_s8(0); R];
            for (r, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
            }
            multiply_add::<0, R>(&mut acc, inputs, weights);
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut inputs = [vdupq_n_s8(0); R];
            for (i, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(g.last_four(r + i));
            }
            multiply_add::<0, R>(&mut acc, inputs, weights);
        }
        for (acc, sums) in acc.into_iter().zip(sums) {
            for (j, acc) in acc.into_iter().enumerate() {
                vst1q_s32(sums.as_mut_ptr().add(j * QUARTER), acc);
            }
        }
    }
}

/// Adds the products of group `FOUR` of `R` rows' 16 inputs and 64 weights.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply_add<const FOUR: i32, const R: usize>(
    acc: &mut [[int32x4_t; QUARTERS]; R],
    inputs: [int8x16_t; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { vld1q_s8(weights.add(16 * j)) };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            acc[j] = dot_four::<FOUR>(acc[j], w, a);
        }
    }
}

/// Adds to each lane the dot product of its four bytes of `w` and the bytes of group `FOUR` of `a`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_four<const FOUR: i32>(mut acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
    // SAFETY: callers have the instruction; it touches its three registers only.
    unsafe {
        asm!("sdot {acc:v}.4s, {w:v}.16b, {a:v}.4b[{four}]", acc = inout(vreg) acc,
            w = in(vreg) w, a = in(vreg) a, four = const FOUR,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

#[target_feature(enable = "neon,dotprod")]
fn affinity(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // Even and odd groups of four codes have sums of their own, so that the chains overlap.
    let mut acc = [[[vdupq_n_s32(0); QUARTERS]; 1]; 2];
    let mut codes = q.codes.chunks_exact(16);
    let mut keys = panel.as_ptr();
    // SAFETY: 64 key bytes for every four codes.
    unsafe {
        for codes in &mut codes {
            let codes = [vld1q_s8(codes.as_ptr())];
            multiply_add::<0, 1>(&mut acc[0], codes, keys);
            multiply_add::<1, 1>(&mut acc[1], codes, keys.add(4 * LANES));
            multiply_add::<2, 1>(&mut acc[0], codes, keys.add(8 * LANES));
            multiply_add::<3, 1>(&mut acc[1], codes, keys.add(12 * LANES));
            keys = keys.add(16 * LANES);
        }
        for four in codes.remainder().chunks_exact(4) {
            let four = vdupq_n_s32(four.as_ptr().cast::<i32>().read_unaligned());
            multiply_add::<0, 1>(&mut acc[0], [vreinterpretq_s8_s32(four)], keys);
            keys = keys.add(4 * LANES);
        }
    }
    let [[even], [odd]] = acc;
    let mut dots = even;
    for (dot, odd) in dots.iter_mut().zip(odd) {
        *dot = vaddq_s32(*dot, odd);
    }
    neon::finish_affinity(dots, q, units, cos, aff);
}
