//! [`Lanes`] in four registers.

use core::arch::aarch64::*;

use super::{QUARTER, QUARTERS, power, rounded};
use crate::kernels::end::{self, Plain};
use crate::kernels::lanes::Lanes;
use crate::kernels::{End, LANES};

#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x16(pub(in crate::kernels) [float32x4_t; QUARTERS]);

/// The same on each register. Not a closure: that would be a function of its own, which is slow where
/// it is not inlined.
macro_rules! each {
    (|$($x:ident),+| $e:expr) => {{
        // SAFETY: every 64-bit ARM processor that runs this program has NEON, and the instruction
        // touches registers only.
        unsafe {
            F32x16([
                { $(let $x = $x.0[0];)+ $e },
                { $(let $x = $x.0[1];)+ $e },
                { $(let $x = $x.0[2];)+ $e },
                { $(let $x = $x.0[3];)+ $e },
            ])
        }
    }};
}

/// A byte of each lane of four registers.
#[inline]
#[target_feature(enable = "neon")]
fn bytes([a, b, c, d]: [uint32x4_t; QUARTERS]) -> uint8x16_t {
    let low = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    let high = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high))
}

/// Lanes without what is behind the point, what lies outside of a byte at its ends: the highest bytes of what
/// is 2^24 times as much.
#[inline]
#[target_feature(enable = "neon")]
fn cut(x: F32x16) -> uint8x16_t {
    let [a, b, c, d] = x.0;
    let (a, b) = (vcvtq_n_u32_f32::<24>(a), vcvtq_n_u32_f32::<24>(b));
    let (c, d) = (vcvtq_n_u32_f32::<24>(c), vcvtq_n_u32_f32::<24>(d));
    let low = vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    let high = vuzp2q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    vuzp2q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high))
}

/// Lanes in -127..=127, rounded half to even.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn signed(x: F32x16) -> int8x16_t {
    let [a, b, c, d] = x.0;
    let [a, b] = [vcvtnq_s32_f32(a), vcvtnq_s32_f32(b)];
    let [c, d] = [vcvtnq_s32_f32(c), vcvtnq_s32_f32(d)];
    let low = vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
    let high = vuzp1q_s16(vreinterpretq_s16_s32(c), vreinterpretq_s16_s32(d));
    vuzp1q_s8(vreinterpretq_s8_s16(low), vreinterpretq_s8_s16(high))
}

/// [`Lanes::total`].
#[inline]
#[target_feature(enable = "neon")]
fn total(codes: &[u8]) -> u32 {
    /// So many registers of pairs add up in 16 bits.
    const AT_ONCE: usize = 128;
    let (whole, rest) = codes.as_chunks::<16>();
    let mut total: u32 = rest.iter().map(|code| u32::from(*code)).sum();
    for registers in whole.chunks(AT_ONCE) {
        let mut pairs = vdupq_n_u16(0);
        for codes in registers {
            // SAFETY: 16 codes.
            pairs = vpadalq_u8(pairs, unsafe { vld1q_u8(codes.as_ptr()) });
        }
        total += vaddlvq_u16(pairs);
    }
    total
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
        unsafe {
            F32x16([
                vld1q_f32(at),
                vld1q_f32(at.add(QUARTER)),
                vld1q_f32(at.add(2 * QUARTER)),
                vld1q_f32(at.add(3 * QUARTER)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        let [a, b, c, d] = self.0;
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_f32(at, a);
            vst1q_f32(at.add(QUARTER), b);
            vst1q_f32(at.add(2 * QUARTER), c);
            vst1q_f32(at.add(3 * QUARTER), d);
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
        let [a, b, c, d] = self.0;
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b] = [vcvtnq_u32_f32(a), vcvtnq_u32_f32(b)];
            vst1q_u8(at, bytes([a, b, vcvtnq_u32_f32(c), vcvtnq_u32_f32(d)]));
        }
    }

    #[inline(always)]
    unsafe fn load_sums(sums: *const i32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let s = vld1q_s32_x4(sums);
            F32x16([vcvtq_f32_s32(s.0), vcvtq_f32_s32(s.1), vcvtq_f32_s32(s.2), vcvtq_f32_s32(s.3)])
        }
    }

    #[inline(always)]
    unsafe fn load_sums_less(sums: *const i32, columns: *const i32, zero: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut s, w, zero) = (vld1q_s32_x4(sums), vld1q_s32_x4(columns), i32::from(zero));
            s.0 = vmlsq_n_s32(s.0, w.0, zero);
            s.1 = vmlsq_n_s32(s.1, w.1, zero);
            s.2 = vmlsq_n_s32(s.2, w.2, zero);
            s.3 = vmlsq_n_s32(s.3, w.3, zero);
            F32x16([vcvtq_f32_s32(s.0), vcvtq_f32_s32(s.1), vcvtq_f32_s32(s.2), vcvtq_f32_s32(s.3)])
        }
    }

    #[inline(always)]
    unsafe fn store_fours(fours: [Self; 4], at: *mut i8) {
        let [a, b, c, d] = fours;
        // SAFETY: the caller's promise.
        unsafe { vst4q_s8(at, int8x16x4_t(signed(a), signed(b), signed(c), signed(d))) }
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
    fn times_power_of_two(self, n: Self) -> Self {
        let y = self;
        each!(|y, n| {
            let power = vshlq_n_u32::<23>(vcvtnq_u32_f32(n));
            vmulq_f32(y, vreinterpretq_f32_u32(power))
        })
    }

    #[inline(always)]
    unsafe fn store_sums(sums: &[[i32; LANES]], plain: &Plain<Self>) {
        // SAFETY: the caller's promise; a row is whole.
        unsafe {
            if plain.count == LANES {
                rounded::store_sums(sums, plain);
            } else {
                end::store_sums(sums, plain);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_cut(self, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_u8(at, cut(self)) };
    }

    #[inline(always)]
    unsafe fn store_scaled(self, factor: Self, summand: *const f32, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { rounded::store_scaled(self, factor.0[0], summand, at) };
    }

    #[inline(always)]
    fn one_and_power<const N: usize>(u: [Self; N]) -> [Self; N] {
        let mut powers = u;
        for u in &mut powers {
            // SAFETY: as in `each`.
            *u = unsafe { power::one_and_power(*u) };
        }
        powers
    }

    #[inline(always)]
    unsafe fn store_probability(self, greatest: Self, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { power::store_probability(self, greatest, at) };
    }

    #[inline(always)]
    unsafe fn swish_tokens(end: &End, r: usize, n: usize, sums: &[[i32; LANES]], c: f32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { power::swish_tokens(end, r, n, sums, c) };
        true
    }

    #[inline(always)]
    fn total(codes: &[u8]) -> u32 {
        // SAFETY: as in `each`.
        unsafe { total(codes) }
    }

    #[inline(always)]
    fn to_signed(self) -> [i8; LANES] {
        let mut codes = [0; LANES];
        // SAFETY: LANES codes.
        unsafe { vst1q_s8(codes.as_mut_ptr(), signed(self)) };
        codes
    }

    #[inline(always)]
    fn greatest(self, least: f32) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: as in `each`.
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a, b), vmaxnmq_f32(c, d))).max(least) }
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: as in `each`.
        unsafe {
            let fours = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            vpadds_f32(vadd_f32(vget_low_f32(fours), vget_high_f32(fours)))
        }
    }
}
