//! [`Lanes`] in one register.

use core::arch::x86_64::*;

use crate::kernels::LANES;
use crate::kernels::avx2::{load_row, store_row};
use crate::kernels::end::Plain;
use crate::kernels::lanes::Lanes;
use crate::math::POWER_BIAS;

#[derive(Clone, Copy)]
pub(super) struct F32x16(pub(super) __m512);

/// One instruction on registers.
macro_rules! instruction {
    ($e:expr) => {
        // SAFETY: a value of this type exists or is made only below this module's table of kernels
        // (see `Lanes`), so the processor has the instruction, which touches registers only.
        F32x16(unsafe { $e })
    };
}

impl Lanes for F32x16 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        instruction!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller's promise.
        F32x16(unsafe { _mm512_loadu_ps(at) })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    unsafe fn load_codes(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        F32x16(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast()))) })
    }

    #[inline(always)]
    unsafe fn load_codes_part(at: *const u8, count: usize) -> Self {
        // SAFETY: the caller's promise.
        F32x16(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_row(at, count))) })
    }

    #[inline(always)]
    unsafe fn store_codes(self, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0));
            _mm_storeu_si128(at.cast(), codes);
        }
    }

    #[inline(always)]
    unsafe fn store_cut(self, at: *mut u8) {
        let codes = self.max(Self::splat(0.0)).min(Self::splat(255.0));
        // SAFETY: the caller's promise.
        unsafe {
            let codes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(codes.0));
            _mm_storeu_si128(at.cast(), codes);
        }
    }

    #[inline(always)]
    unsafe fn store_cut_of<const SMALL: bool>(
        rows: [Self; 4],
        count: usize,
        at: *mut u8,
        plain: &Plain<Self>,
    ) {
        // What is too small for an integer becomes the smallest one, and so does what is no number; what is
        // too great must not.
        let mut rows = rows;
        if !SMALL {
            for row in &mut rows {
                *row = Self::splat(255.0).min(*row);
            }
        }
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b, c, d] = rows;
            let low = _mm512_packs_epi32(_mm512_cvttps_epi32(a.0), _mm512_cvttps_epi32(b.0));
            let high = _mm512_packs_epi32(_mm512_cvttps_epi32(c.0), _mm512_cvttps_epi32(d.0));
            // In each quarter four codes of each row: 32-bit groups 0, 4, 8, 12 are the first row.
            let codes = _mm512_packus_epi16(low, high);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let codes = _mm512_permutexvar_epi32(order, codes);
            store_row(_mm512_castsi512_si128(codes), plain.count, at);
            if count > 1 {
                let second = _mm512_extracti32x4_epi32::<1>(codes);
                store_row(second, plain.count, at.add(plain.stride));
            }
            if count > 2 {
                let third = _mm512_extracti32x4_epi32::<2>(codes);
                store_row(third, plain.count, at.add(2 * plain.stride));
            }
            if count > 3 {
                let fourth = _mm512_extracti32x4_epi32::<3>(codes);
                store_row(fourth, plain.count, at.add(3 * plain.stride));
            }
        }
    }

    #[inline(always)]
    unsafe fn load_sums(sums: *const i32) -> Self {
        // SAFETY: the caller's promise.
        F32x16(unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.cast())) })
    }

    #[inline(always)]
    unsafe fn load_sums_less(sums: *const i32, columns: *const i32, zero: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let columns = _mm512_loadu_si512(columns.cast());
            let less = _mm512_mullo_epi32(columns, _mm512_set1_epi32(zero.into()));
            let sums = _mm512_sub_epi32(_mm512_loadu_si512(sums.cast()), less);
            F32x16(_mm512_cvtepi32_ps(sums))
        }
    }

    #[inline(always)]
    unsafe fn store_fours(fours: [Self; 4], at: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            let byte = _mm512_set1_epi32(0xff);
            let mut codes = [byte; 4];
            for (code, four) in codes.iter_mut().zip(fours) {
                *code = _mm512_and_si512(_mm512_cvtps_epi32(four.0), byte);
            }
            let low = _mm512_or_si512(codes[0], _mm512_slli_epi32::<8>(codes[1]));
            let high = _mm512_or_si512(codes[2], _mm512_slli_epi32::<8>(codes[3]));
            let all = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            _mm512_storeu_si512(at.cast(), all);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        instruction!(_mm512_add_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        instruction!(_mm512_sub_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        instruction!(_mm512_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        instruction!(_mm512_div_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        instruction!(_mm512_fmadd_ps(self.0, b.0, c.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        instruction!(_mm512_max_ps(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        instruction!(_mm512_min_ps(self.0, other.0))
    }

    #[inline(always)]
    fn round(self) -> Self {
        instruction!(_mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(self.0))
    }

    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        let n = n.sub(Self::splat(POWER_BIAS));
        instruction!(_mm512_scalef_ps(self.0, n.0))
    }

    #[inline(always)]
    fn to_signed(self) -> [i8; LANES] {
        let mut codes = [0; LANES];
        // SAFETY: as in `instruction`; LANES codes.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0));
            _mm_storeu_si128(codes.as_mut_ptr().cast(), bytes);
        }
        codes
    }

    #[inline(always)]
    fn greatest(self, least: f32) -> f32 {
        // SAFETY: as in `instruction`.
        let greatest = unsafe {
            let [low, high] = halves(self.0);
            let eight = _mm256_max_ps(low, high);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        };
        greatest.max(least)
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: as in `instruction`.
        unsafe {
            let [low, high] = halves(self.0);
            let eight = _mm256_add_ps(low, high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// The two halves of a register.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn halves(x: __m512) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x));
        [_mm512_castps512_ps256(x), _mm256_castpd_ps(high)]
    }
}
