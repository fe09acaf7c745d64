//! Matrix products.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::order::GROUP;
use super::packed::{Tile, Tiles};
use super::results;
use crate::kernels::{Gemm, LANES};

#[target_feature(enable = "neon")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    // SAFETY: the rows and panels exist, see `Gemm::checked`.
    unsafe { TILES.product(g, rows, panels, scratch) }
}

static TILES: Tiles = Tiles { rows: &[4, 3, 2, 1], taken: 128, arrange: Some(arrange), sums };

/// Products of four pairs of inputs may be added in 16 bits if, in every lane, the sizes of their
/// weights stay below this: 128 * 255 < 2^15.
const FEW: u8 = 255;

/// Marks of a group of inputs: all its products may be added in 16 bits; only two may; the panel ends.
const ALL: i8 = 0;
const TWOS: i8 = 1;
const END: i8 = 2;

/// The order of the tiles: `[groups][pairs of inputs][channels][2]`, then a mark for each group.
///
/// # Safety
/// The panel is whole; `arranged` has a place for it with one more group and all marks.
#[target_feature(enable = "neon")]
unsafe fn arrange(panel: &[i8], arranged: &mut [i8]) {
    let (groups, last) = panel.as_chunks::<{ GROUP * LANES }>();
    let count = groups.len() + usize::from(!last.is_empty());
    let (weights, marks) = arranged.split_at_mut(count * GROUP * LANES);
    let (weights, _) = weights.as_chunks_mut();
    for ((group, to), mark) in groups.iter().zip(&mut *weights).zip(&mut *marks) {
        *mark = arrange_group(group, to);
    }
    if !last.is_empty() {
        let mut group = [0; GROUP * LANES];
        group[..last.len()].copy_from_slice(last);
        marks[count - 1] = arrange_group(&group, &mut weights[count - 1]);
    }
    marks[count] = END;
}

/// Arranges one group and returns its mark.
#[inline]
#[target_feature(enable = "neon")]
fn arrange_group(group: &[i8; GROUP * LANES], to: &mut [i8; GROUP * LANES]) -> i8 {
    // SAFETY: 128 weights each.
    unsafe {
        let a = pairs(vld1q_s8_x4(group.as_ptr()));
        let b = pairs(vld1q_s8_x4(group.as_ptr().add(4 * LANES)));
        vst1q_s8_x4(to.as_mut_ptr(), a);
        vst1q_s8_x4(to.as_mut_ptr().add(4 * LANES), b);
        let left = vqaddq_u8(size_of_two(a.0, a.2), size_of_two(b.0, b.2));
        let right = vqaddq_u8(size_of_two(a.1, a.3), size_of_two(b.1, b.3));
        if vmaxvq_u8(vmaxq_u8(left, right)) < FEW { ALL } else { TWOS }
    }
}

/// Four weights of 16 channels as two pairs of the first 8 and of the last 8 channels each.
#[inline]
#[target_feature(enable = "neon")]
fn pairs(four: int8x16x4_t) -> int8x16x4_t {
    let (a, b) = (vreinterpretq_s16_s8(four.0), vreinterpretq_s16_s8(four.1));
    let (c, d) = (vreinterpretq_s16_s8(four.2), vreinterpretq_s16_s8(four.3));
    int8x16x4_t(
        vreinterpretq_s8_s16(vuzp1q_s16(a, b)),
        vreinterpretq_s8_s16(vuzp1q_s16(c, d)),
        vreinterpretq_s8_s16(vuzp2q_s16(a, b)),
        vreinterpretq_s8_s16(vuzp2q_s16(c, d)),
    )
}

/// The sizes of two weights added up: less than 255.
#[inline]
#[target_feature(enable = "neon")]
fn size_of_two(w: int8x16_t, v: int8x16_t) -> uint8x16_t {
    vaddq_u8(vreinterpretq_u8_s8(vabsq_s8(w)), vreinterpretq_u8_s8(vabsq_s8(v)))
}

