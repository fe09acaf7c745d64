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
mod order;
mod packed;
mod power;
mod results;
mod rounded;
mod rows;

use super::{Isa, Kernels, LANES, dots, end, scalar, vector};
use affinity::affinity;
pub(super) use affinity::finish_affinity;
pub(super) use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::gemm;
use lanes::F32x16;
pub(super) use packed::{Tile, Tiles};
pub(super) use results::{Results, bias, codes, four, quad, results, tokens};
use rows::{pack_key, quantize};

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
    dots_f32,
    matvec_f16,
    affinity,
    scratch: packed::scratch,
    ..scalar::KERNELS
};

vector::stamp!(few "neon", F32x16);
dots::stamp!("neon", F32x16, 3, 2);
end::stamp!("neon", F32x16, 1);

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(&KERNELS)
}

/// Registers of four i32 lanes in a panel.
pub(super) const QUARTERS: usize = 4;
/// Lanes of one.
pub(super) const QUARTER: usize = LANES / QUARTERS;
