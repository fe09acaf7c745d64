//! 64-bit ARM without dot products, such as Cortex-A53 and A72.
//!
//! There are products of i8 with i8 only, so activations have 128 taken off (their sign bit flipped)
//! and every sum gets 128 times the sum of its weights back. Two i8 products are added in 16 bits
//! (2 * 128 * 127 fits), then pairs of these in 32 bits.

mod affinity;
mod depthwise;
mod float;
mod gemm;

use core::arch::aarch64::*;

use super::{Isa, Kernels, LANES, Requant};
use affinity::affinity;
pub(super) use affinity::finish_affinity;
use depthwise::depthwise;
use float::{dot_f32, matvec_f16};
use gemm::gemm;
pub(super) use gemm::{ROWS_AT_ONCE, finish, offsets};

pub(super) static KERNELS: Kernels =
    Kernels { isa: Isa::Neon, gemm, depthwise, dot_f32, matvec_f16, affinity };

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

/// The units of `N` times four output channels in registers.
struct Units<const N: usize> {
    scale: [float32x4_t; N],
    bias: [float32x4_t; N],
    lo: float32x4_t,
    hi: float32x4_t,
}

impl<const N: usize> Units<N> {
    /// # Safety
    /// `q` holds these channels from `n`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        let (lo, hi) = (vdupq_n_f32(q.lo), vdupq_n_f32(q.hi));
        let mut units = Units { scale: [lo; N], bias: [lo; N], lo, hi };
        for j in 0..N {
            // SAFETY: the caller's promise.
            unsafe {
                units.scale[j] = vld1q_f32(q.scale.as_ptr().add(n + j * QUARTER));
                units.bias[j] = vld1q_f32(q.bias.as_ptr().add(n + j * QUARTER));
            }
        }
        units
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn scaled(&self, j: usize, sum: int32x4_t) -> float32x4_t {
        vfmaq_f32(self.bias[j], vcvtq_f32_s32(sum), self.scale[j])
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn clamped(&self, y: float32x4_t) -> float32x4_t {
        vminnmq_f32(vmaxnmq_f32(y, self.lo), self.hi)
    }
}

/// Copies the codes that have a place; whole groups without a call.
#[inline(always)]
fn store<const N: usize>(codes: &[u8; N], out: &mut [u8]) {
    match out.first_chunk_mut::<N>() {
        Some(out) => *out = *codes,
        None => out.copy_from_slice(&codes[..out.len()]),
    }
}

/// Up to [`LANES`] u8 as f32.
#[inline]
#[target_feature(enable = "neon")]
fn load_codes(codes: &[u8]) -> [float32x4_t; QUARTERS] {
    let mut padded = [0; LANES];
    match codes.first_chunk::<LANES>() {
        Some(codes) => padded = *codes,
        None => padded[..codes.len()].copy_from_slice(codes),
    }
    // SAFETY: 16 bytes.
    let codes = unsafe { vld1q_u8(padded.as_ptr()) };
    let (low, high) = (vmovl_u8(vget_low_u8(codes)), vmovl_high_u8(codes));
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
        vcvtq_f32_u32(vmovl_high_u16(low)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
        vcvtq_f32_u32(vmovl_high_u16(high)),
    ]
}

/// Eight values in 0..=255, rounded half to even.
#[inline]
#[target_feature(enable = "neon")]
fn round_codes(low: float32x4_t, high: float32x4_t) -> uint8x8_t {
    let (low, high) = (vcvtnq_u32_f32(low), vcvtnq_u32_f32(high));
    vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)))
}
