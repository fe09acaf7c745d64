//! [`Lanes`] in four registers.

use core::arch::aarch64::*;

use super::{QUARTER, QUARTERS};
use crate::kernels::lanes::Lanes;

#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x16(pub(in crate::kernels) [float32x4_t; QUARTERS]);

/// The same instruction on each register.
macro_rules! each {
    (|$($x:ident),+| $e:expr) => {{
        // SAFETY: every 64-bit ARM processor that runs this program has NEON, and the instruction
        // touches registers only.
        unsafe {
            let one = |j: usize| { $(let $x = $x.0[j];)+ $e };
            F32x16([one(0), one(1), one(2), one(3)])
        }
    }};
}

impl Lanes for F32x16 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: as in `each`.
        F32x16(unsafe { [vdupq_n_f32(x); QUARTERS] })
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller's promise.
        let one = |j: usize| unsafe { vld1q_f32(at.add(j * QUARTER)) };
        F32x16([one(0), one(1), one(2), one(3)])
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        for (j, lanes) in self.0.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vst1q_f32(at.add(j * QUARTER), lanes) }
        }
    }

    #[inline(always)]
    unsafe fn load_codes(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let codes = vld1q_u8(at);
            let (low, high) = (vmovl_u8(vget_low_u8(codes)), vmovl_high_u8(codes));
            F32x16([
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
                vcvtq_f32_u32(vmovl_high_u16(low)),
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
                vcvtq_f32_u32(vmovl_high_u16(high)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b, c, d] = self.0.map(|lanes| vcvtnq_u32_f32(lanes));
            let low = vmovn_high_u32(vmovn_u32(a), b);
            let high = vmovn_high_u32(vmovn_u32(c), d);
            vst1q_u8(at, vmovn_high_u16(vmovn_u16(low), high));
        }
    }

    #[inline(always)]
    unsafe fn load_sums(sums: *const i32, columns: *const i32, factor: i32) -> Self {
        // SAFETY: the caller's promise.
        let one = |j: usize| unsafe {
            let mut sums = vld1q_s32(sums.add(j * QUARTER));
            if factor != 0 {
                sums = vmlaq_n_s32(sums, vld1q_s32(columns.add(j * QUARTER)), factor);
            }
            vcvtq_f32_s32(sums)
        };
        F32x16([one(0), one(1), one(2), one(3)])
    }

    #[inline(always)]
    unsafe fn store_fours(fours: [Self; 4], at: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = |four: Self| {
                let [a, b, c, d] = four.0.map(|lanes| vcvtnq_s32_f32(lanes));
                let low = vmovn_high_s32(vmovn_s32(a), b);
                let high = vmovn_high_s32(vmovn_s32(c), d);
                vmovn_high_s16(vmovn_s16(low), high)
            };
            let [a, b, c, d] = fours;
            vst4q_s8(at, int8x16x4_t(bytes(a), bytes(b), bytes(c), bytes(d)));
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        let a = self;
        each!(|a, b, c| vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vmaxnmq_f32(a, b))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let (a, b) = (self, other);
        each!(|a, b| vminnmq_f32(a, b))
    }

    #[inline(always)]
    fn round(self) -> Self {
        let a = self;
        each!(|a| vrndnq_f32(a))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        let a = self;
        each!(|a| {
            let exponent = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        })
    }

    #[inline(always)]
    fn where_at_least(self, x: Self, limit: f32) -> Self {
        let a = self;
        each!(|a, x| {
            let inside = vcgeq_f32(x, vdupq_n_f32(limit));
            vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(a)))
        })
    }
}
