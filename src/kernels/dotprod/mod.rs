//! 64-bit ARM with dot products, such as Cortex-A76: `sdot` adds four i8 x i8 products to an i32.
//!
//! What needs no integer dot product is [`neon`]'s. The instruction's intrinsic is not stable, so it
//! is written as assembly.

pub(super) mod depthwise;

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use crate::kernels::neon::{self, QUARTERS, Tile, Tiles, results};
use crate::kernels::{Gemm, Isa, Kernels, KeyUnits, LANES, Query};

pub(super) static KERNELS: Kernels =
    Kernels { isa: Isa::Dotprod, gemm, depthwise, affinity, ..neon::KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("dotprod").then_some(&KERNELS)
}

depthwise::stamp!("neon,dotprod", "sdot", 0x80);

#[target_feature(enable = "neon,dotprod")]
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    // SAFETY: the rows and panels exist, see `Gemm::checked`.
    unsafe { TILES.product(g, rows, panels, scratch) }
}

static TILES: Tiles = Tiles { rows: &[6, 4, 2, 1], taken: 128, arrange: None, sums };

/// A row's four inputs, a lane of a register, by four registers of weights, to its sums.
macro_rules! row {
    ($inputs:literal[$four:literal]: $a:literal $b:literal $c:literal $d:literal) => {
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

/// The rows of a tile over a group of inputs.
macro_rules! group {
    ($($inputs:literal[$four:literal]: $sums:tt)*) => {
        concat!(
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64\n",
            $(group!(row $inputs $four $sums),)*
        )
    };
    (row $inputs:literal $four:literal ($a:literal $b:literal $c:literal $d:literal)) => {
        row!($inputs[$four]: $a $b $c $d)
    };
}

/// The sums of tiles whose rows have four registers each. `$load` loads eight inputs of all rows, and `$even` and `$odd`
/// are the lanes of the first and of the last four of them.
macro_rules! tile {
    (
        $tile:ident; $([$s0:literal $s1:literal $s2:literal $s3:literal])*;
        $load:literal even ($($even:tt)*) odd ($($odd:tt)*)
    ) => {
        asm!(
            "10:",
            "mov {w}, {weights}",
            $(concat!("ld1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{starts}]"),)*
            "lsr {turns}, {fours}, #3",
            "cbz {turns}, 3f",
            "2:",
            $load, group!($($even)*), group!($($odd)*),
            $load, group!($($even)*), group!($($odd)*),
            $load, group!($($even)*), group!($($odd)*),
            $load, group!($($even)*), group!($($odd)*),
            "subs {turns}, {turns}, #1",
            "b.ne 2b",
            "3:",
            "tbz {fours}, #2, 11f",
            $load, group!($($even)*), group!($($odd)*),
            $load, group!($($even)*), group!($($odd)*),
            "11:",
            "tbz {fours}, #1, 4f",
            $load, group!($($even)*), group!($($odd)*),
            "4:",
            "tbz {fours}, #0, 5f",
            $load, group!($($even)*),
            "5:",
            results!($([$s0 $s1 $s2 $s3])*),
            "subs {count}, {count}, #1",
            "b.ne 10b",
            count = inout(reg) $tile.count => _,
            a = inout(reg) $tile.a => _,
            weights = in(reg) $tile.w,
            w = out(reg) _,
            starts = in(reg) $tile.starts,
            turns = out(reg) _,
            fours = in(reg) $tile.fours,
            scale = in(reg) $tile.results.scale,
            bias = in(reg) $tile.results.bias,
            at = inout(reg) $tile.results.at => _,
            stride = in(reg) $tile.results.stride,
            columns = in(reg) $tile.results.columns,
            zeros = inout(reg) $tile.results.zeros => _,
            steps = inout(reg) $tile.results.steps => _,
            added = inout(reg) $tile.results.added => _,
            sums = inout(reg) $tile.sums => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        )
    };
}

/// See [`Tiles::sums`].
///
/// # Safety
/// What the tiles (of 1, 2, 4 or 6 rows) point to exists.
#[target_feature(enable = "neon,dotprod")]
unsafe fn sums(tile: Tile) {
    // SAFETY: the caller's promise.
    unsafe {
        match tile.rows {
            1 => tile!(tile; [8 9 10 11];
                "ldr d4, [{a}], #8"
                even (4[0]: (8 9 10 11)) odd (4[1]: (8 9 10 11))),
            2 => tile!(tile; [8 9 10 11] [12 13 14 15];
                "ldr q4, [{a}], #16"
                even (4[0]: (8 9 10 11) 4[2]: (12 13 14 15))
                odd (4[1]: (8 9 10 11) 4[3]: (12 13 14 15))),
            4 => tile!(tile; [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23];
                "ldp q4, q5, [{a}], #32"
                even (4[0]: (8 9 10 11) 4[2]: (12 13 14 15)
                      5[0]: (16 17 18 19) 5[2]: (20 21 22 23))
                odd (4[1]: (8 9 10 11) 4[3]: (12 13 14 15)
                     5[1]: (16 17 18 19) 5[3]: (20 21 22 23))),
            _ => tile!(tile;
                [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23] [24 25 26 27] [28 29 30 31];
                "ld1 {{v4.16b, v5.16b, v6.16b}}, [{a}], #48"
                even (4[0]: (8 9 10 11) 4[2]: (12 13 14 15) 5[0]: (16 17 18 19)
                      5[2]: (20 21 22 23) 6[0]: (24 25 26 27) 6[2]: (28 29 30 31))
                odd (4[1]: (8 9 10 11) 4[3]: (12 13 14 15) 5[1]: (16 17 18 19)
                     5[3]: (20 21 22 23) 6[1]: (24 25 26 27) 6[3]: (28 29 30 31))),
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
