//! The cache's affinity.

use core::arch::aarch64::*;

use super::gemm::{fold, multiply_add_eight, multiply_add_four};
use super::{QUARTER, QUARTERS};
use crate::kernels::{KeyUnits, LANES, Query};
use crate::math;

#[target_feature(enable = "neon")]
pub(super) fn affinity(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let mut acc = [[vdupq_n_s32(0); 2 * QUARTERS]];
    let (codes, keys) = (q.codes.as_ptr().cast::<i32>(), panel.as_ptr());
    let fours = q.codes.len() / 4;
    // SAFETY: one group of 4 codes and of 64 key bytes for each of `fours`.
    unsafe {
        let code = |i| vreinterpretq_s8_s32(vdupq_n_s32(codes.add(i).read_unaligned()));
        for i in (1..fours).step_by(2) {
            let pair = [code(i - 1), code(i)];
            multiply_add_eight(&mut acc, [pair], keys.add(4 * LANES * (i - 1)));
        }
        if fours % 2 == 1 {
            let last = fours - 1;
            multiply_add_four(&mut acc, [code(last)], keys.add(4 * LANES * last));
        }
    }
    let [acc] = acc;
    finish_affinity(fold(acc), q, units, cos, aff);
}

#[inline]
#[target_feature(enable = "neon")]
pub(in crate::kernels) fn finish_affinity(
    dots: [int32x4_t; QUARTERS],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let beta = vdupq_n_f32(q.beta);
    for (j, dot) in dots.into_iter().enumerate() {
        let at = j * QUARTER;
        // SAFETY: 4 floats from at of arrays of 16.
        unsafe {
            let scale = vmulq_f32(vdupq_n_f32(q.scale), vld1q_f32(key_scale.as_ptr().add(at)));
            let base = vaddq_f32(vdupq_n_f32(q.base), vld1q_f32(key_bias.as_ptr().add(at)));
            let cosine = vfmaq_f32(base, vcvtq_f32_s32(dot), scale);
            vst1q_f32(cos.as_mut_ptr().add(at), cosine);
            let affinity = exp(vfmaq_f32(vnegq_f32(beta), beta, cosine));
            vst1q_f32(aff.as_mut_ptr().add(at), affinity);
        }
    }
}

/// [`math::exp`] in four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn exp(x: float32x4_t) -> float32x4_t {
    let set = |v| vdupq_n_f32(v);
    let t = vminnmq_f32(vmaxnmq_f32(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = vrndnq_f32(vmulq_f32(t, set(math::LOG2_E)));
    let r = vfmsq_f32(t, n, set(math::LN_2_HIGH));
    let r = vfmsq_f32(r, n, set(math::LN_2_LOW));
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = vfmaq_f32(set(*c), p, r);
    }
    let y = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), set(1.0));
    let power = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    let power = vreinterpretq_f32_s32(vshlq_n_s32::<23>(power));
    let inside = vcgeq_f32(x, set(math::EXP_MIN));
    vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(vmulq_f32(y, power))))
}
