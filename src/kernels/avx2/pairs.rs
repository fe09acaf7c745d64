//! [`Pairs`] in two registers.

use core::arch::x86_64::*;

use super::HALF;
use crate::kernels::LANES;
use crate::kernels::depthwise::{Pairs, PairsOf16};

#[derive(Clone, Copy)]
pub(super) struct I16x32([__m256i; 2]);

impl Pairs for I16x32 {
    const SLOW: bool = false;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: called only below this module's table of kernels (see `Pairs`), so the processor has
        // the instruction.
        I16x32(unsafe { [_mm256_setzero_si256(); 2] })
    }

    #[inline(always)]
    fn load(pairs: &PairsOf16) -> Self {
        let at = pairs.0.as_ptr();
        // SAFETY: LANES pairs; for the instruction see `zero`.
        I16x32(unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.add(HALF).cast())] })
    }

    #[inline(always)]
    unsafe fn load_codes(first: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm_loadl_epi64(first.cast());
            let high = _mm_loadl_epi64(first.add(HALF).cast());
            I16x32([_mm256_cvtepu8_epi32(low), _mm256_cvtepu8_epi32(high)])
        }
    }

    #[inline(always)]
    unsafe fn load_both(first: *const u8, second: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let (first, second) = (_mm_loadu_si128(first.cast()), _mm_loadu_si128(second.cast()));
            let [low, high] = [_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)];
            I16x32([_mm256_cvtepu8_epi16(low), _mm256_cvtepu8_epi16(high)])
        }
    }

    #[inline(always)]
    fn dot(self, codes: Self, weights: Self) -> Self {
        let Self([low, high]) = self;
        // SAFETY: see `zero`.
        unsafe {
            I16x32([
                _mm256_add_epi32(low, _mm256_madd_epi16(codes.0[0], weights.0[0])),
                _mm256_add_epi32(high, _mm256_madd_epi16(codes.0[1], weights.0[1])),
            ])
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        // SAFETY: see `zero`.
        I16x32(unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] })
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32; LANES]) {
        let at = sums.as_mut_ptr();
        // SAFETY: LANES sums; for the instruction see `zero`.
        unsafe {
            _mm256_storeu_si256(at.cast(), self.0[0]);
            _mm256_storeu_si256(at.add(HALF).cast(), self.0[1]);
        }
    }
}
