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
    /// Smaller tiles have a multiple of this many rows; a row that does not exist is zero.
    pub(in crate::kernels) step: usize,
    /// Inputs of a row that lie side by side: a packed tile is `[inputs / group][rows][group]`, its
    /// inputs filled with zeros to whole groups.
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
                let packed = &mut packed[(tile - start) * groups * self.group..];
                // SAFETY: the rows exist.
                unsafe { self.pack(g, rows, packed) };
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
    /// The rows exist.
    #[target_feature(enable = "neon")]
    unsafe fn pack(&self, g: &Gemm, rows: Range<usize>, packed: &mut [u8]) {
        let height = rows.len().next_multiple_of(self.step);
        for (i, r) in rows.clone().enumerate() {
            let row = &g.a.codes[r * g.a.stride..][..g.w.k];
            if self.group == 8 {
                pack_row::<8>(row, self.taken, &mut packed[8 * i..], 8 * height);
            } else {
                pack_row::<4>(row, self.taken, &mut packed[4 * i..], 4 * height);
            }
        }
        if rows.len() < height {
            for group in packed.chunks_mut(self.group * height).take(g.w.k.div_ceil(self.group)) {
                group[self.group * rows.len()..][..self.group].fill(0);
            }
        }
    }
}

/// Spreads a row with `taken` (128 or 0) taken off: `GROUP` bytes every `stride`.
#[inline]
#[target_feature(enable = "neon")]
fn pack_row<const GROUP: usize>(row: &[u8], taken: u8, packed: &mut [u8], stride: usize) {
    let (whole, rest) = row.as_chunks::<16>();
    assert!(packed.len() >= (row.len().div_ceil(GROUP).max(1) - 1) * stride + GROUP, "packed rows");
    let mut at = packed.as_mut_ptr();
    for codes in whole {
        // SAFETY: 16 bytes; all groups of the row have a place.
        unsafe {
            let codes = veorq_u8(vld1q_u8(codes.as_ptr()), vdupq_n_u8(taken));
            if GROUP == 8 {
                let codes = vreinterpretq_u64_u8(codes);
                vst1q_lane_u64::<0>(at.cast(), codes);
                vst1q_lane_u64::<1>(at.add(stride).cast(), codes);
            } else {
                let codes = vreinterpretq_u32_u8(codes);
                vst1q_lane_u32::<0>(at.cast(), codes);
                vst1q_lane_u32::<1>(at.add(stride).cast(), codes);
                vst1q_lane_u32::<2>(at.add(2 * stride).cast(), codes);
                vst1q_lane_u32::<3>(at.add(3 * stride).cast(), codes);
            }
            at = at.wrapping_add(16 / GROUP * stride);
        }
    }
    for (i, codes) in rest.chunks(GROUP).enumerate() {
        let mut group = [0; GROUP];
        for (to, code) in group.iter_mut().zip(codes) {
            *to = code ^ taken;
        }
        packed[(whole.len() * 16 / GROUP + i) * stride..][..GROUP].copy_from_slice(&group);
    }
}