/// Two pairs of inputs (registers `x` and `y`) by their weights (four registers from `w` on): registers
/// 4 to 7 get or, with `smlal` first, are given the products by channel and place in the pair.
macro_rules! products {
    ($first:literal, $w0:literal $w1:literal $w2:literal $w3:literal, $x:literal $y:literal) => {
        concat!(
            $first,
            " v4.8h, v",
            $w0,
            ".8b, v",
            $x,
            ".8b\n",
            $first,
            "2 v5.8h, v",
            $w0,
            ".16b, v",
            $x,
            ".16b\n",
            $first,
            " v6.8h, v",
            $w1,
            ".8b, v",
            $x,
            ".8b\n",
            $first,
            "2 v7.8h, v",
            $w1,
            ".16b, v",
            $x,
            ".16b\n",
            "smlal v4.8h, v",
            $w2,
            ".8b, v",
            $y,
            ".8b\n",
            "smlal2 v5.8h, v",
            $w2,
            ".16b, v",
            $y,
            ".16b\n",
            "smlal v6.8h, v",
            $w3,
            ".8b, v",
            $y,
            ".8b\n",
            "smlal2 v7.8h, v",
            $w3,
            ".16b, v",
            $y,
            ".16b\n",
        )
    };
}

/// Adds the products in registers 4 to 7 to a row's sums.
macro_rules! add_up {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "sadalp v",
            $a,
            ".4s, v4.8h\n",
            "sadalp v",
            $b,
            ".4s, v5.8h\n",
            "sadalp v",
            $c,
            ".4s, v6.8h\n",
            "sadalp v",
            $d,
            ".4s, v7.8h\n",
        )
    };
}

/// A row of a tile over a group of inputs, all of whose products may be added in 16 bits.
macro_rules! row_of_all {
    ($($sums:literal)*) => {
        concat!(
            "ld4r {{v0.8h, v1.8h, v2.8h, v3.8h}}, [{a}], #8\n",
            products!("smull", 8 9 10 11, 0 1),
            products!("smlal", 12 13 14 15, 2 3),
            add_up!($($sums)*),
        )
    };
}

/// The same where only two may.
macro_rules! row_of_twos {
    ($($sums:literal)*) => {
        concat!(
            "ld4r {{v0.8h, v1.8h, v2.8h, v3.8h}}, [{a}], #8\n",
            products!("smull", 8 9 10 11, 0 1),
            add_up!($($sums)*),
            products!("smull", 12 13 14 15, 2 3),
            add_up!($($sums)*),
        )
    };
}

/// The sums of tiles whose rows have four registers each.
macro_rules! tile {
    ($tile:ident; $([$s0:literal $s1:literal $s2:literal $s3:literal])*) => {
        asm!(
            "10:",
            "mov {w}, {weights}",
            "mov {marks}, {first_mark}",
            $(concat!("ld1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{starts}]"),)*
            "b 4f",
            "2:",
            "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{w}], #64",
            "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{w}], #64",
            $(row_of_all!($s0 $s1 $s2 $s3),)*
            "4:",
            "ldrb {mark:w}, [{marks}], #1",
            "cbz {mark:w}, 2b",
            "tbnz {mark:w}, #1, 5f",
            "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{w}], #64",
            "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{w}], #64",
            $(row_of_twos!($s0 $s1 $s2 $s3),)*
            "b 4b",
            "5:",
            results!($([$s0 $s1 $s2 $s3])*),
            "subs {count}, {count}, #1",
            "b.ne 10b",
            count = inout(reg) $tile.count => _,
            a = inout(reg) $tile.a => _,
            weights = in(reg) $tile.w,
            w = out(reg) _,
            first_mark = in(reg) $tile.w.add($tile.groups * GROUP * LANES),
            marks = out(reg) _,
            mark = out(reg) _,
            starts = in(reg) $tile.starts,
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
/// What the tiles (of 4 rows at most) point to exists.
#[target_feature(enable = "neon")]
unsafe fn sums(tile: Tile) {
    // SAFETY: the caller's promise; marks follow the weights.
    unsafe {
        match tile.rows {
            1 => tile!(tile; [16 17 18 19]),
            2 => tile!(tile; [16 17 18 19] [20 21 22 23]),
            3 => tile!(tile; [16 17 18 19] [20 21 22 23] [24 25 26 27]),
            _ => tile!(tile; [16 17 18 19] [20 21 22 23] [24 25 26 27] [28 29 30 31]),
        }
    }
}
