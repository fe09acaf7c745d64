//! Matrix products.

use core::arch::asm;
use core::arch::x86_64::*;
use core::ops::Range;

use super::split::Split;
use super::{HALF, finish, load_panel};
use crate::kernels::tiles::{Ahead, Parts, blocks, last_fours};
use crate::kernels::{Gemm, LANES};

/// Rows of the largest tile, which is one panel wide.
const ROWS: usize = 5;
const ROWS_VNNI: usize = 6;
/// Rows for which it is not worth while to split the weights.
const FEW_ROWS: usize = 4;

/// A tile's sums.
#[repr(align(32))]
struct Sums([[i32; LANES]; ROWS_VNNI]);

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    if rows.len() <= FEW_ROWS {
        gemm_few(g, rows, panels);
    } else if Ahead::pays(g) {
        gemm_split::<true>(g, rows, panels, scratch);
    } else {
        gemm_split::<false>(g, rows, panels, scratch);
    }
}

/// [`gemm`] with weights split.
#[target_feature(enable = "avx2,fma,f16c")]
fn gemm_split<const FETCH: bool>(
    g: &Gemm,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &mut [u8],
) {
    let tiles = [
        tile::<1, FETCH>,
        tile::<2, FETCH>,
        tile::<3, FETCH>,
        tile::<4, FETCH>,
        tile::<ROWS, FETCH>,
    ];
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    let mut split = Split::new(g.w.k, scratch);
    for block in blocks(g, rows) {
        split.look_at(g, block.clone());
        let parts = Parts::new(block, ROWS);
        for p in panels.clone() {
            split.take(g, p);
            let mut ahead = Ahead::new(g, p..p + 1, parts.len());
            for part in parts.clone() {
                // SAFETY: the rows and the panel exist, see `Gemm::checked`; the panel was split for them.
                unsafe {
                    tiles[part.len() - 1](g, part.start, &split, &mut ahead, &mut sums);
                    finish(&g.end, part.start, p * LANES, &sums.0[..part.len()]);
                }
            }
        }
    }
}

