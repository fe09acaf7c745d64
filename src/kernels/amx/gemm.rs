//! Matrix products.

use core::ops::Range;

use super::tile::{self, BYTES, ROWS, Shapes};
use crate::kernels::avx512::{self, finish};
use crate::kernels::tiles::Parts;
use crate::kernels::{Gemm, LANES};

/// Products with fewer inputs or rows than this are AVX-512's.
const FEWEST_INPUTS: usize = 48;
const FEWEST_ROWS: usize = 4;
/// Bytes of a block of codes. It stays in the level-2 cache, of which a core with AMX has 2 MiB, while
/// the weights stream by.
const BLOCK: usize = 768 * 1024;
/// Bytes of a tile.
const TILE: usize = ROWS * BYTES;

/// Inputs, filled up to whole tiles.
fn padded(k: usize) -> usize {
    k.next_multiple_of(BYTES)
}

/// Rows of a block at most.
fn block_rows(k: usize) -> usize {
    (BLOCK / padded(k).max(1)).max(ROWS)
}

/// Room for a block of codes of `k` inputs or fewer, and to align it.
pub(super) fn scratch(k: usize) -> usize {
    if k < FEWEST_INPUTS { 0 } else { BLOCK.max(ROWS * padded(k)) + BYTES }
}

/// The sums of four tiles.
#[repr(align(64))]
struct Sums([[[i32; LANES]; ROWS]; 4]);

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    if g.w.k < FEWEST_INPUTS || rows.len() < FEWEST_ROWS {
        return avx512::gemm(g, rows, panels, scratch);
    }
    for rows in Parts::new(rows, block_rows(g.w.k)) {
        // Tiles of equal height; the last ends with the rows, so that some may be made twice.
        let height = rows.len().div_ceil(rows.len().div_ceil(ROWS));
        let codes = pack(g, rows.clone(), scratch);
        // SAFETY: this table exists only where there are tiles; the rows and panels exist, see
        // `Gemm::checked`.
        unsafe {
            Shapes::new(height).load();
            Block { g, rows, height, codes }.panels(panels.clone());
            tile::release();
        }
    }
}

/// Copies the codes of some rows to where tiles are read without crossing cache lines, which costs three
/// times as long: `[padded(k) / 64][rows][64]`, zeros past `k`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn pack<'a>(g: &Gemm, rows: Range<usize>, scratch: &'a mut [u8]) -> &'a [u8] {
    let k = g.w.k;
    let start = scratch.as_ptr().align_offset(BYTES);
    let packed = &mut scratch[start..][..rows.len() * padded(k)];
    let (places, _) = packed.as_chunks_mut::<BYTES>();
    for (i, r) in rows.clone().enumerate() {
        let (whole, rest) = g.a.codes[r * g.a.stride..][..k].as_chunks::<BYTES>();
        let mut places = places[i..].iter_mut().step_by(rows.len());
        for (codes, place) in whole.iter().zip(places.by_ref()) {
            *place = *codes;
        }
        if !rest.is_empty()
            && let Some(place) = places.next()
        {
            place[..rest.len()].copy_from_slice(rest);
            place[rest.len()..].fill(0);
        }
    }
    packed
}

/// Packed rows and the tiles over them.
struct Block<'a> {
    g: &'a Gemm<'a>,
    rows: Range<usize>,
    /// Rows of a tile.
    height: usize,
    /// See [`pack`].
    codes: &'a [u8],
}

impl Block<'_> {
    /// # Safety
    /// The tiles have the block's height; the rows and panels lie inside of the product.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    unsafe fn panels(&self, panels: Range<usize>) {
        let mut sums = Sums([[[0; LANES]; ROWS]; 4]);
        let mut copy = [0; TILE];
        for p in panels.clone().step_by(2) {
            let two = p + 1 < panels.end;
            let last = [p, p + usize::from(two)].map(|p| self.last_tile(p, &mut copy));
            for r in (0..self.rows.len()).step_by(2 * self.height) {
                // SAFETY: the caller's promise.
                unsafe {
                    match (r + self.height < self.rows.len(), two) {
                        (true, true) => self.tiles::<2, 2>(r, p, last, &mut sums),
                        (true, false) => self.tiles::<2, 1>(r, p, last, &mut sums),
                        (false, true) => self.tiles::<1, 2>(r, p, last, &mut sums),
                        (false, false) => self.tiles::<1, 1>(r, p, last, &mut sums),
                    }
                }
            }
        }
    }

    /// The tile of panel `p`'s weights that is not whole: what follows it counts for nothing, as it meets
    /// zeros, but must exist. Where it does not, the tile goes to `copy`.
    fn last_tile(&self, p: usize, copy: &mut [i8; TILE]) -> *const i8 {
        let w = &self.g.w;
        let weights = &w.data[p * w.panel_len() + w.k / BYTES * TILE..];
        if weights.len() >= TILE {
            return weights.as_ptr();
        }
        copy[..weights.len()].copy_from_slice(weights);
        copy.as_ptr()
    }

    /// `A` tiles of the block's rows from `r` on and `W` panels from `p` on. Nothing is fetched ahead: the
    /// processor sees by itself how the weights go on.
    ///
    /// # Safety
    /// As [`panels`](Self::panels).
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    unsafe fn tiles<const A: usize, const W: usize>(
        &self,
        r: usize,
        p: usize,
        last: [*const i8; 2],
        sums: &mut Sums,
    ) {
        let Gemm { w, end, .. } = self.g;
        let count = self.rows.len();
        // Where each tile of rows starts.
        let starts = [r, r + self.height].map(|r| r.min(count - self.height));
        let mut codes = starts.map(|r| self.codes.as_ptr().wrapping_add(r * BYTES));
        let mut weights = [p, p + 1].map(|p| w.data.as_ptr().wrapping_add(p * w.panel_len()));
        // SAFETY: each tile is inside of the codes or of its panel, or was copied.
        unsafe {
            tile::zero();
            for _ in 0..w.k / BYTES {
                tile::multiply_add::<A, W>(codes, weights);
                codes = codes.map(|at| at.wrapping_add(count * BYTES));
                weights = weights.map(|at| at.wrapping_add(TILE));
            }
            if !w.k.is_multiple_of(BYTES) {
                tile::multiply_add::<A, W>(codes, last);
            }
            tile::store::<A, W>(&mut sums.0);
            for (i, start) in starts.into_iter().enumerate().take(A) {
                let first = r + i * self.height;
                for (j, sums) in sums.0[2 * i..].iter().enumerate().take(W) {
                    let sums = &sums[first - start..self.height];
                    finish(end, self.rows.start + first, (p + j) * LANES, sums);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn peak(steps: usize) -> usize {
    let mut products = 0;
    // SAFETY: this table exists only where there are tiles.
    unsafe {
        Shapes::new(ROWS).load();
        tile::multiply_add::<2, 2>([[1; TILE].as_ptr(); 2], [[1; TILE].as_ptr(); 2]);
        for _ in 0..steps {
            products += tile::multiply_add_registers();
        }
        tile::release();
    }
    products
}
