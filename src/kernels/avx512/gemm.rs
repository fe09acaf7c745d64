//! Matrix products.

use core::arch::x86_64::*;
use core::ops::Range;

use super::lanes::F32x16;
use crate::kernels::vector::finish;
use crate::kernels::{Gemm, LANES};

/// Rows and panels of the largest tile: 24 sums, 2 weights and 1 input fill the 32 registers best.
const TILE_ROWS: usize = 12;
const TILE_PANELS: usize = 2;

/// A tile's sums, each row of a panel in a cache line.
#[repr(align(64))]
struct Sums([[[i32; LANES]; TILE_ROWS]; TILE_PANELS]);

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    let mut sums = Sums([[[0; LANES]; TILE_ROWS]; TILE_PANELS]);
    let mut r = rows.start;
    while r < rows.end {
        r += match rows.end - r {
            TILE_ROWS.. => row_block::<TILE_ROWS>(g, r, panels.clone(), &mut sums),
            4.. => row_block::<4>(g, r, panels.clone(), &mut sums),
            _ => row_block::<1>(g, r, panels.clone(), &mut sums),
        };
    }
}

/// `R` rows against the panels; returns `R`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn row_block<const R: usize>(g: &Gemm, r: usize, panels: Range<usize>, sums: &mut Sums) -> usize {
    for p in panels.clone().step_by(TILE_PANELS) {
        // SAFETY: rows r..r + R and the panels from p exist, see `Gemm::checked`.
        unsafe {
            if p + 1 < panels.end {
                tile::<R, 2>(g, r, p, sums);
                finish::<F32x16>(g, r, p + 1, &sums.0[1][..R], 0);
            } else {
                tile::<R, 1>(g, r, p, sums);
            }
            finish::<F32x16>(g, r, p, &sums.0[0][..R], 0);
        }
    }
    R
}

/// The integer sums of rows `r..r + R` and panels `p..p + P`.
///
/// # Safety
/// The rows and panels lie inside of `g`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn tile<const R: usize, const P: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let mut acc = [[_mm512_setzero_si512(); P]; R];
    let mut w = [_mm512_setzero_si512(); P];
    let panel = g.w.panel_len();
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of each panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * panel);
        for _ in 0..g.w.k / 4 {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(g.last_four(r + i));
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, acc) in acc.iter().enumerate() {
                _mm512_storeu_si512(sums.0[p][r].as_mut_ptr().cast(), *acc);
            }
        }
    }
}

/// Chains of the peak's loop.
const CHAINS: usize = TILE_ROWS * TILE_PANELS;

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
