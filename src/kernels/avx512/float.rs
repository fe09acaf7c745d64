//! Float sums.

use core::arch::x86_64::*;

use crate::kernels::{LANES, scalar};

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn lanes(v: __m512) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    // SAFETY: 16 floats.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = _mm512_setzero_ps();
    for (a, b) in whole_a.zip(whole_b) {
        // SAFETY: chunks of 16.
        unsafe {
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr()), acc);
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [_mm512_setzero_ps(); R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        // SAFETY: 16 elements from i of each row and of x.
        unsafe {
            let x16 = _mm512_loadu_ps(x.as_ptr().add(i));
            for (j, acc) in acc.iter_mut().enumerate() {
                let row = w.as_ptr().add((r + j) * x.len() + i);
                *acc = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256(row.cast())), x16, *acc);
            }
        }
    }
    for (j, acc) in acc.into_iter().enumerate() {
        let row = &w[(r + j) * x.len()..][..x.len()];
        out[r + j] = scalar::finish_dot_f16(lanes(acc), &row[whole..], &x[whole..]);
    }
    R
}
