//! AVX-512 with VNNI: `vpdpbusd` adds four u8 x i8 products to an i32 without saturation, and
//! `vpdpwssd` two i16 x i16 products.

mod affinity;
mod depthwise;
mod float;
mod gemm;
mod lanes;

use core::arch::x86_64::*;

use super::{Isa, Kernels, LANES, scalar, vector};
use affinity::affinity;
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::{gemm, peak};
use lanes::F32x16;

static KERNELS: Kernels = Kernels {
    isa: Isa::Avx512,
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

vector::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", F32x16);

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma");
    has.then_some(&KERNELS)
}

/// The lanes of a panel from channel `n` that exist.
fn lanes_of(channels: usize, n: usize) -> u16 {
    u16::MAX >> (LANES - (channels - n).min(LANES))
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
