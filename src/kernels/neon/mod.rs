//! 64-bit ARM without dot products, such as Cortex-A53 and A72.
//!
//! There are products of i8 with i8 only, so activations have 128 taken off (their sign bit flipped)
//! and every sum gets 128 times the sum of its weights back. Two i8 products are added in 16 bits
//! (2 * 128 * 127 fits), then pairs of these in 32 bits.

mod affinity;
mod depthwise;
mod float;
mod gemm;
mod lanes;

use core::arch::aarch64::*;

use super::{Isa, Kernels, LANES, scalar, vector};
use affinity::affinity;
pub(super) use affinity::finish_affinity;
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
pub(super) use gemm::ROWS_AT_ONCE;
use gemm::gemm;
pub(super) use lanes::F32x16;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Neon,
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
    ..scalar::KERNELS
};

vector::stamp!("neon", F32x16);

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(&KERNELS)
}

/// Registers of four i32 lanes in a panel.
pub(super) const QUARTERS: usize = 4;
/// Lanes of one.
pub(super) const QUARTER: usize = LANES / QUARTERS;

/// Four u8 less 128, four times over.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn centred_four(four: i32) -> int8x16_t {
    veorq_s8(vreinterpretq_s8_s32(vdupq_n_s32(four)), vdupq_n_s8(i8::MIN))
}
