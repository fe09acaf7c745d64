//! Matrix products.

use core::arch::x86_64::*;

use super::{Units, lanes_of, store_codes};
use crate::kernels::{Gemm, LANES, Sink};

/// Rows and panels of the largest tile: 24 sums, 2 weights and 1 input fill the 32 registers best.
const TILE_ROWS: usize = 12;
const TILE_PANELS: usize = 2;

/// A tile's sums, each row of a panel in a cache line.
#[repr(align(64))]
struct Sums([[[i32; LANES]; TILE_ROWS]; TILE_PANELS]);

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn gemm(g: &Gemm, mut sink: Sink) {
    let mut sums = Sums([[[0; LANES]; TILE_ROWS]; TILE_PANELS]);
    let mut r = 0;
    while r < g.rows {
        r += match g.rows - r {
            TILE_ROWS.. => row_block::<TILE_ROWS>(g, r, &mut sums, &mut sink),
            4.. => row_block::<4>(g, r, &mut sums, &mut sink),
            _ => row_block::<1>(g, r, &mut sums, &mut sink),
        };
    }
}

/// `R` rows against every panel; returns `R`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn row_block<const R: usize>(g: &Gemm, r: usize, sums: &mut Sums, sink: &mut Sink) -> usize {
    let panels = g.w.n.div_ceil(LANES);
    for p in (0..panels).step_by(TILE_PANELS) {
        // SAFETY: rows r..r + R and the panels from p exist, see `Gemm::checked`.
        unsafe {
            if p + 1 < panels {
                tile::<R, 2>(g, r, p, sums);
                finish(g, r, p + 1, &sums.0[1][..R], sink);
            } else {
                tile::<R, 1>(g, r, p, sums);
            }
            finish(g, r, p, &sums.0[0][..R], sink);
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
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * panel);
        for _ in 0..g.w.k / 4 {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(a.add(r * g.lda).cast::<i32>().read_unaligned());
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

/// Activations of the sums of rows from `r` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`, and `sink` fits it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn finish(g: &Gemm, r: usize, p: usize, sums: &[[i32; LANES]], sink: &mut Sink) {
    let n = p * LANES;
    let lanes = lanes_of(g.w.n, n);
    // SAFETY: masked loads and stores touch the channels that exist, of rows that exist.
    unsafe {
        let units = Units::load(&g.q, n);
        match sink {
            Sink::Codes(out, residual) => {
                let mut at = r * g.w.n + n;
                for sums in sums {
                    let mut y = units.scaled(_mm512_loadu_si512(sums.as_ptr().cast()));
                    if let Some(res) = residual {
                        let codes = _mm_maskz_loadu_epi8(lanes, res.data.as_ptr().add(at).cast());
                        let codes = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
                        y = _mm512_fmadd_ps(codes, _mm512_set1_ps(res.scale), y);
                    }
                    store_codes(units.clamped(y), lanes, out.as_mut_ptr().add(at));
                    at += g.w.n;
                }
            }
            Sink::Sums(out) => {
                let out = out.as_mut_ptr().add(n);
                let mut total = _mm512_maskz_loadu_ps(lanes, out);
                for sums in sums {
                    let y = units.scaled(_mm512_loadu_si512(sums.as_ptr().cast()));
                    total = _mm512_add_ps(total, units.clamped(y));
                }
                _mm512_mask_storeu_ps(out, lanes, total);
            }
        }
    }
}
