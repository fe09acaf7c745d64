//! The cache's affinity.

use core::arch::x86_64::*;

use crate::kernels::{KeyUnits, LANES, Query};
use crate::math;

/// Bytes of keys that caches hold. Of more, those to come are fetched: by itself many a processor looks no
/// further than to the end of a page.
const CACHES: usize = 32 << 20;
/// Bytes from what is read to what is fetched.
const AHEAD: usize = 2048;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn affinity(
    panel: &[i8],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let acc = match q.keys > CACHES {
        true => products::<true>(panel, q.codes),
        false => products::<false>(panel, q.codes),
    };
    let codes_sum: i32 = q.codes.iter().map(|&c| c as i32).sum();
    let dot = _mm512_add_epi32(
        _mm512_add_epi32(acc[0], acc[1]),
        _mm512_sub_epi32(_mm512_add_epi32(acc[2], acc[3]), _mm512_set1_epi32(128 * codes_sum)),
    );
    // SAFETY: 16 floats each.
    unsafe {
        let scale = _mm512_mul_ps(_mm512_set1_ps(q.scale), _mm512_loadu_ps(key_scale.as_ptr()));
        let base = _mm512_add_ps(_mm512_set1_ps(q.base), _mm512_loadu_ps(key_bias.as_ptr()));
        let cosine = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, base);
        let beta = _mm512_set1_ps(q.beta);
        _mm512_storeu_ps(cos.as_mut_ptr(), cosine);
        _mm512_storeu_ps(aff.as_mut_ptr(), exp(_mm512_fmsub_ps(beta, cosine, beta)));
    }
}

/// Products of the codes with each key of the panel, plus 128 times the sum of the codes, in four parts.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn products<const FETCH: bool>(panel: &[i8], codes: &[i8]) -> [__m512i; 4] {
    // The product wants unsigned times signed: key + 128 is unsigned (its sign bit flipped), and
    // 128 times the sum of the codes is taken off in the end.
    let flip = _mm512_set1_epi8(i8::MIN);
    let mut acc = [_mm512_setzero_si512(); 4];
    let fours = codes.len() / 4;
    let (codes, keys) = (codes.as_ptr(), panel.as_ptr());
    // SAFETY: one group of 4 codes and of 64 key bytes for each i; a prefetch touches nothing.
    let step = |i: usize, acc: &mut __m512i| unsafe {
        let key = _mm512_loadu_si512(keys.add(64 * i).cast());
        if FETCH {
            _mm_prefetch::<_MM_HINT_T1>(keys.wrapping_add(64 * i + AHEAD));
        }
        let code = _mm512_set1_epi32(codes.add(4 * i).cast::<i32>().read_unaligned());
        *acc = _mm512_dpbusd_epi32(*acc, _mm512_xor_si512(key, flip), code);
    };
    let whole = fours / 4 * 4;
    for i in (0..whole).step_by(4) {
        for (j, acc) in acc.iter_mut().enumerate() {
            step(i + j, acc);
        }
    }
    for i in whole..fours {
        step(i, &mut acc[0]);
    }
    acc
}

/// [`math::exp`] in 16 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn exp(x: __m512) -> __m512 {
    let set = |v| _mm512_set1_ps(v);
    let t = _mm512_min_ps(_mm512_max_ps(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(_mm512_mul_ps(t, set(math::LOG2_E)));
    let r = _mm512_fnmadd_ps(n, set(math::LN_2_HIGH), t);
    let r = _mm512_fnmadd_ps(n, set(math::LN_2_LOW), r);
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = _mm512_fmadd_ps(p, r, set(*c));
    }
    let y = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), set(1.0));
    let power = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(power));
    let inside = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, set(math::EXP_MIN));
    _mm512_maskz_mul_ps(inside, y, power)
}
