//! 64-bit ARM with dot products, such as Cortex-A76: `sdot` adds four i8 x i8 products to an i32.
//!
//! What needs no integer dot product is [`neon`]'s. The instruction's intrinsic is not stable, so it
//! is written as assembly.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::neon::{self, QUARTER, QUARTERS, Tiles};
use super::{Gemm, Isa, Kernels, KeyUnits, LANES, Query};

pub(super) static KERNELS: Kernels = Kernels { isa: Isa::Dotprod, gemm, affinity, ..neon::KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("dotprod").then_some(&KERNELS)
}

#[target_feature(enable = "neon,dotprod")]
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    // SAFETY: the rows and panels exist, see `Gemm::checked`.
    unsafe { TILES.product(g, rows, panels, scratch) }
}

static TILES: Tiles = Tiles { rows: 6, step: 1, group: 4, taken: 128, arrange: None, sums };

/// See [`Tiles::sums`].
///
/// # Safety
/// There are so many packed rows and sums of them (6 at most), and groups of rows and weights.
#[target_feature(enable = "neon,dotprod")]
unsafe fn sums(rows: usize, groups: usize, a: *const u8, w: *const i8, sums: *mut [i32; LANES]) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            1 => few::<1>(groups, a, w, sums),
            2 => few::<2>(groups, a, w, sums),
            3 => few::<3>(groups, a, w, sums),
            4 => few::<4>(groups, a, w, sums),
            5 => few::<5>(groups, a, w, sums),
            _ => six(groups, a, w, sums),
        }
    }
}

/// [`sums`] of up to 5 rows.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn few<const R: usize>(
    groups: usize,
    mut a: *const u8,
    mut w: *const i8,
    sums: *mut [i32; LANES],
) {
    let mut acc = [[vdupq_n_s32(0); QUARTERS]; R];
    // SAFETY: the caller's promise.
    unsafe {
        for _ in 0..groups {
            let weights = vld1q_s8_x4(w);
            for acc in &mut acc {
                let four = vreinterpretq_s8_s32(vld1q_dup_s32(a.cast()));
                acc[0] = dot_four::<0>(acc[0], weights.0, four);
                acc[1] = dot_four::<0>(acc[1], weights.1, four);
                acc[2] = dot_four::<0>(acc[2], weights.2, four);
                acc[3] = dot_four::<0>(acc[3], weights.3, four);
                a = a.add(4);
            }
            w = w.add(4 * LANES);
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (j, acc) in acc.into_iter().enumerate() {
                vst1q_s32(sums.add(r).cast::<i32>().add(j * QUARTER), acc);
            }
        }
    }
}

/// A row's four inputs by four registers of weights, to its sums.
macro_rules! row {
    ($inputs:literal[$four:literal], $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "sdot v",
            $a,
            ".4s, v0.16b, v",
            $inputs,
            ".4b[",
            $four,
            "]\n",
            "sdot v",
            $b,
            ".4s, v1.16b, v",
            $inputs,
            ".4b[",
            $four,
            "]\n",
            "sdot v",
            $c,
            ".4s, v2.16b, v",
            $inputs,
            ".4b[",
            $four,
            "]\n",
            "sdot v",
            $d,
            ".4s, v3.16b, v",
            $inputs,
            ".4b[",
            $four,
            "]\n",
        )
    };
}

/// Six rows over a group that starts in the first lanes of register 4.
macro_rules! even_group {
    () => {
        concat!(
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64\n",
            row!(4[0], 8 9 10 11),
            row!(4[1], 12 13 14 15),
            row!(4[2], 16 17 18 19),
            row!(4[3], 20 21 22 23),
            row!(5[0], 24 25 26 27),
            row!(5[1], 28 29 30 31),
        )
    };
}

/// Six rows over the group that follows.
macro_rules! odd_group {
    () => {
        concat!(
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64\n",
            row!(5[2], 8 9 10 11),
            row!(5[3], 12 13 14 15),
            row!(6[0], 16 17 18 19),
            row!(6[1], 20 21 22 23),
            row!(6[2], 24 25 26 27),
            row!(6[3], 28 29 30 31),
        )
    };
}

/// Sums of rows that have registers of their own.
macro_rules! all_sums {
    ($each:ident) => {
        concat!(
            $each!(8 9 10 11), $each!(12 13 14 15), $each!(16 17 18 19),
            $each!(20 21 22 23), $each!(24 25 26 27), $each!(28 29 30 31),
        )
    };
}

macro_rules! clear {
    ($($sum:literal)*) => { concat!($("movi v", $sum, ".4s, #0\n",)*) };
}

macro_rules! store {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!("st1 {{v", $a, ".4s, v", $b, ".4s, v", $c, ".4s, v", $d, ".4s}}, [{sums}], #64\n")
    };
}

/// [`sums`] of 6 rows: 24 registers of sums, 4 of weights, 3 with the inputs of two groups.
///
/// # Safety
/// As there.
#[target_feature(enable = "neon,dotprod")]
unsafe fn six(groups: usize, a: *const u8, w: *const i8, sums: *mut [i32; LANES]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            all_sums!(clear),
            "cbz {fours}, 3f",
            "2:",
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{a}], #48",
            even_group!(),
            odd_group!(),
            "ld1 {{v4.16b, v5.16b, v6.16b}}, [{a}], #48",
            even_group!(),
            odd_group!(),
            "subs {fours}, {fours}, #1",
            "b.ne 2b",
            "3:",
            "cbz {rest}, 5f",
            "4:",
            "ldr d5, [{a}, #16]",
            "ldr q4, [{a}], #24",
            even_group!(),
            "subs {rest}, {rest}, #1",
            "b.ne 4b",
            "5:",
            all_sums!(store),
            a = inout(reg) a => _,
            w = inout(reg) w => _,
            sums = inout(reg) sums => _,
            fours = inout(reg) groups / 4 => _,
            rest = inout(reg) groups % 4 => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
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
