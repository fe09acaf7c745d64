//! Matrix products.

use core::arch::asm;
use core::arch::x86_64::*;
use core::ops::Range;

use super::{HALF, finish, load_panel};
use crate::kernels::tiles::{Parts, blocks, last_fours};
use crate::kernels::{Gemm, LANES};

/// Rows of the largest tile, which is one panel wide.
const ROWS: usize = 5;
const ROWS_VNNI: usize = 6;
/// Rows that are prepared at once.
const BLOCK: usize = 60;

/// A tile's sums.
#[repr(align(32))]
struct Sums([[i32; LANES]; ROWS_VNNI]);

/// Bytes of scratch for products over `k` inputs: a block of prepared rows.
pub(super) fn scratch(k: usize) -> usize {
    BLOCK * prepared_len(k)
}

fn prepared_len(k: usize) -> usize {
    2 * k.next_multiple_of(4)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, scratch: &mut [u8]) {
    let tiles = [tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<ROWS>];
    let len = prepared_len(g.w.k);
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    for block in Parts::new(rows, BLOCK) {
        for (r, out) in block.clone().zip(scratch.chunks_exact_mut(len.max(1))) {
            prepare(g, r, out);
        }
        let parts = Parts::new(0..block.len(), ROWS);
        for p in panels.clone() {
            for part in parts.clone() {
                let own = &scratch[part.start * len..part.end * len];
                // SAFETY: the panel and the rows exist, see `Gemm::checked`; the rows were prepared.
                unsafe {
                    tiles[part.len() - 1](g, own, p, &mut sums);
                    let first = block.start + part.start;
                    finish(&g.end, first, p * LANES, &sums.0[..part.len()]);
                }
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn gemm_vnni(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    let tiles = [
        tile_vnni::<1>,
        tile_vnni::<2>,
        tile_vnni::<3>,
        tile_vnni::<4>,
        tile_vnni::<5>,
        tile_vnni::<ROWS_VNNI>,
    ];
    let mut sums = Sums([[0; LANES]; ROWS_VNNI]);
    for block in blocks(g, rows) {
        let parts = Parts::new(block, tiles.len());
        for p in panels.clone() {
            for part in parts.clone() {
                // SAFETY: the rows and the panel exist, see `Gemm::checked`.
                unsafe {
                    tiles[part.len() - 1](g, part.start, p, &mut sums);
                    finish(&g.end, part.start, p * LANES, &sums.0[..part.len()]);
                }
            }
        }
    }
}

/// A code less 128, which is signed, and how far it is from 0.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn centred(codes: __m256i) -> [__m256i; 2] {
    let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    [_mm256_abs_epi8(signed), signed]
}

/// Row `r` as its tiles read it: distances from 128 of four codes, then the signed codes, in turn. What
/// stands behind the last code meets weights that are 0.
#[target_feature(enable = "avx2,fma,f16c")]
fn prepare(g: &Gemm, r: usize, out: &mut [u8]) {
    let row = &g.a.codes[r * g.a.stride..][..g.w.k];
    let (wholes, rest) = row.as_chunks::<32>();
    let (outs, last) = out.split_at_mut(64 * wholes.len());
    for (codes, out) in wholes.iter().zip(outs.as_chunks_mut::<64>().0) {
        // SAFETY: 32 bytes are read, twice 32 written.
        unsafe {
            let [distance, signed] = centred(_mm256_loadu_si256(codes.as_ptr().cast()));
            let low = _mm256_unpacklo_epi32(distance, signed);
            let high = _mm256_unpackhi_epi32(distance, signed);
            let first = _mm256_permute2x128_si256::<0x20>(low, high);
            let second = _mm256_permute2x128_si256::<0x31>(low, high);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), first);
            _mm256_storeu_si256(out.as_mut_ptr().add(32).cast(), second);
        }
    }
    let (fours, rest) = rest.as_chunks::<4>();
    let last_four = (!rest.is_empty()).then(|| g.last_four(r));
    let fours = fours.iter().map(|four| i32::from_le_bytes(*four)).chain(last_four);
    for (four, out) in fours.zip(last.as_chunks_mut::<8>().0) {
        let [distance, signed] = centred(_mm256_castsi128_si256(_mm_cvtsi32_si128(four)));
        let both = _mm256_castsi256_si128(_mm256_unpacklo_epi32(distance, signed));
        *out = _mm_cvtsi128_si64(both).to_le_bytes();
    }
}

/// Adds the products of four inputs of a row (as [`centred`]) with the 64 weights of a panel. Of a pair of
/// products `vpmaddubsw` makes 16 bits: 128 times 127, twice, is 32,512.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_add(acc: &mut [__m256i; 2], [distance, signed]: [__m256i; 2], w: [__m256i; 2]) {
    for (acc, w) in acc.iter_mut().zip(w) {
        let pairs = _mm256_maddubs_epi16(distance, _mm256_sign_epi8(w, signed));
        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
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

/// The integer sums of `R` prepared rows and panel `p`.
///
/// # Safety
/// The panel lies inside of `g`; `rows` are of its length.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize>(g: &Gemm, rows: &[u8], p: usize, sums: &mut Sums) {
    let len = prepared_len(g.w.k);
    let mut acc = [offset(g, p); R];
    // SAFETY: each group of 4 inputs has 8 bytes in a row and 64 weights in the panel.
    unsafe {
        let mut a = rows.as_ptr();
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k.div_ceil(4) {
            let w = load_panel(weights);
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = a.add(r * len).cast::<i32>();
                let broadcast = |i: usize| _mm256_set1_epi32(four.add(i).read_unaligned());
                multiply_add(acc, [broadcast(0), broadcast(1)], w);
            }
            a = a.add(8);
            weights = weights.add(4 * LANES);
        }
    }
    store(&acc, sums);
}

/// The integer sums of rows `r..r + R` and panel `p`, with `vpdpbusd`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tile_vnni<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let last = last_fours::<R>(g, r);
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
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
    }
    store(&acc, sums);
}

/// Chains of the peaks' loops.
const CHAINS: usize = 12;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn peak(steps: usize) -> usize {
    let mut acc = [[_mm256_setzero_si256(); 2]; CHAINS / 2];
    let [mut code, w] = [_mm256_set1_epi8(3), _mm256_set1_epi8(5)];
    for _ in 0..steps {
        for acc in &mut acc {
            // SAFETY: no instruction; the compiler takes the code for another one, or it would multiply once.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) code, options(pure, nomem, nostack, preserves_flags));
            }
            multiply_add(acc, [code, code], [w, code]);
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
