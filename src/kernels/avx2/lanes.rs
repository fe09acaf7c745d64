//! [`Lanes`] in two registers.

use core::arch::x86_64::*;

use super::HALF;
use crate::kernels::LANES;
use crate::kernels::end::Plain;
use crate::kernels::lanes::Lanes;

#[derive(Clone, Copy)]
pub(super) struct F32x16(pub(super) [__m256; 2]);

/// An expression on registers.
macro_rules! registers {
    ($e:expr) => {
        // SAFETY: a value of this type exists or is made only below this module's table of kernels
        // (see `Lanes`), so the processor has the instructions, which touch registers only.
        F32x16(unsafe { $e })
    };
}

impl Lanes for F32x16 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        registers!([_mm256_set1_ps(x); 2])
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self {
        // SAFETY: the caller's promise.
        F32x16(unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(HALF))] })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            _mm256_storeu_ps(at, self.0[0]);
            _mm256_storeu_ps(at.add(HALF), self.0[1]);
        }
    }

    #[inline(always)]
    unsafe fn load_codes(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()));
            let high = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.add(HALF).cast()));
            F32x16([_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)])
        }
    }

    #[inline(always)]
    unsafe fn load_codes_part(at: *const u8, count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let codes = load_row(at, count);
            let low = _mm256_cvtepu8_epi32(codes);
            let high = _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(codes, codes));
            F32x16([_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)])
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            let [low, high] = self.0;
            store_bytes(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high), at);
        }
    }

    #[inline(always)]
    unsafe fn store_cut(self, at: *mut u8) {
        let codes = self.max(Self::splat(0.0)).min(Self::splat(255.0));
        // SAFETY: the caller's promise.
        unsafe {
            let [low, high] = codes.0;
            store_bytes(_mm256_cvttps_epi32(low), _mm256_cvttps_epi32(high), at);
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
            let mut words = [_mm256_setzero_si256(); 4];
            for (words, row) in words.iter_mut().zip(rows) {
                let (low, high) = (_mm256_cvttps_epi32(row.0[0]), _mm256_cvttps_epi32(row.0[1]));
                *words = _mm256_packs_epi32(low, high);
            }
            for (i, pair) in words.as_chunks::<2>().0.iter().enumerate() {
                // Halves: lanes 0..4, 8..12 of both rows, then 4..8, 12..16.
                let codes = _mm256_packus_epi16(pair[0], pair[1]);
                let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                let codes = _mm256_permutevar8x32_epi32(codes, order);
                let at = at.wrapping_add(2 * i * plain.stride);
                if count > 2 * i {
                    store_row(_mm256_castsi256_si128(codes), plain.count, at);
                }
                if count > 2 * i + 1 {
                    let second = _mm256_extracti128_si256::<1>(codes);
                    store_row(second, plain.count, at.add(plain.stride));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load_sums(sums: *const i32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let half = |i: usize| _mm256_loadu_si256(sums.add(i * HALF).cast());
            F32x16([_mm256_cvtepi32_ps(half(0)), _mm256_cvtepi32_ps(half(1))])
        }
    }

    #[inline(always)]
    unsafe fn load_sums_less(sums: *const i32, columns: *const i32, zero: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = _mm256_set1_epi32(zero.into());
            let mut halves = [_mm256_setzero_ps(); 2];
            for (i, half) in halves.iter_mut().enumerate() {
                let sums = _mm256_loadu_si256(sums.add(i * HALF).cast());
                let columns = _mm256_loadu_si256(columns.add(i * HALF).cast());
                let less = _mm256_sub_epi32(sums, _mm256_mullo_epi32(columns, zero));
                *half = _mm256_cvtepi32_ps(less);
            }
            F32x16(halves)
        }
    }

    #[inline(always)]
    unsafe fn store_fours(fours: [Self; 4], at: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe {
            let byte = _mm256_set1_epi32(0xff);
            for half in 0..2 {
                let mut codes = [byte; 4];
                for (code, four) in codes.iter_mut().zip(fours) {
                    *code = _mm256_and_si256(_mm256_cvtps_epi32(four.0[half]), byte);
                }
                let low = _mm256_or_si256(codes[0], _mm256_slli_epi32::<8>(codes[1]));
                let high = _mm256_or_si256(codes[2], _mm256_slli_epi32::<8>(codes[3]));
                let all = _mm256_or_si256(low, _mm256_slli_epi32::<16>(high));
                _mm256_storeu_si256(at.add(4 * HALF * half).cast(), all);
            }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        let (a, b, c) = (self.0, b.0, c.0);
        registers!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        registers!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let a = self.0;
        registers!([_mm256_round_ps::<NEAREST>(a[0]), _mm256_round_ps::<NEAREST>(a[1])])
    }

    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        registers!({
            let mut y = self.0;
            for (y, n) in y.iter_mut().zip(n.0) {
                let exponent = _mm256_cvtps_epi32(_mm256_max_ps(n, _mm256_setzero_ps()));
                let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
                *y = _mm256_mul_ps(*y, power);
            }
            y
        })
    }

    #[inline(always)]
    fn greatest(self, least: f32) -> f32 {
        // SAFETY: as in `registers`.
        let greatest = unsafe {
            let eight = _mm256_max_ps(self.0[0], self.0[1]);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        };
        greatest.max(least)
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: as in `registers`.
        unsafe {
            let eight = _mm256_add_ps(self.0[0], self.0[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// Lanes of a byte each, in order.
///
/// # Safety
/// The processor has AVX2, and 16 bytes can be written.
#[inline(always)]
unsafe fn store_bytes(low: __m256i, high: __m256i, at: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        // Words of lanes 0..4, 8..12 and 4..8, 12..16: put in order as 64-bit groups.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
        let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        _mm_storeu_si128(at.cast(), _mm_packus_epi16(low, high));
    }
}

/// `count` codes of a row, mostly all that a panel has or half as many, then zeros.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(in crate::kernels) unsafe fn load_row(at: *const u8, count: usize) -> __m128i {
    // SAFETY: the caller's promise; every processor has these instructions.
    unsafe {
        match count {
            LANES.. => _mm_loadu_si128(at.cast()),
            HALF => _mm_loadl_epi64(at.cast()),
            _ => {
                let mut row = [0u8; LANES];
                core::ptr::copy_nonoverlapping(at, row.as_mut_ptr(), count);
                _mm_loadu_si128(row.as_ptr().cast())
            }
        }
    }
}

/// The first `count` codes of a row.
///
/// # Safety
/// They can be written.
#[inline(always)]
pub(in crate::kernels) unsafe fn store_row(codes: __m128i, count: usize, at: *mut u8) {
    // SAFETY: the caller's promise; every processor has these instructions.
    unsafe {
        match count {
            LANES => _mm_storeu_si128(at.cast(), codes),
            HALF => _mm_storel_epi64(at.cast(), codes),
            _ => {
                let mut row = [0u8; LANES];
                _mm_storeu_si128(row.as_mut_ptr().cast(), codes);
                core::ptr::copy_nonoverlapping(row.as_ptr(), at, count);
            }
        }
    }
}
