//! AVX2 with FMA and F16C, and the same with AVX-VNNI, which newer desktop processors have instead of
//! AVX-512.
//!
//! Without VNNI products are made by `vpmaddubsw`, which saturates; weights are split where it would.

mod affinity;
mod float;
mod gemm;
mod lanes;
mod pairs;
mod split;

use core::arch::x86_64::*;

use super::{Isa, Kernels, LANES, depthwise, dots, end, scalar, vector};
use affinity::{affinity, affinity_vnni};
use float::{dot_f32, matvec_f16};
use gemm::{gemm, gemm_vnni, peak, peak_vnni};
use lanes::F32x16;
pub(super) use lanes::{load_row, store_row};
use pairs::I16x32;
use split::scratch;

static KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
    gemm,
    scratch,
    depthwise,
    quantize,
    normalize,
    softmax,
    scale_codes,
    pack_key,
    pack_values,
    dot_f32,
    dots_f32,
    matvec_f16,
    affinity,
    peak,
};

vector::stamp!("avx2,fma,f16c", F32x16);
dots::stamp!("avx2,fma,f16c", F32x16, 3, 2);
end::stamp!("avx2,fma,f16c", F32x16, 2);
depthwise::stamp!("avx2,fma,f16c", I16x32, 4);

static KERNELS_VNNI: Kernels = Kernels {
    isa: Isa::AvxVnni,
    gemm: gemm_vnni,
    scratch: scalar::KERNELS.scratch,
    affinity: affinity_vnni,
    peak: peak_vnni,
    ..KERNELS
};

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    has.then_some(&KERNELS)
}

pub(super) fn detect_vnni() -> Option<&'static Kernels> {
    detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(|_| &KERNELS_VNNI)
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
