//! Float sums.

use core::arch::aarch64::*;

use super::{QUARTER, QUARTERS};
use crate::kernels::{LANES, scalar};

#[inline]
#[target_feature(enable = "neon")]
fn lanes(v: [float32x4_t; QUARTERS]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (v, lanes) in v.into_iter().zip(lanes.chunks_exact_mut(QUARTER)) {
        // SAFETY: 4 floats.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), v) };
    }
    lanes
}

#[target_feature(enable = "neon")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = [vdupq_n_f32(0.0); QUARTERS];
    for (a, b) in whole_a.zip(whole_b) {
        for (j, acc) in acc.iter_mut().enumerate() {
            // SAFETY: 4 of 16 floats.
            unsafe {
                let (a, b) = (a.as_ptr().add(j * QUARTER), b.as_ptr().add(j * QUARTER));
                *acc = vfmaq_f32(*acc, vld1q_f32(a), vld1q_f32(b));
            }
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [[vdupq_n_f32(0.0); QUARTERS]; R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for j in 0..QUARTERS {
            // SAFETY: 4 elements from i + 4 j of each row and of x.
            unsafe {
                let at = i + j * QUARTER;
                let x4 = vld1q_f32(x.as_ptr().add(at));
                for (row, acc) in acc.iter_mut().enumerate() {
                    let four = vld1_u16(w.as_ptr().add((r + row) * x.len() + at));
                    let four = vcvt_f32_f16(vreinterpret_f16_u16(four));
                    acc[j] = vfmaq_f32(acc[j], four, x4);
                }
            }
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        let rest = &w[(r + row) * x.len()..][..x.len()][whole..];
        out[r + row] = scalar::finish_dot_f16(lanes(acc), rest, &x[whole..]);
    }
    R
}
