//! AVX2 with FMA and F16C; the integer products also with AVX-VNNI, which newer desktop processors
//! have instead of AVX-512.
//!
//! `vpmaddubsw` would add two u8 x i8 products in 16 bits and saturate, so without VNNI a matrix
//! product widens both sides and uses `vpmaddwd`, which is exact.

mod affinity;
mod depthwise;
mod float;
mod gemm;
mod lanes;

use core::arch::x86_64::*;

use super::{Isa, Kernels, LANES, scalar, vector};
use affinity::{affinity, affinity_vnni};
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::{gemm, gemm_vnni, peak, peak_vnni};
use lanes::F32x16;

static KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
    gemm,
    depthwise,
    quantize,
    normalize,
    softmax,
    scale_codes,
    pack_key,
    pack_values,
    dot_f32,
    matvec_f16,
    affinity,
    peak,
    ..scalar::KERNELS
};

vector::stamp!("avx2,fma,f16c", F32x16);

static KERNELS_VNNI: Kernels = Kernels { gemm: gemm_vnni, affinity: affinity_vnni, peak: peak_vnni, ..KERNELS };

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
