//! AVX-512 with VNNI: `vpdpbusd` adds four u8 x i8 products to an i32 without saturation, and
//! `vpdpwssd` two i16 x i16 products.

mod affinity;
mod float;
mod gemm;
mod lanes;
mod pairs;
mod vbmi;

use super::{Isa, Kernels, depthwise, dots, end, scalar, vector};
use affinity::affinity;
use float::{dot_f32, matvec_f16};
pub(super) use gemm::gemm;
use gemm::peak;
use lanes::F32x16;
use pairs::I16x32;

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
depthwise::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", I16x32, 8);

pub(super) static KERNELS_VBMI: Kernels = Kernels { depthwise: vbmi::depthwise, ..KERNELS };

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
        && is_x86_feature_detected!("fma");
    has.then_some(&KERNELS)
}
