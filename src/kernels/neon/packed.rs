//! How the three ARM instruction sets make a matrix product: blocks of rows are packed once, in the
//! order in which the tiles read them, and meet all panels while they stay in the cache.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::finish;
use crate::kernels::{Gemm, LANES};

/// Rows of a block at most: a multiple of every tile, and enough that it costs little to put a panel
/// in another order for them.
const BLOCK: usize = 60;

/// What an instruction set has of its own.
pub(in crate::kernels) struct Tiles {
    /// Rows of the tiles, the largest first, a divisor of [`BLOCK`]; the smallest one may have a row too
    /// much, whose sums nobody reads.
    pub(in crate::kernels) rows: &'static [usize],
    /// Inputs of a row that lie side by side: a packed tile is `[inputs / group][rows][group]`, its
    /// inputs filled up to whole groups.
    pub(in crate::kernels) group: usize,
    /// Taken off every code before the product: 128, which makes codes signed, or 0.
    pub(in crate::kernels) taken: u8,
    /// Puts a panel's weights in the order of [`Tiles::sums`], if that is not the panel's own.
    pub(in crate::kernels) arrange: Option<unsafe fn(&[i8], &mut [i8])>,
    /// The sums of tiles and a panel.
    pub(in crate::kernels) sums: unsafe fn(Tile),
}

/// Most sizes of tiles that an instruction set has.
const SIZES: usize = 4;

/// Tiles of one size, one after the other, and a panel.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Tile {
    /// Number of tiles.
    pub(in crate::kernels) count: usize,
    /// Rows of a tile.
    pub(in crate::kernels) rows: usize,
    /// Groups of inputs.
    pub(in crate::kernels) groups: usize,
    /// The packed rows.
    pub(in crate::kernels) a: *const u8,
    /// The panel's weights.
    pub(in crate::kernels) w: *const i8,
    /// What is added to the sums of each row: what was taken off the codes.
    pub(in crate::kernels) starts: *const [i32; LANES],
    /// Where the sums go.
    pub(in crate::kernels) sums: *mut [i32; LANES],
}

/// Bytes of scratch for products over `k` inputs: a block of rows, and a panel with a byte for each
/// group of its inputs.
pub(in crate::kernels) fn scratch(k: usize) -> usize {
    let inputs = k.next_multiple_of(GROUP);
    (BLOCK + LANES) * inputs + inputs / GROUP + 1
}

/// The longest group.
pub(in crate::kernels) const GROUP: usize = 8;

/// Tiles of one size in a block.
#[derive(Clone, Copy, Default)]
struct Part {
    /// First row.
    first: usize,
    /// Number of tiles.
    count: usize,
    /// Rows of a tile.
    rows: usize,
}

impl Tiles {
    /// # Safety
    /// The rows and panels exist, and the processor has the instruction set.
    #[target_feature(enable = "neon")]
    pub(in crate::kernels) unsafe fn product(
        &self,
        g: &Gemm,
        rows: Range<usize>,
        panels: Range<usize>,
        scratch: &mut [u8],
    ) {
        let (k, count) = (g.w.k, rows.len());
        assert!(scratch.len() >= self::scratch(k), "gemm: scratch");
        let groups = k.div_ceil(self.group);
        let (packed, arranged) = scratch.split_at_mut(BLOCK * k.next_multiple_of(GROUP));
        let packed = packed.as_mut_ptr();
        // SAFETY: any bit pattern of u8 is one of i8.
        let (_, arranged, _) = unsafe { arranged.align_to_mut::<i8>() };
        // Blocks of about the same size, so that the last one is not too small for its panels.
        let blocks = count.div_ceil(BLOCK).max(1);
        let block = count.div_ceil(blocks).next_multiple_of(self.rows[0]);
        let mut sums = [[0; LANES]; BLOCK + 1];
        for start in rows.clone().step_by(block.max(1)) {
            let block = rows.end.min(start + block) - start;
            let parts = self.parts(block);
            for part in &parts {
                for i in 0..part.count * part.rows {
                    // A row too much is the last one again.
                    let r = start + (part.first + i).min(block - 1);
                    let tile = part.first + i / part.rows * part.rows;
                    // SAFETY: the row exists; there is room for a block.
                    unsafe {
                        let to = packed.add((tile * groups + i % part.rows) * self.group);
                        self.pack_row(g, r, to, part.rows);
                    }
                }
            }
            for p in panels.clone() {
                let mut weights = &g.w.data[p * g.w.panel_len()..][..g.w.panel_len()];
                let columns = &g.w.sums[p * LANES..][..LANES];
                let mut starts = [0; LANES];
                let (fours, _) = starts.as_chunks_mut::<4>();
                for (start, sum) in fours.iter_mut().zip(columns.as_chunks::<4>().0) {
                    // SAFETY: four sums are read and written.
                    unsafe {
                        let sum = vld1q_s32(sum.as_ptr());
                        vst1q_s32(start.as_mut_ptr(), vmulq_n_s32(sum, i32::from(self.taken)));
                    }
                }
                // SAFETY: the packed rows and the panel have `groups` groups; there are sums for every
                // row of the block and one more.
                unsafe {
                    if let Some(arrange) = self.arrange {
                        arrange(weights, arranged);
                        weights = arranged;
                    }
                    for &Part { first, count, rows } in &parts {
                        let a = packed.add(first * groups * self.group);
                        let (w, sums) = (weights.as_ptr(), sums.as_mut_ptr().add(first));
                        (self.sums)(Tile { count, rows, groups, a, w, starts: &starts, sums });
                    }
                    finish(&g.end, start, p * LANES, &sums[..block]);
                }
            }
        }
    }

