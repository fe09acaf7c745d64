//! How the three ARM instruction sets make a matrix product: blocks of rows are packed once, in the
//! order in which the tiles read them, and meet all panels while they stay in the cache.

use core::arch::aarch64::*;
use core::ops::Range;

use super::finish;
use crate::kernels::{Gemm, LANES};

/// Rows of a block at most: a multiple of every tile, and enough that it costs little to put a panel
/// in another order for them.
const BLOCK: usize = 60;

/// What an instruction set has of its own.
pub(in crate::kernels) struct Tiles {
    /// Rows of the largest tile, a divisor of [`BLOCK`]. The last tile of a block has what is left.
    pub(in crate::kernels) rows: usize,
    /// Smaller tiles have a multiple of this many rows; nobody reads the sums of one that is too much.
    pub(in crate::kernels) step: usize,
    /// Inputs of a row that lie side by side: a packed tile is `[inputs / group][rows][group]`, its
    /// inputs filled up to whole groups.
    pub(in crate::kernels) group: usize,
    /// Taken off every code before the product: 128, which makes codes signed, or 0.
    pub(in crate::kernels) taken: u8,
    /// Puts a panel's weights in the order of [`Tiles::sums`], if that is not the panel's own.
    pub(in crate::kernels) arrange: Option<unsafe fn(&[i8], &mut [i8])>,
    /// Writes the sums of a tile of so many rows and a panel over so many groups of inputs.
    pub(in crate::kernels) sums: unsafe fn(usize, usize, *const u8, *const i8, *mut [i32; LANES]),
}

/// Bytes of scratch for products over `k` inputs: a block of rows, and a panel with a byte for each
/// group of its inputs.
pub(in crate::kernels) fn scratch(k: usize) -> usize {
    let inputs = k.next_multiple_of(GROUP);
    (BLOCK + LANES) * inputs + inputs / GROUP + 1
}

/// The longest group.
pub(in crate::kernels) const GROUP: usize = 8;

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
        // SAFETY: any bit pattern of u8 is one of i8.
        let (_, arranged, _) = unsafe { arranged.align_to_mut::<i8>() };
        // Blocks of about the same size, so that the last one is not too small for its panels.
        let blocks = count.div_ceil(BLOCK).max(1);
        let block = count.div_ceil(blocks).next_multiple_of(self.rows);
        let mut sums = [[0; LANES]; BLOCK];
        for start in rows.clone().step_by(block.max(1)) {
            let block = start..rows.end.min(start + block);
            for tile in block.clone().step_by(self.rows) {
                let rows = tile..block.end.min(tile + self.rows);
                // SAFETY: the rows exist; there is room for a block.
                unsafe {
                    let packed = packed.as_mut_ptr().add((tile - start) * groups * self.group);
                    self.pack(g, rows, packed);
                }
            }
            for p in panels.clone() {
                let mut weights = &g.w.data[p * g.w.panel_len()..][..g.w.panel_len()];
                // SAFETY: the packed rows and the panel have `groups` groups; there are sums for every
                // row of the block and (a multiple of `step`) more.
                unsafe {
                    if let Some(arrange) = self.arrange {
                        arrange(weights, arranged);
                        weights = arranged;
                    }
                    for tile in (0..block.len()).step_by(self.rows) {
                        let rows = self.rows.min(block.len() - tile).next_multiple_of(self.step);
                        let packed = packed.as_ptr().add(tile * groups * self.group);
                        let sums = sums.as_mut_ptr().add(tile);
                        (self.sums)(rows, groups, packed, weights.as_ptr(), sums);
                    }
                    let sums = &sums[..block.len()];
                    finish(&g.end, start, p * LANES, sums, i32::from(self.taken));
                }
            }
        }
    }

    /// Packs the rows of a tile.
    ///
    /// # Safety
    /// The rows exist, and `packed` has a place for them.
    #[target_feature(enable = "neon")]
    unsafe fn pack(&self, g: &Gemm, rows: Range<usize>, packed: *mut u8) {
        let height = rows.len().next_multiple_of(self.step);
        let (group, k) = (self.group, g.w.k);
        for i in 0..height {
            // A row that does not exist is the last one again: nobody reads its sums.
            let r = (rows.start + i).min(rows.end - 1);
            // SAFETY: the caller's promise.
            unsafe {
                let row = g.a.codes.as_ptr().add(r * g.a.stride);
                let at = packed.add(i * group);
                match group {
                    4 => pack_row::<4>(row, k, self.taken, at, 4 * height),
                    _ => pack_row::<GROUP>(row, k, self.taken, at, GROUP * height),
                }
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
        for i in 0..whole {
            spread::<N>(veorq_u8(vld1q_u8(row.add(i * RUN)), taken), to, stride, RUN / N);
            to = to.wrapping_add(RUN / N * stride);
        }
        if rest > 0 {
            let codes = load_rest(row.add(whole * RUN), rest, whole > 0);
            spread::<N>(veorq_u8(codes, taken), to, stride, rest.div_ceil(N));
        }
    }
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
