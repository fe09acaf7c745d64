//! Depthwise convolutions where any two bytes of two registers can be put side by side at once
//! (AVX-512 VBMI, which all but the first processors with VNNI have).

use core::arch::x86_64::*;

use super::finish;
use super::pairs::I16x32;
use crate::kernels::LANES;
use crate::kernels::depthwise::{self, Pairs, PairsOf16};

depthwise::stamp!("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,fma", Permuted, 8);

/// [`Pairs`] as [`I16x32`] has them but for how two rows of codes become one.
#[derive(Clone, Copy)]
struct Permuted(I16x32);

impl Pairs for Permuted {
    const SLOW: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        Self(I16x32::zero())
    }

    #[inline(always)]
    fn load(pairs: &PairsOf16) -> Self {
        Self(I16x32::load(pairs))
    }

    #[inline(always)]
    unsafe fn load_codes(first: *const u8) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { I16x32::load_codes(first) })
    }

    #[inline(always)]
    unsafe fn load_both(first: *const u8, second: *const u8) -> Self {
        /// Byte l of the first and of the second, in the lower bytes of lane l's halves.
        const ORDER: [[u8; 4]; LANES] = {
            let mut order = [[0; 4]; LANES];
            let mut l = 0;
            while l < LANES {
                order[l] = [l as u8, 0, 64 + l as u8, 0];
                l += 1;
            }
            order
        };
        const LOWER_BYTES: u64 = 0x5555_5555_5555_5555;
        // SAFETY: the caller's promise.
        unsafe {
            let first = _mm512_castsi128_si512(_mm_loadu_si128(first.cast()));
            let second = _mm512_castsi128_si512(_mm_loadu_si128(second.cast()));
            let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
            Self(I16x32(_mm512_maskz_permutex2var_epi8(LOWER_BYTES, first, order, second)))
        }
    }

    #[inline(always)]
    fn dot(self, codes: Self, weights: Self) -> Self {
        Self(self.0.dot(codes.0, weights.0))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0))
    }

    #[inline(always)]
    fn store(self, sums: &mut [i32; LANES]) {
        self.0.store(sums);
    }
}
