//! AVX-512 with VNNI: `vpdpbusd` adds four u8 x i8 products to an i32 without saturation, and
//! `vpdpwssd` two i16 x i16 products.

mod affinity;
mod depthwise;
mod float;
mod gemm;

use core::arch::x86_64::*;

use super::{Isa, Kernels, LANES, Requant};
use affinity::affinity;
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::gemm;

static KERNELS: Kernels =
    Kernels { isa: Isa::Avx512, gemm, depthwise, dot_f32, matvec_f16, affinity };

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma");
    has.then_some(&KERNELS)
}

/// [`LANES`] output channels' units in registers.
struct Units {
    scale: __m512,
    bias: __m512,
    lo: __m512,
    hi: __m512,
}

impl Units {
    /// # Safety
    /// `q` holds [`LANES`] channels from `n`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Units {
                scale: _mm512_loadu_ps(q.scale.as_ptr().add(n)),
                bias: _mm512_loadu_ps(q.bias.as_ptr().add(n)),
                lo: _mm512_set1_ps(q.lo),
                hi: _mm512_set1_ps(q.hi),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn scaled(&self, sum: __m512i) -> __m512 {
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), self.scale, self.bias)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn clamped(&self, y: __m512) -> __m512 {
        _mm512_min_ps(_mm512_max_ps(y, self.lo), self.hi)
    }
}

/// The lanes of a panel from channel `n` that exist.
fn lanes_of(channels: usize, n: usize) -> u16 {
    u16::MAX >> (LANES - (channels - n).min(LANES))
}

/// Rounds half to even and stores the `lanes` that exist.
///
/// # Safety
/// `out` has room for these lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn store_codes(y: __m512, lanes: u16, out: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { _mm_mask_storeu_epi8(out.cast(), lanes, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(y))) }
}

/// Up to 16 u8 as i32.
///
/// # Safety
/// The `lanes` lie at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn load_codes(lanes: u16, at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, at.cast())) }
}
