//! Matrix products.

use core::arch::x86_64::*;
use core::ops::Range;

use super::{F32x16, finish};
use crate::kernels::end::{Plain, is_plain, is_small};
use crate::kernels::lanes::Lanes;
use crate::kernels::tiles::{Ahead, Parts, blocks, last_fours};
use crate::kernels::{Gemm, LANES};

/// Rows of the largest tile of two panels: 24 sums, 2 weights and 1 input fill the 32 registers best.
const ROWS: usize = 12;
/// Rows of the largest tile of four panels.
const FEW_ROWS: usize = 6;
const PANELS: usize = 4;

/// A tile's sums, each row of a panel in a cache line.
#[repr(align(64))]
struct Sums([[[i32; LANES]; ROWS]; PANELS]);

/// The rows from `r` and the panels from `p`, while its part of what comes next is fetched. Codes are made of
/// the sums without a way through memory where that `is_plain`, otherwise they are left in `sums`.
type Tile =
    unsafe fn(g: &Gemm, r: usize, p: usize, ahead: &mut Ahead, is_plain: bool, sums: &mut Sums);

/// Tiles by their rows, from 1 on.
static ONE_PANEL: [Tile; ROWS] = [
    tile::<1, 1>,
    tile::<2, 1>,
    tile::<3, 1>,
    tile::<4, 1>,
    tile::<5, 1>,
    tile::<6, 1>,
    tile::<7, 1>,
    tile::<8, 1>,
    tile::<9, 1>,
    tile::<10, 1>,
    tile::<11, 1>,
    tile::<12, 1>,
];
static TWO_PANELS: [Tile; ROWS] = [
    tile::<1, 2>,
    tile::<2, 2>,
    tile::<3, 2>,
    tile::<4, 2>,
    tile::<5, 2>,
    tile::<6, 2>,
    tile::<7, 2>,
    tile::<8, 2>,
    tile::<9, 2>,
    tile::<10, 2>,
    tile::<11, 2>,
    tile::<12, 2>,
];
static FOUR_PANELS: [Tile; FEW_ROWS] =
    [tile::<1, 4>, tile::<2, 4>, tile::<3, 4>, tile::<4, 4>, tile::<5, 4>, tile::<6, 4>];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(in crate::kernels) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    let mut sums = Sums([[[0; LANES]; ROWS]; PANELS]);
    // Whole panels whose codes are made of the sums in registers.
    let is_plain = is_plain(&g.end) && is_small(&g.end, g.w.k * 255 * 128);
    let plain = if is_plain { g.end.n / LANES } else { 0 };
    for block in blocks(g, rows) {
        let few = block.len() <= FEW_ROWS;
        let parts = Parts::new(block, ROWS);
        let mut p = panels.start;
        while p < panels.end {
            let (width, tiles): (_, &[Tile]) = match panels.end - p {
                4.. if few => (4, &FOUR_PANELS),
                2.. => (2, &TWO_PANELS),
                _ => (1, &ONE_PANEL),
            };
            let is_plain = p + width <= plain;
            let mut ahead = Ahead::new(g, p..p + width, parts.len());
            for part in parts.clone() {
                // SAFETY: the rows and panels exist, see `Gemm::checked`.
                unsafe {
                    tiles[part.len() - 1](g, part.start, p, &mut ahead, is_plain, &mut sums);
                    if is_plain {
                        continue;
                    }
                    for (i, sums) in sums.0.iter().enumerate().take(width) {
                        finish(&g.end, part.start, (p + i) * LANES, &sums[..part.len()]);
                    }
                }
            }
            p += width;
        }
    }
}

/// [`Tile`] of `R` rows and `P` panels.
///
/// # Safety
/// The rows and panels lie inside of `g`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn tile<const R: usize, const P: usize>(
    g: &Gemm,
    r: usize,
    p: usize,
    ahead: &mut Ahead,
    is_plain: bool,
    sums: &mut Sums,
) {
    let last = last_fours::<R>(g, r);
    let mut acc = [[_mm512_setzero_si512(); P]; R];
    let mut w = [_mm512_setzero_si512(); P];
    let panel = g.w.panel_len();
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of each panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * panel);
        let mut next = *ahead;
        for _ in 0..g.w.k / 4 {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            next.fetch();
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        *ahead = next;
        if !g.w.k.is_multiple_of(4) {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (acc, four) in acc.iter_mut().zip(last) {
                let four = _mm512_set1_epi32(four);
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
        }
        if is_plain {
            for i in 0..P {
                let plain = Plain::<F32x16>::of_whole(&g.end, r, (p + i) * LANES);
                let mut reals = [F32x16::splat(0.0); R];
                for (reals, acc) in reals.iter_mut().zip(acc) {
                    *reals = F32x16(_mm512_cvtepi32_ps(acc[i]));
                }
                plain.store::<true, R>(0, reals);
            }
            return;
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, acc) in acc.iter().enumerate() {
                _mm512_storeu_si512(sums.0[p][r].as_mut_ptr().cast(), *acc);
            }
        }
    }
}

/// Chains of the peak's loop.
const CHAINS: usize = 24;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn peak(steps: usize) -> usize {
    let mut acc = [_mm512_setzero_si512(); CHAINS];
    let [a, b] = core::hint::black_box([_mm512_set1_epi8(3), _mm512_set1_epi8(5)]);
    for _ in 0..steps {
        for acc in &mut acc {
            *acc = _mm512_dpbusd_epi32(*acc, a, b);
        }
    }
    core::hint::black_box(acc);
    steps * CHAINS * 4 * LANES
}
