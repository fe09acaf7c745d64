//! 64-bit ARM with 8-bit matrix products: `usmmla` multiplies 2 x 8 u8 by 8 x 2 i8, so activations
//! need no offset, and `usdot` four of them. Everything else is [`dotprod`]'s, which such processors have.

use core::arch::asm;
use core::ops::Range;

use super::neon::{Tile, Tiles, codes, quad, tokens};
use super::{Gemm, Isa, Kernels, LANES, dotprod};

static KERNELS: Kernels = Kernels { isa: Isa::I8mm, gemm, depthwise, ..dotprod::KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = std::arch::is_aarch64_feature_detected!("i8mm") && dotprod::detect().is_some();
    has.then_some(&KERNELS)
}

dotprod::depthwise::stamp!("neon,i8mm", "usdot", 0);

#[target_feature(enable = "neon,i8mm")]
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    // SAFETY: the rows and panels exist, see `Gemm::checked`.
    unsafe { TILES.product(g, rows, panels, scratch) }
}

static TILES: Tiles = Tiles { rows: &[6, 4, 2], taken: 0, arrange: Some(arrange), sums };

/// The order of the tiles: `[groups of 8 inputs][channels][8]`.
///
/// # Safety
/// The panel is whole; `arranged` has a place for it with one more group of 4 inputs.
#[target_feature(enable = "neon")]
unsafe fn arrange(panel: &[i8], arranged: &mut [i8]) {
    let (groups, last) = panel.as_chunks::<{ 8 * LANES }>();
    let (places, _) = arranged.as_chunks_mut();
    // SAFETY: there is a place for each group.
    unsafe { arrange_groups(groups, places.as_mut_ptr()) };
    if !last.is_empty() {
        let mut group = [0; 8 * LANES];
        group[..last.len()].copy_from_slice(last);
        // SAFETY: one place.
        unsafe { arrange_groups(&[group], &raw mut places[groups.len()]) };
    }
}

/// One group of inputs for [`arrange_groups`].
macro_rules! arrange {
    () => {
        concat!(
            "ldp q1, q3, [{from}, #64]\n",
            "ldp q5, q7, [{from}, #96]\n",
            "ldp q4, q6, [{from}, #32]\n",
            "ldp q0, q2, [{from}], #128\n",
            "st2 {{v0.4s, v1.4s}}, [{to}], #32\n",
            "st2 {{v2.4s, v3.4s}}, [{to}], #32\n",
            "st2 {{v4.4s, v5.4s}}, [{to}], #32\n",
            "st2 {{v6.4s, v7.4s}}, [{to}], #32\n",
        )
    };
}

/// Both halves of a channel's eight inputs side by side. Every panel comes through here for a few dozen rows: the
/// compiler's way takes half as many instructions again.
///
/// # Safety
/// As many groups can be written to `places`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn arrange_groups(groups: &[[i8; 8 * LANES]], places: *mut [i8; 8 * LANES]) {
    // SAFETY: the groups are read and as many places written.
    unsafe {
        asm!(
            "tbz {count}, #0, 3f",
            arrange!(),
            "b 3f",
            "2:",
            arrange!(),
            arrange!(),
            "3:",
            "subs {count}, {count}, #2",
            "b.pl 2b",
            count = inout(reg) groups.len() => _,
            from = inout(reg) groups.as_ptr() => _,
            to = inout(reg) places => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack),
        );
    }
}

/// A pair of rows' eight inputs by those of two channels each, to its sums.
macro_rules! products {
    ($inputs:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "usmmla v",
            $a,
            ".4s, v",
            $inputs,
            ".16b, v0.16b\n",
            "usmmla v",
            $b,
            ".4s, v",
            $inputs,
            ".16b, v1.16b\n",
            "usmmla v",
            $c,
            ".4s, v",
            $inputs,
            ".16b, v2.16b\n",
            "usmmla v",
            $d,
            ".4s, v",
            $inputs,
            ".16b, v3.16b\n",
        )
    };
}

/// All pairs of rows over a group of inputs, which `$load` loads.
macro_rules! group {
    (
        $load:literal;
        $([$inputs:literal:
            $s0:literal $s1:literal $s2:literal $s3:literal
            $s4:literal $s5:literal $s6:literal $s7:literal])*
    ) => {
        concat!(
            $load, "\n",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64\n",
            $(products!($inputs, $s0 $s1 $s2 $s3),)*
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64\n",
            $(products!($inputs, $s4 $s5 $s6 $s7),)*
        )
    };
}

/// Two registers, each with sums of two channels of a first and then of a second row, by rows.
macro_rules! part {
    ($a:literal $b:literal) => {
        concat!(
            "zip1 v0.2d, v",
            $a,
            ".2d, v",
            $b,
            ".2d\n",
            "zip2 v1.2d, v",
            $a,
            ".2d, v",
            $b,
            ".2d\n",
            "str q1, [{sums}, #64]\n",
            "str q0, [{sums}], #16\n",
        )
    };
}

