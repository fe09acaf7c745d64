//! AVX-512 with VNNI: `vpdpbusd` adds four u8 x i8 products to an i32 without saturation.

mod affinity;
mod float;
mod gemm;
mod lanes;
mod taps;

use super::{Isa, Kernels, avx2, dots, end, scalar, vector};
use affinity::affinity;
use float::{dot_f32, matvec_f16};
pub(super) use gemm::gemm;
use gemm::peak;
use lanes::F32x16;
use taps::{depthwise, depthwise_vbmi};

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
    dots_f32,
    matvec_f16,
    affinity,
    peak,
    ..scalar::KERNELS
};

vector::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", F32x16);
dots::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", F32x16, 4, 4);
end::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", F32x16, 4);

pub(super) static KERNELS_VBMI: Kernels = Kernels { depthwise: depthwise_vbmi, ..KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    detect_without_vbmi()
        .map(|plain| if is_x86_feature_detected!("avx512vbmi") { &KERNELS_VBMI } else { plain })
}

/// The table of processors without VBMI: a test wants both.
pub(super) fn detect_without_vbmi() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && avx2::detect().is_some();
    has.then_some(&KERNELS)
}
