//! Float sums.

use core::arch::x86_64::*;

use super::HALF;
use crate::kernels::{LANES, scalar};

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn lanes(v: [__m256; 2]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    // SAFETY: twice 8 floats.
    unsafe {
        _mm256_storeu_ps(lanes.as_mut_ptr(), v[0]);
        _mm256_storeu_ps(lanes.as_mut_ptr().add(HALF), v[1]);
    }
    lanes
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = [_mm256_setzero_ps(); 2];
    for (a, b) in whole_a.zip(whole_b) {
        for (half, acc) in acc.iter_mut().enumerate() {
            // SAFETY: 8 floats from 0 or 8 of chunks of 16.
            unsafe {
                let (a, b) = (a.as_ptr().add(half * HALF), b.as_ptr().add(half * HALF));
                *acc = _mm256_fmadd_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), *acc);
            }
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn matvec_f16(w: &[u16], x: &[f32], out: &mut [f32]) {
    let mut r = 0;
    while r < out.len() {
        // SAFETY: the rows exist.
        r += unsafe {
            match out.len() - r {
                4.. => dot_rows::<4>(w, x, r, out),
                _ => dot_rows::<1>(w, x, r, out),
            }
        };
    }
}

/// `R` rows at once, so that their chains of additions overlap; returns `R`.
///
/// # Safety
/// `w` and `out` hold rows `r..r + R`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for half in 0..2 {
            // SAFETY: 8 elements from i or i + 8 of each row and of x.
            unsafe {
                let at = i + half * HALF;
                let x8 = _mm256_loadu_ps(x.as_ptr().add(at));
                for (j, acc) in acc.iter_mut().enumerate() {
                    let row = w.as_ptr().add((r + j) * x.len() + at);
                    let row = _mm256_cvtph_ps(_mm_loadu_si128(row.cast()));
                    acc[half] = _mm256_fmadd_ps(row, x8, acc[half]);
                }
            }
        }
    }
    for (j, acc) in acc.into_iter().enumerate() {
        let row = &w[(r + j) * x.len()..][..x.len()];
        out[r + j] = scalar::finish_dot_f16(lanes(acc), &row[whole..], &x[whole..]);
    }
    R
}