/// The same eight registers' results, of the first row and of the second: `$row` makes them of four registers of sums,
/// through the last four.
macro_rules! results_of_pair {
    (
        $row:ident $added:tt
        $s0:literal $s1:literal $s2:literal $s3:literal
        $s4:literal $s5:literal $s6:literal $s7:literal
    ) => {
        concat!(
            results_of_pair!(zip $s0 $s1 => 0 1),
            results_of_pair!(zip $s2 $s3 => 2 3),
            results_of_pair!(zip $s4 $s5 => $s0 $s1),
            results_of_pair!(zip $s6 $s7 => $s2 $s3),
            results_of_pair!($row $added 0 2 $s0 $s2; $s4 $s5 $s6 $s7),
            results_of_pair!($row $added 1 3 $s1 $s3; $s4 $s5 $s6 $s7),
        )
    };
    (zip $a:literal $b:literal => $first:literal $second:literal) => {
        concat!(
            "zip1 v", $first, ".2d, v", $a, ".2d, v", $b, ".2d\n",
            "zip2 v", $second, ".2d, v", $a, ".2d, v", $b, ".2d\n",
        )
    };
    (codes () $($sums:literal)*; $($through:literal)*) => {
        codes!($($sums)*, 4 5 6 7, $($through)*)
    };
    (tokens () $($sums:literal)*; $($through:literal)*) => {
        tokens!($($sums)*, 4 5 6 7, $($through)*, "")
    };
    (tokens (add) $($sums:literal)*; $($through:literal)*) => {
        tokens!($($sums)*, 4 5 6 7, $($through)*, tokens!(add 4 5 6 7, $($through)*))
    };
}

/// The sums of tiles whose pairs of rows have eight registers each; their inputs are in one.
macro_rules! tile {
    (
        $tile:ident, $load:literal;
        $([$inputs:literal:
            $s0:literal $s1:literal $s2:literal $s3:literal
            $s4:literal $s5:literal $s6:literal $s7:literal])*
    ) => {
        asm!(
            "10:",
            "mov {w}, {weights}",
            "mov {left}, {groups}",
            $(concat!("movi v", $s0, ".4s, #0"), concat!("movi v", $s1, ".4s, #0"),
            concat!("movi v", $s2, ".4s, #0"), concat!("movi v", $s3, ".4s, #0"),
            concat!("movi v", $s4, ".4s, #0"), concat!("movi v", $s5, ".4s, #0"),
            concat!("movi v", $s6, ".4s, #0"), concat!("movi v", $s7, ".4s, #0"),)*
            "tbz {groups}, #0, 11f",
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            "11:",
            "tbz {groups}, #1, 3f",
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            "b 3f",
            "2:",
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            group!($load; $([$inputs: $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7])*),
            "3:",
            "subs {left}, {left}, #4",
            "b.pl 2b",
            "cbz {at}, 8f",
            "cbnz {columns}, 6f",
            quad!("ld1" 4 5 6 7, "[{scale}]"),
            $(results_of_pair!(codes () $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7),)*
            "b 9f",
            "6:",
            "cbnz {added}, 7f",
            $(results_of_pair!(tokens () $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7),)*
            "b 9f",
            "7:",
            $(results_of_pair!(tokens (add) $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7),)*
            "b 9f",
            "8:",
            $(part!($s0 $s1), part!($s2 $s3), part!($s4 $s5), part!($s6 $s7),
            "add {sums}, {sums}, #64",)*
            "9:",
            "subs {count}, {count}, #1",
            "b.ne 10b",
            count = inout(reg) $tile.count => _,
            a = inout(reg) $tile.a => _,
            weights = in(reg) $tile.w,
            w = out(reg) _,
            groups = in(reg) $tile.groups,
            left = out(reg) _,
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

/// See [`Tiles::sums`]; nothing was taken off the codes.
///
/// # Safety
/// What the tiles (of 2, 4 or 6 rows) point to exists.
#[target_feature(enable = "neon,i8mm")]
unsafe fn sums(tile: Tile) {
    // SAFETY: the caller's promise.
    unsafe {
        match tile.rows {
            2 => tile!(tile, "ldr q4, [{a}], #16"; [4: 8 9 10 11 12 13 14 15]),
            4 => tile!(tile, "ldp q4, q5, [{a}], #32";
                [4: 8 9 10 11 12 13 14 15] [5: 16 17 18 19 20 21 22 23]),
            _ => tile!(tile, "ld1 {{v4.16b, v5.16b, v6.16b}}, [{a}], #48";
                [4: 8 9 10 11 12 13 14 15] [5: 16 17 18 19 20 21 22 23]
                [6: 24 25 26 27 28 29 30 31]),
        }
    }
}
