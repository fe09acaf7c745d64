//! [`Taps`] of 8 bits in one register, four kernel rows side by side: `vpdpbusd` adds four products at once.

use core::arch::asm;
use core::arch::x86_64::*;

use super::{F32x16, finish};
use crate::kernels::depthwise::{self as kind, Taps, Words};
use crate::kernels::{Depthwise, LANES, avx2};

mod plain {
    use super::*;

    kind::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,fma", Fours<false>, 8);
}

/// What all but the first processors with VNNI have.
mod vbmi {
    use super::*;

    kind::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,fma", Fours<true>, 8);
}

macro_rules! or_pairs {
    ($name:ident, $features:literal, $fours:path) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name(d: &Depthwise, image: &[u8], first: usize, out: &mut [u8]) {
            if d.are_bytes {
                $fours(d, image, first, out);
            } else {
                avx2::depthwise(d, image, first, out);
            }
        }
    };
}

or_pairs!(depthwise, "avx512f,avx512bw,avx512vl,avx512vnni,fma", plain::depthwise);
or_pairs!(depthwise_vbmi, "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,fma", vbmi::depthwise);

/// `VBMI`: whether any bytes of a register can be put side by side at once.
#[derive(Clone, Copy)]
struct Fours<const VBMI: bool>(__m512i);

/// One instruction on registers.
macro_rules! instruction {
    ($e:expr) => {
        // SAFETY: a value of this type exists or is made only below this module's table of kernels
        // (see `Taps`), so the processor has the instruction; memory that it touches is borrowed.
        Fours(unsafe { $e })
    };
}

impl<const VBMI: bool> Taps for Fours<VBMI> {
    const ROWS: usize = 4;
    const SLOW: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        instruction!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn load(words: &Words) -> Self {
        instruction!(_mm512_load_si512(words.0.as_ptr().cast()))
    }

    #[inline(always)]
    fn lay(self, words: &mut Words) {
        // SAFETY: LANES words; for the instruction see above.
        unsafe { _mm512_store_si512(words.0.as_mut_ptr().cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn load_codes(pixels: &[*const u8], c: usize) -> Self {
        // SAFETY: the caller's promise; the processor has VBMI where the type says so.
        unsafe {
            let codes = |row: usize| _mm_loadu_si128(pixels[row].add(c).cast());
            if VBMI && pixels.len() > 1 {
                // A pixel in each quarter, then byte l of each in lane l.
                let mut all = _mm512_zextsi128_si512(codes(0));
                all = _mm512_mask_broadcast_i32x4(all, 0x00f0, codes(1));
                if pixels.len() > 2 {
                    all = _mm512_mask_broadcast_i32x4(all, 0x0f00, codes(2));
                }
                if pixels.len() > 3 {
                    all = _mm512_mask_broadcast_i32x4(all, 0xf000, codes(3));
                }
                let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
                return Fours(_mm512_permutexvar_epi8(order, all));
            }
            let lanes = |row: usize| _mm512_cvtepu8_epi32(codes(row));
            let mut all = lanes(0);
            if pixels.len() > 1 {
                all = _mm512_or_si512(all, _mm512_slli_epi32::<8>(lanes(1)));
            }
            if pixels.len() > 2 {
                all = _mm512_or_si512(all, _mm512_slli_epi32::<16>(lanes(2)));
            }
            if pixels.len() > 3 {
                all = _mm512_or_si512(all, _mm512_slli_epi32::<24>(lanes(3)));
            }
            Fours(all)
        }
    }

    #[inline(always)]
    fn dot(self, codes: Self, weights: Self) -> Self {
        instruction!(dpbusd(self.0, codes.0, weights.0))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        instruction!(_mm512_add_epi32(self.0, other.0))
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32; LANES]) {
        // SAFETY: LANES sums; for the instruction see above.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), self.0) };
    }

    type Reals = F32x16;

    #[inline(always)]
    fn reals(self) -> F32x16 {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
}

/// Where the bytes of lane l lie: byte l of each quarter.
const ORDER: [[u8; 4]; LANES] = {
    let mut order = [[0; 4]; LANES];
    let mut l = 0;
    while l < LANES {
        order[l] = [l as u8, 16 + l as u8, 32 + l as u8, 48 + l as u8];
        l += 1;
    }
    order
};

/// `vpdpbusd`. The intrinsic becomes two instructions where the compiler thinks that sums wait for each
/// other: here they do not.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn dpbusd(mut sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: the instruction touches registers only.
    unsafe {
        asm!(
            "vpdpbusd {sums}, {codes}, {weights}",
            sums = inout(zmm_reg) sums,
            codes = in(zmm_reg) codes,
            weights = in(zmm_reg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
