//! The cache's affinity.

use core::arch::aarch64::*;

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

/// Register i of a row holds two sums each of channels 2i and 2i + 1.
type Partial = [int32x4_t; 2 * QUARTERS];

/// Adds the products of eight inputs of `R` rows and two groups of 64 weights.
///
/// # Safety
/// 128 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_add_eight<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [[int8x16_t; 2]; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { [vld1q_s8(weights.add(16 * j)), vld1q_s8(weights.add(64 + 16 * j))] };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            let low = vmull_s8(vget_low_s8(w[0]), vget_low_s8(a[0]));
            let low = vmlal_s8(low, vget_low_s8(w[1]), vget_low_s8(a[1]));
            acc[2 * j] = vpadalq_s16(acc[2 * j], low);
            let high = vmlal_high_s8(vmull_high_s8(w[0], a[0]), w[1], a[1]);
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], high);
        }
    }
}

/// Adds the products of four inputs of `R` rows and 64 weights.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_add_four<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [int8x16_t; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { vld1q_s8(weights.add(16 * j)) };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            acc[2 * j] = vpadalq_s16(acc[2 * j], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], vmull_high_s8(w, a));
        }
    }
}

/// The sums of the panel's channels in their order.
#[inline]
#[target_feature(enable = "neon")]
fn fold(acc: Partial) -> [int32x4_t; QUARTERS] {
    [
        vpaddq_s32(acc[0], acc[1]),
        vpaddq_s32(acc[2], acc[3]),
        vpaddq_s32(acc[4], acc[5]),
        vpaddq_s32(acc[6], acc[7]),
    ]
}
