//! Matrix products.

use core::arch::x86_64::*;
use core::ops::Range;

use super::{HALF, finish, load_panel};
use crate::kernels::tiles::{Parts, blocks, last_fours};
use crate::kernels::{Gemm, LANES};

/// Rows of the largest tile, which is one panel wide: 12 registers of sums either way.
const ROWS: usize = 3;
const ROWS_VNNI: usize = 6;

/// A tile's sums.
#[repr(align(32))]
struct Sums([[i32; LANES]; ROWS_VNNI]);

/// The sums of the rows from `r` on and panel `p`.
type Tile = unsafe fn(g: &Gemm, r: usize, p: usize, sums: &mut Sums);

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    by_tiles(g, rows, panels, &[tile::<1>, tile::<2>, tile::<ROWS>]);
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn gemm_vnni(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    let tiles: [Tile; ROWS_VNNI] = [
        tile_vnni::<1>,
        tile_vnni::<2>,
        tile_vnni::<3>,
        tile_vnni::<4>,
        tile_vnni::<5>,
        tile_vnni::<ROWS_VNNI>,
    ];
    by_tiles(g, rows, panels, &tiles);
}

/// Runs the tiles, of which there is one for each number of rows from 1 on.
#[target_feature(enable = "avx2,fma,f16c")]
fn by_tiles(g: &Gemm, rows: Range<usize>, panels: Range<usize>, tiles: &[Tile]) {
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    for block in blocks(g, rows) {
        let parts = Parts::new(block, tiles.len());
        for p in panels.clone() {
            for part in parts.clone() {
                // SAFETY: the rows and the panel exist, see `Gemm::checked`; the caller has what the
                // tiles want of the processor.
                unsafe {
                    tiles[part.len() - 1](g, part.start, p, &mut sums);
                    finish(&g.end, part.start, p * LANES, &sums.0[..part.len()], 0);
                }
            }
        }
    }
}

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let last = last_fours::<R>(g, r);
    // Register j of a row holds channels 4j..4j + 4, two sums each.
    let mut acc = [[_mm256_setzero_si256(); 4]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let mut fours = [_mm256_setzero_si256(); R];
            for (r, four) in fours.iter_mut().enumerate() {
                *four = widen_four(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
            }
            multiply_add(&mut acc, fours, weights);
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut fours = [_mm256_setzero_si256(); R];
            for (four, last) in fours.iter_mut().zip(last) {
                *four = widen_four(last);
            }
            multiply_add(&mut acc, fours, weights);
        }
        for (acc, sums) in acc.iter().zip(&mut sums.0) {
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
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tile_vnni<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let last = last_fours::<R>(g, r);
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: as in `tile`.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let w = load_panel(weights);
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for (acc, four) in acc.iter_mut().zip(last) {
                let four = _mm256_set1_epi32(four);
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
        }
        for (acc, sums) in acc.iter().zip(&mut sums.0) {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), acc[0]);
            _mm256_storeu_si256(sums.as_mut_ptr().add(HALF).cast(), acc[1]);
        }
    }
}

/// Chains of the peaks' loops.
const CHAINS: usize = 12;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn peak(steps: usize) -> usize {
    let mut acc = [_mm256_setzero_si256(); CHAINS];
    let b = core::hint::black_box(_mm256_set1_epi16(5));
    for _ in 0..steps {
        for acc in &mut acc {
            *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(*acc, b));
        }
    }
    core::hint::black_box(acc);
    steps * CHAINS * 2 * HALF
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn peak_vnni(steps: usize) -> usize {
    let mut acc = [_mm256_setzero_si256(); CHAINS];
    let [a, b] = core::hint::black_box([_mm256_set1_epi8(3), _mm256_set1_epi8(5)]);
    for _ in 0..steps {
        for acc in &mut acc {
            *acc = _mm256_dpbusd_avx_epi32(*acc, a, b);
        }
    }
    core::hint::black_box(acc);
    steps * CHAINS * 4 * HALF
}
