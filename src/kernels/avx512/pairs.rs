//! [`Pairs`] in one register.

use core::arch::asm;
use core::arch::x86_64::*;

use crate::kernels::LANES;
use crate::kernels::depthwise::{Pairs, PairsOf16};

#[derive(Clone, Copy)]
pub(super) struct I16x32(pub(super) __m512i);

/// One instruction on registers.
macro_rules! instruction {
    ($e:expr) => {
        // SAFETY: a value of this type exists or is made only below this module's table of kernels
        // (see `Pairs`), so the processor has the instruction; memory that it touches is borrowed.
        I16x32(unsafe { $e })
    };
}

impl Pairs for I16x32 {
    const SLOW: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        instruction!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn load(pairs: &PairsOf16) -> Self {
        instruction!(_mm512_load_si512(pairs.0.as_ptr().cast()))
    }

    #[inline(always)]
    unsafe fn load_codes(first: *const u8) -> Self {
        // SAFETY: the caller's promise.
        I16x32(unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(first.cast())) })
    }

    #[inline(always)]
    unsafe fn load_both(first: *const u8, second: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (Self::load_codes(first), Self::load_codes(second));
            I16x32(_mm512_or_si512(first.0, _mm512_slli_epi32::<16>(second.0)))
        }
    }

    #[inline(always)]
    fn dot(self, codes: Self, weights: Self) -> Self {
        instruction!(dpwssd(self.0, codes.0, weights.0))
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
}

/// `vpdpwssd`. The intrinsic becomes two instructions where the compiler thinks that sums wait for each
/// other: here they do not.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn dpwssd(mut sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
    // SAFETY: the instruction touches registers only.
    unsafe {
        asm!(
            "vpdpwssd {sums}, {codes}, {weights}",
            sums = inout(zmm_reg) sums,
            codes = in(zmm_reg) codes,
            weights = in(zmm_reg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
