//! [`Taps`] of 16 bits, in two registers.

use core::arch::x86_64::*;

use super::{F32x16, HALF};
use crate::kernels::LANES;
use crate::kernels::depthwise::{Taps, Words};

#[derive(Clone, Copy)]
pub(super) struct I16x32([__m256i; 2]);

impl Taps for I16x32 {
    const ROWS: usize = 2;
    const SLOW: bool = false;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: called only below this module's table of kernels (see `Taps`), so the processor has
        // the instruction.
        I16x32(unsafe { [_mm256_setzero_si256(); 2] })
    }

    #[inline(always)]
    fn load(words: &Words) -> Self {
        let at = words.0.as_ptr();
        // SAFETY: LANES words; for the instruction see `zero`.
        I16x32(unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.add(HALF).cast())] })
    }

    #[inline(always)]
    fn lay(self, words: &mut Words) {
        let at = words.0.as_mut_ptr();
        // SAFETY: LANES words; for the instruction see `zero`.
        unsafe {
            _mm256_store_si256(at.cast(), self.0[0]);
            _mm256_store_si256(at.add(HALF).cast(), self.0[1]);
        }
    }

    #[inline(always)]
    unsafe fn load_codes(pixels: &[*const u8], c: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            match pixels {
                [first, second] => {
                    let first = _mm_loadu_si128(first.add(c).cast());
                    let second = _mm_loadu_si128(second.add(c).cast());
                    let low = _mm_unpacklo_epi8(first, second);
                    let high = _mm_unpackhi_epi8(first, second);
                    I16x32([_mm256_cvtepu8_epi16(low), _mm256_cvtepu8_epi16(high)])
                }
                _ => {
                    let first = pixels[0].add(c);
                    let low = _mm_loadl_epi64(first.cast());
                    let high = _mm_loadl_epi64(first.add(HALF).cast());
                    I16x32([_mm256_cvtepu8_epi32(low), _mm256_cvtepu8_epi32(high)])
                }
            }
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

    type Reals = F32x16;

    #[inline(always)]
    fn reals(self) -> F32x16 {
        // SAFETY: see `zero`.
        F32x16(unsafe { [_mm256_cvtepi32_ps(self.0[0]), _mm256_cvtepi32_ps(self.0[1])] })
    }
}
