//! How the three ARM instruction sets make a matrix product: blocks of rows are packed once, in the
//! order in which the tiles read them, and meet all panels while they stay in the cache.

use core::arch::aarch64::*;
use core::ops::Range;

use super::order::{GROUP, pack};
use super::{Results, finish};
use crate::kernels::{Gemm, LANES};

/// Rows of a block at most: a multiple of every tile, and enough that it costs little to put a panel
/// in another order for them.
const BLOCK: usize = 120;
/// Bytes of its packed rows that as many threads as a small board has can keep in its second-level cache.
const BYTES: usize = 64 * 1024;

/// Rows of a block over `k` inputs.
const fn most_rows(k: usize) -> usize {
    if BLOCK * k <= BYTES { BLOCK } else { BLOCK / 2 }
}

/// What an instruction set has of its own.
pub(in crate::kernels) struct Tiles {
    /// Rows of the tiles, the largest first, a divisor of [`BLOCK`]; the smallest one may have a row too
    /// much, whose sums nobody reads.
    pub(in crate::kernels) rows: &'static [usize],
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
    /// Groups of [`GROUP`] inputs.
    pub(in crate::kernels) groups: usize,
    /// Groups of four inputs.
    pub(in crate::kernels) fours: usize,
    /// The packed rows, see [`pack`].
    pub(in crate::kernels) a: *const u8,
    /// The panel's weights.
    pub(in crate::kernels) w: *const i8,
    /// What is added to the sums of each row: what was taken off the codes.
    pub(in crate::kernels) starts: *const [i32; LANES],
    /// What becomes of the sums.
    pub(in crate::kernels) results: Results,
    /// Where they go if nothing does.
    pub(in crate::kernels) sums: *mut [i32; LANES],
}

/// Bytes of scratch for products over `k` inputs: a block of rows, and a panel with a byte for each
/// group of its inputs. More inputs may need less: a block has fewer rows then.
pub(in crate::kernels) fn scratch(k: usize) -> usize {
    let inputs = k.next_multiple_of(GROUP);
    (most_rows(k) + LANES) * inputs + inputs / GROUP + 1
}

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
        let (groups, fours) = (k.div_ceil(GROUP), k.div_ceil(4));
        let (packed, arranged) = scratch.split_at_mut(most_rows(k) * groups * GROUP);
        let packed = packed.as_mut_ptr();
        // SAFETY: any bit pattern of u8 is one of i8.
        let (_, arranged, _) = unsafe { arranged.align_to_mut::<i8>() };
        // Blocks of about the same size, so that the last one is not too small for its panels.
        let blocks = count.div_ceil(most_rows(k)).max(1);
        let block = count.div_ceil(blocks).next_multiple_of(self.rows[0]);
        let mut sums = [[0; LANES]; BLOCK + 1];
        let all = Results::of(&g.end);
        for start in rows.clone().step_by(block.max(1)) {
            let block = rows.end.min(start + block) - start;
            let parts = self.parts(block);
            for part in parts.iter().filter(|part| part.count > 0) {
                for first in (part.first..).step_by(part.rows).take(part.count) {
                    // SAFETY: the rows exist; there is room for a block.
                    unsafe {
                        let to = packed.add(first * groups * GROUP);
                        self.pack(g, start + first, start + block - 1, part.rows, to);
                    }
                }
            }
            for p in panels.clone() {
                let mut weights = &g.w.data[p * g.w.panel_len()..][..g.w.panel_len()];
                let columns = &g.w.sums[p * LANES..][..LANES];
                let mut starts = [0; LANES];
                let (fours_of_starts, _) = starts.as_chunks_mut::<4>();
                for (start, sum) in fours_of_starts.iter_mut().zip(columns.as_chunks::<4>().0) {
                    // SAFETY: four sums are read and written.
                    unsafe {
                        let sum = vld1q_s32(sum.as_ptr());
                        vst1q_s32(start.as_mut_ptr(), vmulq_n_s32(sum, i32::from(self.taken)));
                    }
                }
                let bias = super::bias(&g.end.q, p * LANES);
                let results = all.panel(p * LANES, g.end.n, &bias).from(start);
                // Rows from here on leave sums.
                let mut left = 0;
                // SAFETY: the packed rows and the panel have their groups; there are sums for every
                // row of the block and one more, and codes for those that exist.
                unsafe {
                    if let Some(arrange) = self.arrange {
                        arrange(weights, arranged);
                        weights = arranged;
                    }
                    for &Part { first, count, rows } in parts.iter().filter(|part| part.count > 0) {
                        let a = packed.add(first * groups * GROUP);
                        let (w, sums) = (weights.as_ptr(), sums.as_mut_ptr().add(first));
                        let end = first + count * rows;
                        let results =
                            if end <= block { results.from(first) } else { Results::SUMS };
                        if !results.at.is_null() {
                            left = end;
                        }
                        let starts = &starts;
                        (self.sums)(Tile {
                            count,
                            rows,
                            groups,
                            fours,
                            a,
                            w,
                            starts,
                            results,
                            sums,
                        });
                    }
                    if left < block {
                        finish(&g.end, start + left, p * LANES, &sums[left..block]);
                    }
                }
            }
        }
    }

    /// Packs the tile of `rows` rows from `first` on; a row after the `last` one is that one again.
    ///
    /// # Safety
    /// The last row exists, and there is room for the tile.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pack(&self, g: &Gemm, first: usize, last: usize, rows: usize, to: *mut u8) {
        let (k, taken) = (g.w.k, self.taken);
        let row = |i: usize| g.a.codes.as_ptr().wrapping_add(last.min(first + i) * g.a.stride);
        let filled = last * g.a.stride + k.next_multiple_of(GROUP) <= g.a.codes.len();
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                1 => pack([row(0)], k, filled, taken, to),
                2 => pack([row(0), row(1)], k, filled, taken, to),
                3 => pack([row(0), row(1), row(2)], k, filled, taken, to),
                4 => pack([row(0), row(1), row(2), row(3)], k, filled, taken, to),
                _ => {
                    let rows = [row(0), row(1), row(2), row(3), row(4), row(5)];
                    pack(rows, k, filled, taken, to);
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
}
