//! Matrix products.

use core::arch::x86_64::*;

use super::{HALF, Units, load_codes, load_panel, store_codes};
use crate::kernels::{Gemm, LANES, Sink};

/// Rows of the largest tile, which is one panel wide: 12 registers of sums either way.
const TILE_ROWS: usize = 3;
const TILE_ROWS_VNNI: usize = 6;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gemm(g: &Gemm, mut sink: Sink) {
    let mut r = 0;
    while r < g.rows {
        let rows = if g.rows - r < TILE_ROWS { 1 } else { TILE_ROWS };
        for p in 0..g.w.n.div_ceil(LANES) {
            let mut sums = [[0; LANES]; TILE_ROWS];
            // SAFETY: rows r..r + rows and panel p exist, see `Gemm::checked`.
            unsafe {
                match rows {
                    TILE_ROWS => tile::<TILE_ROWS>(g, r, p, &mut sums),
                    _ => tile::<1>(g, r, p, &mut sums),
                }
                finish(g, r, p, &sums[..rows], &mut sink);
            }
        }
        r += rows;
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn gemm_vnni(g: &Gemm, mut sink: Sink) {
    let mut r = 0;
    while r < g.rows {
        let rows = match g.rows - r {
            TILE_ROWS_VNNI.. => TILE_ROWS_VNNI,
            4.. => 4,
            _ => 1,
        };
        for p in 0..g.w.n.div_ceil(LANES) {
            let mut sums = [[0; LANES]; TILE_ROWS_VNNI];
            // SAFETY: rows r..r + rows and panel p exist, see `Gemm::checked`.
            unsafe {
                match rows {
                    TILE_ROWS_VNNI => tile_vnni::<TILE_ROWS_VNNI>(g, r, p, &mut sums),
                    4 => tile_vnni::<4>(g, r, p, &mut sums),
                    _ => tile_vnni::<1>(g, r, p, &mut sums),
                }
                finish(g, r, p, &sums[..rows], &mut sink);
            }
        }
        r += rows;
    }
}

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut [[i32; LANES]; TILE_ROWS]) {
    // Register j of a row holds channels 4j..4j + 4, two sums each.
    let mut acc = [[_mm256_setzero_si256(); 4]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let mut fours = [_mm256_setzero_si256(); R];
            for (r, four) in fours.iter_mut().enumerate() {
                *four = widen_four(a.add(r * g.lda).cast::<i32>().read_unaligned());
            }
            multiply_add(&mut acc, fours, weights);
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut fours = [_mm256_setzero_si256(); R];
            for (i, four) in fours.iter_mut().enumerate() {
                *four = widen_four(g.last_four(r + i));
            }
            multiply_add(&mut acc, fours, weights);
        }
        for (acc, sums) in acc.iter().zip(sums) {
            for half in 0..2 {
                let both = _mm256_hadd_epi32(acc[2 * half], acc[2 * half + 1]);
                let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
                _mm256_storeu_si256(sums.as_mut_ptr().add(half * HALF).cast(), both);
            }
        }
    }
}

/// Four u8 as i16, four times over.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_four(four: i32) -> __m256i {
    _mm256_cvtepu8_epi16(_mm_set1_epi32(four))
}

/// Adds the products of four inputs of `R` rows and the 64 `weights` of a panel.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_add<const R: usize>(
    acc: &mut [[__m256i; 4]; R],
    fours: [__m256i; R],
    weights: *const i8,
) {
    for j in 0..4 {
        // SAFETY: the caller's promise.
        let w = unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(16 * j).cast())) };
        for (acc, four) in acc.iter_mut().zip(fours) {
            acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(four, w));
        }
    }
}

/// [`tile`] with `vpdpbusd`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tile_vnni<const R: usize>(
    g: &Gemm,
    r: usize,
    p: usize,
    sums: &mut [[i32; LANES]; TILE_ROWS_VNNI],
) {
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: as in `tile`.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let w = load_panel(weights);
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(a.add(r * g.lda).cast::<i32>().read_unaligned());
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for (i, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(g.last_four(r + i));
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
        }
        for (acc, sums) in acc.iter().zip(sums) {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), acc[0]);
            _mm256_storeu_si256(sums.as_mut_ptr().add(HALF).cast(), acc[1]);
        }
    }
}

/// Activations of the sums of rows from `r` and panel `p`, half a panel at a time.
///
/// # Safety
/// The rows and the panel lie inside of `g`, and `sink` fits it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn finish(g: &Gemm, r: usize, p: usize, sums: &[[i32; LANES]], sink: &mut Sink) {
    for half in 0..2 {
        let n = p * LANES + half * HALF;
        if n >= g.w.n {
            return;
        }
        let count = (g.w.n - n).min(HALF);
        // SAFETY: scale and bias are padded to whole panels; the `count` channels exist, of rows
        // that exist.
        unsafe {
            let units = Units::load(&g.q, n);
            match sink {
                Sink::Codes(out, residual) => {
                    let mut at = r * g.w.n + n;
                    for sums in sums {
                        let sums = sums.as_ptr().add(half * HALF).cast();
                        let mut y = units.scaled(_mm256_loadu_si256(sums));
                        if let Some(res) = residual {
                            let codes = load_codes(res.data.as_ptr().add(at), count);
                            let codes = _mm256_cvtepi32_ps(codes);
                            y = _mm256_fmadd_ps(codes, _mm256_set1_ps(res.scale), y);
                        }
                        store_codes(units.clamped(y), out.as_mut_ptr().add(at), count);
                        at += g.w.n;
                    }
                }
                Sink::Sums(out) => {
                    let mut total = [0.0; HALF];
                    total[..count].copy_from_slice(&out[n..][..count]);
                    let mut acc = _mm256_loadu_ps(total.as_ptr());
                    for sums in sums {
                        let sums = sums.as_ptr().add(half * HALF).cast();
                        let y = units.scaled(_mm256_loadu_si256(sums));
                        acc = _mm256_add_ps(acc, units.clamped(y));
                    }
                    _mm256_storeu_ps(total.as_mut_ptr(), acc);
                    out[n..][..count].copy_from_slice(&total[..count]);
                }
            }
        }
    }
}
