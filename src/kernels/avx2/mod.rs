//! AVX2 with FMA and F16C; the integer products also with AVX-VNNI, which newer desktop processors
//! have instead of AVX-512.
//!
//! `vpmaddubsw` would add two u8 x i8 products in 16 bits and saturate, so without VNNI a matrix
//! product widens both sides and uses `vpmaddwd`, which is exact.

mod affinity;
mod depthwise;
mod float;
mod gemm;

use core::arch::x86_64::*;

use super::{Isa, Kernels, LANES, Requant};
use affinity::{affinity, affinity_vnni};
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::{gemm, gemm_vnni};

static KERNELS: Kernels =
    Kernels { isa: Isa::Avx2, gemm, depthwise, dot_f32, matvec_f16, affinity };

static KERNELS_VNNI: Kernels = Kernels { gemm: gemm_vnni, affinity: affinity_vnni, ..KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    detect_without_vnni()
        .map(|plain| if is_x86_feature_detected!("avxvnni") { &KERNELS_VNNI } else { plain })
}

/// The table of processors without AVX-VNNI: a test wants both.
pub(super) fn detect_without_vnni() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    has.then_some(&KERNELS)
}

/// Lanes of a register.
const HALF: usize = LANES / 2;

/// Four weights of each of a panel's channels (or keys).
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_panel(weights: *const i8) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.add(4 * HALF).cast())]
    }
}

/// The units of [`HALF`] output channels in registers.
struct Units {
    scale: __m256,
    bias: __m256,
    lo: __m256,
    hi: __m256,
}

impl Units {
    /// # Safety
    /// `q` holds [`HALF`] channels from `n`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Units {
                scale: _mm256_loadu_ps(q.scale.as_ptr().add(n)),
                bias: _mm256_loadu_ps(q.bias.as_ptr().add(n)),
                lo: _mm256_set1_ps(q.lo),
                hi: _mm256_set1_ps(q.hi),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn scaled(&self, sum: __m256i) -> __m256 {
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), self.scale, self.bias)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn clamped(&self, y: __m256) -> __m256 {
        _mm256_min_ps(_mm256_max_ps(y, self.lo), self.hi)
    }
}

/// Up to [`HALF`] u8 as i32.
///
/// # Safety
/// `count` codes can be read, at most [`HALF`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_codes(at: *const u8, count: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        if count == HALF {
            return _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()));
        }
        let mut codes = [0u8; HALF];
        core::ptr::copy_nonoverlapping(at, codes.as_mut_ptr(), count);
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(codes.as_ptr().cast()))
    }
}

/// Rounds half to even and stores the first `count` codes.
///
/// # Safety
/// `out` has room for `count` codes, at most [`HALF`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store_codes(y: __m256, out: *mut u8, count: usize) {
    let wide = _mm256_cvtps_epi32(y);
    let (low, high) = (_mm256_castsi256_si128(wide), _mm256_extracti128_si256::<1>(wide));
    let codes = _mm_packus_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    // SAFETY: the caller's promise.
    unsafe {
        if count == HALF {
            return _mm_storel_epi64(out.cast(), codes);
        }
        let mut bytes = [0u8; HALF];
        _mm_storel_epi64(bytes.as_mut_ptr().cast(), codes);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), out, count);
    }
}