/// [`gemm`] with weights as they are.
#[target_feature(enable = "avx2,fma,f16c")]
fn gemm_few(g: &Gemm, rows: Range<usize>, panels: Range<usize>) {
    let tiles = [tile_few::<1>, tile_few::<2>, tile_few::<3>, tile_few::<FEW_ROWS>];
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    for part in Parts::new(rows, FEW_ROWS) {
        for p in panels.clone() {
            // SAFETY: the rows and the panel exist, see `Gemm::checked`.
            unsafe {
                tiles[part.len() - 1](g, part.start, p, &mut sums);
                finish(&g.end, part.start, p * LANES, &sums.0[..part.len()]);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn gemm_vnni(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    if Ahead::pays(g) {
        gemm_vnni_as::<true>(g, rows, panels);
    } else {
        gemm_vnni_as::<false>(g, rows, panels);
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn gemm_vnni_as<const FETCH: bool>(g: &Gemm, rows: Range<usize>, panels: Range<usize>) {
    let tiles = [
        tile_vnni::<1, FETCH>,
        tile_vnni::<2, FETCH>,
        tile_vnni::<3, FETCH>,
        tile_vnni::<4, FETCH>,
        tile_vnni::<5, FETCH>,
        tile_vnni::<ROWS_VNNI, FETCH>,
    ];
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    for block in blocks(g, rows) {
        let parts = Parts::new(block, tiles.len());
        for p in panels.clone() {
            let mut ahead = Ahead::new(g, p..p + 1, parts.len());
            for part in parts.clone() {
                // SAFETY: the rows and the panel exist, see `Gemm::checked`.
                unsafe {
                    tiles[part.len() - 1](g, part.start, p, &mut ahead, &mut sums);
                    finish(&g.end, part.start, p * LANES, &sums.0[..part.len()]);
                }
            }
        }
    }
}

/// Adds the products of four inputs of a row with the weights of half a panel, of which no pair
/// [saturates](super::split).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_add(acc: &mut __m256i, four: __m256i, w: __m256i) {
    let pairs = _mm256_maddubs_epi16(four, w);
    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// What 128 takes off the sums of each channel of panel `p`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn offset(g: &Gemm, p: usize) -> [__m256i; 2] {
    let sums = &g.w.sums[p * LANES..][..LANES];
    let half = |h: usize| {
        // SAFETY: eight i32 are read.
        _mm256_slli_epi32::<7>(unsafe { _mm256_loadu_si256(sums[h * HALF..].as_ptr().cast()) })
    };
    [half(0), half(1)]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store(acc: &[[__m256i; 2]], sums: &mut Sums) {
    for (acc, sums) in acc.iter().zip(&mut sums.0) {
        // SAFETY: a row of sums is two registers long.
        unsafe {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), acc[0]);
            _mm256_storeu_si256(sums.as_mut_ptr().add(HALF).cast(), acc[1]);
        }
    }
}

/// The integer sums of rows `r..r + R` and a panel.
///
/// # Safety
/// The rows lie inside of `g`, whose panel was split for them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize, const FETCH: bool>(
    g: &Gemm,
    r: usize,
    split: &Split,
    ahead: &mut Ahead,
    sums: &mut Sums,
) {
    let last = last_fours::<R>(g, r);
    let whole = g.w.k / 4;
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row; as many groups of weights (and one for a
    // last incomplete one) inside of the first part; the second's are at such groups.
    unsafe {
        let codes = g.a.codes.as_ptr().add(r * g.a.stride);
        let four = |a: *const u8, r: usize| {
            _mm256_set1_epi32(a.add(r * g.a.stride).cast::<i32>().read_unaligned())
        };
        let mut a = codes;
        let mut weights = split.kept.as_ptr().cast::<i8>();
        let mut next = *ahead;
        for _ in 0..whole {
            let w = load_panel(weights);
            if FETCH {
                next.fetch();
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = four(a, r);
                multiply_add(&mut acc[0], four, w[0]);
                multiply_add(&mut acc[1], four, w[1]);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if FETCH {
            *ahead = next;
        }
        for half in 0..2 {
            let mut taken = split.taken[half].as_ptr();
            for place in &split.places[half][..split.counts[half]] {
                let a = codes.add(u32::from_le_bytes(*place) as usize);
                let w = _mm256_loadu_si256(taken.cast());
                for (r, acc) in acc.iter_mut().enumerate() {
                    multiply_add(&mut acc[half], four(a, r), w);
                }
                taken = taken.add(1);
            }
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for half in 0..2 {
                let taken = _mm256_loadu_si256(split.taken[half][whole].as_ptr().cast());
                for (acc, four) in acc.iter_mut().zip(last) {
                    let four = _mm256_set1_epi32(four);
                    multiply_add(&mut acc[half], four, w[half]);
                    multiply_add(&mut acc[half], four, taken);
                }
            }
        }
    }
    store(&acc, sums);
}

/// The integer sums of rows `r..r + R` and panel `p`. 128 is taken off the codes, the weights are multiplied
/// with their distance from 0, their signs turned where a code is negative, and 128 times the sum of the
/// weights is added. Of a pair of products `vpmaddubsw` makes 16 bits: 128 times 127, twice, is 32,512.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile_few<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let last = last_fours::<R>(g, r);
    let mut acc = [offset(g, p); R];
    let step = |acc: &mut [__m256i; 2], four: i32, w: [__m256i; 2]| {
        let signed = _mm256_set1_epi32(four ^ i32::from_ne_bytes([128; 4]));
        let distance = _mm256_abs_epi8(signed);
        for (acc, w) in acc.iter_mut().zip(w) {
            multiply_add(acc, distance, _mm256_sign_epi8(w, signed));
        }
    };
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let w = load_panel(weights);
            for (r, acc) in acc.iter_mut().enumerate() {
                step(acc, a.add(r * g.a.stride).cast::<i32>().read_unaligned(), w);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for (acc, four) in acc.iter_mut().zip(last) {
                step(acc, four, w);
            }
        }
    }
    store(&acc, sums);
}

/// The integer sums of rows `r..r + R` and panel `p`, with `vpdpbusd`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tile_vnni<const R: usize, const FETCH: bool>(
    g: &Gemm,
    r: usize,
    p: usize,
    ahead: &mut Ahead,
    sums: &mut Sums,
) {
    let last = last_fours::<R>(g, r);
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.codes.as_ptr().add(r * g.a.stride);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        let mut next = *ahead;
        for _ in 0..g.w.k / 4 {
            let w = load_panel(weights);
            if FETCH {
                next.fetch();
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(a.add(r * g.a.stride).cast::<i32>().read_unaligned());
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if FETCH {
            *ahead = next;
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for (acc, four) in acc.iter_mut().zip(last) {
                let four = _mm256_set1_epi32(four);
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
        }
    }
    store(&acc, sums);
}

/// Chains of the peaks' loops.
const CHAINS: usize = 12;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn peak(steps: usize) -> usize {
    let mut acc = [_mm256_setzero_si256(); CHAINS];
    let [mut code, w] = [_mm256_set1_epi8(3), _mm256_set1_epi8(5)];
    for _ in 0..steps {
        for acc in &mut acc {
            // SAFETY: no instruction; the compiler takes the code for another one, or it would multiply once.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) code, options(pure, nomem, nostack, preserves_flags));
            }
            multiply_add(acc, code, w);
        }
    }
    core::hint::black_box(acc);
    steps * CHAINS * 4 * HALF
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
