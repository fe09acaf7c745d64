//! The cache's affinity.

use core::arch::x86_64::*;

use super::{HALF, load_panel};
use crate::kernels::{KeyUnits, LANES, Query};
use crate::math;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn affinity(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // |code| times the key with the code's sign: two such products fit 16 bits.
    let ones = _mm256_set1_epi16(1);
    let mut dots = [_mm256_setzero_si256(); 2];
    for (code, keys) in q.codes.chunks_exact(4).zip(panel.chunks_exact(4 * LANES)) {
        // SAFETY: chunks of 4 codes and 64 key bytes.
        let (code, keys) =
            unsafe { (code.as_ptr().cast::<i32>().read_unaligned(), load_panel(keys.as_ptr())) };
        let code = _mm256_set1_epi32(code);
        let size = _mm256_abs_epi8(code);
        for (dot, keys) in dots.iter_mut().zip(keys) {
            let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(keys, code));
            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(pairs, ones));
        }
    }
    finish_affinity(dots, q, units, cos, aff);
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn affinity_vnni(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // The product wants unsigned times signed: key + 128 is unsigned (its sign bit flipped), and
    // 128 times the sum of the codes is taken off again.
    let flip = _mm256_set1_epi8(i8::MIN);
    let codes_sum: i32 = q.codes.iter().map(|&c| c as i32).sum();
    // Two chains for each half, even and odd groups of four.
    let mut chains = [[_mm256_set1_epi32(-128 * codes_sum); 2], [_mm256_setzero_si256(); 2]];
    for (code, keys) in q.codes.chunks_exact(4).zip(panel.chunks_exact(4 * LANES)) {
        // SAFETY: chunks of 4 codes and 64 key bytes.
        let (code, keys) =
            unsafe { (code.as_ptr().cast::<i32>().read_unaligned(), load_panel(keys.as_ptr())) };
        let code = _mm256_set1_epi32(code);
        let [dots, other] = chains;
        let mut next = dots;
        for (dot, keys) in next.iter_mut().zip(keys) {
            *dot = _mm256_dpbusd_avx_epi32(*dot, _mm256_xor_si256(keys, flip), code);
        }
        chains = [other, next];
    }
    let [even, odd] = chains;
    let dots = [_mm256_add_epi32(even[0], odd[0]), _mm256_add_epi32(even[1], odd[1])];
    finish_affinity(dots, q, units, cos, aff);
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish_affinity(
    dots: [__m256i; 2],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let beta = _mm256_set1_ps(q.beta);
    for (half, dot) in dots.into_iter().enumerate() {
        let at = half * HALF;
        // SAFETY: 8 floats from 0 or 8 of arrays of 16.
        unsafe {
            let scale = _mm256_loadu_ps(key_scale.as_ptr().add(at));
            let scale = _mm256_mul_ps(_mm256_set1_ps(q.scale), scale);
            let bias = _mm256_loadu_ps(key_bias.as_ptr().add(at));
            let base = _mm256_add_ps(_mm256_set1_ps(q.base), bias);
            let cosine = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, base);
            _mm256_storeu_ps(cos.as_mut_ptr().add(at), cosine);
            let affinity = exp(_mm256_fmsub_ps(beta, cosine, beta));
            _mm256_storeu_ps(aff.as_mut_ptr().add(at), affinity);
        }
    }
}

/// [`math::exp`] in 8 lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exp(x: __m256) -> __m256 {
    let set = |v| _mm256_set1_ps(v);
    let t = _mm256_min_ps(_mm256_max_ps(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = _mm256_mul_ps(t, set(math::LOG2_E));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(n);
    let r = _mm256_fnmadd_ps(n, set(math::LN_2_HIGH), t);
    let r = _mm256_fnmadd_ps(n, set(math::LN_2_LOW), r);
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = _mm256_fmadd_ps(p, r, set(*c));
    }
    let y = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), set(1.0));
    let power = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(power));
    let inside = _mm256_cmp_ps::<_CMP_GE_OQ>(x, set(math::EXP_MIN));
    _mm256_and_ps(inside, _mm256_mul_ps(y, power))
}