    /// The tiles of a block.
    fn parts(&self, block: usize) -> [Part; SIZES] {
        let mut parts = [Part::default(); SIZES];
        let mut first = 0;
        for (part, &rows) in parts.iter_mut().zip(self.rows) {
            *part = Part { first, count: (block - first) / rows, rows };
            first += part.count * rows;
        }
        if first < block {
            parts[self.rows.len() - 1].count += 1;
        }
        parts
    }

    /// Packs row `r` of the product as a row of a tile of `height`.
    ///
    /// # Safety
    /// The row exists, and there is room for it.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pack_row(&self, g: &Gemm, r: usize, to: *mut u8, height: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let row = g.a.codes.as_ptr().add(r * g.a.stride);
            match self.group {
                4 => pack_row::<4>(row, g.w.k, self.taken, to, 4 * height),
                _ => pack_row::<GROUP>(row, g.w.k, self.taken, to, GROUP * height),
            }
        }
    }
}

/// Codes of a register.
const RUN: usize = 16;

/// Spreads a row with `taken` (128 or 0) taken off: `N` bytes every `stride`. What fills the last of them
/// meets weights of zero.
///
/// # Safety
/// The row has `k` codes, and all that they fill has a place.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pack_row<const N: usize>(
    row: *const u8,
    k: usize,
    taken: u8,
    to: *mut u8,
    stride: usize,
) {
    let taken = vdupq_n_u8(taken);
    let (whole, rest) = (k / RUN, k % RUN);
    let mut to = to;
    // SAFETY: the caller's promise.
    unsafe {
        if whole > 0 {
            to = spread_runs::<N>(row, whole, taken, to, stride);
        }
        if rest > 0 {
            let codes = load_rest(row.add(whole * RUN), rest, whole > 0);
            spread::<N>(veorq_u8(codes, taken), to, stride, rest.div_ceil(N));
        }
    }
}

/// [`spread`] for `count` whole runs of codes, at least one; returns where the next one goes. The compiler adds
/// up addresses that a store can go on to by itself.
///
/// # Safety
/// The codes can be read, and they have a place.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn spread_runs<const N: usize>(
    row: *const u8,
    count: usize,
    taken: uint8x16_t,
    to: *mut u8,
    stride: usize,
) -> *mut u8 {
    let mut to = to;
    macro_rules! runs {
        ($($store:literal)*) => {
            asm!(
                "2:",
                "ldr {codes:q}, [{row}], #16",
                "eor {codes:v}.16b, {codes:v}.16b, {taken:v}.16b",
                $(concat!("st1 {{{codes:v}", $store, ", [{to}], {stride}"),)*
                "subs {count}, {count}, #1",
                "b.ne 2b",
                codes = out(vreg) _,
                taken = in(vreg) taken,
                row = inout(reg) row => _,
                to = inout(reg) to,
                stride = in(reg) stride,
                count = inout(reg) count => _,
                options(nostack),
            )
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        if N == GROUP {
            runs!(".d}}[0]" ".d}}[1]");
        } else {
            runs!(".s}}[0]" ".s}}[1]" ".s}}[2]" ".s}}[3]");
        }
    }
    to
}

/// Fewer than [`RUN`] codes; they may follow others.
///
/// # Safety
/// They can be read, and, where there are others, those too.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_rest(at: *const u8, count: usize, others: bool) -> uint8x16_t {
    const PLACES: [u8; RUN] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    // SAFETY: the caller's promise.
    unsafe {
        if others {
            let missing = RUN - count;
            let places = vaddq_u8(vld1q_u8(PLACES.as_ptr()), vdupq_n_u8(missing as u8));
            return vqtbl1q_u8(vld1q_u8(at.sub(missing)), places);
        }
        let mut codes = [0; RUN];
        core::ptr::copy_nonoverlapping(at, codes.as_mut_ptr(), count);
        vld1q_u8(codes.as_ptr())
    }
}

/// Writes the first groups of `N` codes, `stride` bytes apart.
///
/// # Safety
/// They have a place.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn spread<const N: usize>(codes: uint8x16_t, to: *mut u8, stride: usize, groups: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if N == GROUP {
            let codes = vreinterpretq_u64_u8(codes);
            vst1q_lane_u64::<0>(to.cast(), codes);
            if groups > 1 {
                vst1q_lane_u64::<1>(to.add(stride).cast(), codes);
            }
        } else {
            let codes = vreinterpretq_u32_u8(codes);
            vst1q_lane_u32::<0>(to.cast(), codes);
            if groups > 1 {
                vst1q_lane_u32::<1>(to.add(stride).cast(), codes);
            }
            if groups > 2 {
                vst1q_lane_u32::<2>(to.add(2 * stride).cast(), codes);
            }
            if groups > 3 {
                vst1q_lane_u32::<3>(to.add(3 * stride).cast(), codes);
            }
        }
    }
}
