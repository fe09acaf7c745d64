//! Weights in two parts, so that no pair of products is too much for 16 bits.
//!
//! `vpmaddubsw` adds two u8 x i8 products in 16 bits and saturates: 255 times 127, twice, is too much. A
//! pair of weights is harmless where it would not saturate with the greatest codes that its two inputs
//! have in the rows at hand. Few pairs are not, as few weights are near the greatest of their channel;
//! the first weight of such a pair is taken off and multiplied in a step of its own. That is exact.

use core::arch::x86_64::*;
use core::ops::Range;

use crate::kernels::Gemm;

/// Four weights of each of a panel's channels, and those of half of them.
const FOURS: usize = 64;
pub(super) const HALF_FOURS: usize = FOURS / 2;
/// Codes of a register.
const CODES: usize = 32;

/// Bytes for [`Split::new`], to align it and for a place, of each four inputs.
const ALIGNED: usize = 64;
const PLACE: usize = size_of::<u32>();
const BYTES: usize = 2 * FOURS + 2 * PLACE + 4;

/// One panel of weights in two parts.
pub(super) struct Split<'a> {
    /// The first part, as a panel is packed.
    pub(super) kept: &'a mut [[u8; FOURS]],
    /// The second part, by half of the panel: weights of four inputs, the first `counts` of them; past
    /// those of whole fours is that of the last inputs, if they are fewer than four.
    pub(super) taken: [&'a mut [[u8; HALF_FOURS]]; 2],
    /// The first input of each of `taken`.
    pub(super) places: [&'a mut [[u8; PLACE]]; 2],
    pub(super) counts: [usize; 2],
    /// The greatest code of each input in the rows at hand, or 255.
    greatest: &'a mut [[u8; 4]],
}

/// Bytes of scratch for [`Split::new`].
pub(super) fn scratch(k: usize) -> usize {
    ALIGNED + BYTES * k.div_ceil(4)
}

impl<'a> Split<'a> {
    /// In [`scratch`] bytes for `k` inputs, with nothing in it.
    pub(super) fn new(k: usize, scratch: &'a mut [u8]) -> Self {
        let fours = k.div_ceil(4);
        let start = scratch.as_ptr().align_offset(ALIGNED);
        let (kept, rest) = scratch[start..][..BYTES * fours].split_at_mut(FOURS * fours);
        let (first, rest) = rest.split_at_mut(HALF_FOURS * fours);
        let (second, rest) = rest.split_at_mut(HALF_FOURS * fours);
        let (first_places, rest) = rest.split_at_mut(PLACE * fours);
        let (second_places, greatest) = rest.split_at_mut(PLACE * fours);
        Self {
            kept: kept.as_chunks_mut().0,
            taken: [first, second].map(|half| half.as_chunks_mut().0),
            places: [first_places, second_places].map(|half| half.as_chunks_mut().0),
            counts: [0; 2],
            greatest: greatest.as_chunks_mut().0,
        }
    }

    /// Finds the greatest codes of some rows of `g`.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn look_at(&mut self, g: &Gemm, rows: Range<usize>) {
        let greatest = self.greatest.as_flattened_mut();
        let k = g.w.k;
        greatest.fill(255);
        if k < CODES {
            return;
        }
        let last = k - CODES;
        for at in (0..last).step_by(CODES).chain([last]) {
            let mut most = _mm256_setzero_si256();
            for r in rows.clone() {
                let codes = &g.a.codes[r * g.a.stride + at..][..CODES];
                // SAFETY: 32 codes are read.
                most = _mm256_max_epu8(most, unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) });
            }
            // SAFETY: 32 codes are written.
            unsafe {
                let out = greatest[at..][..CODES].as_mut_ptr();
                _mm256_storeu_si256(out.cast(), most);
            }
        }
    }

    /// Splits panel `p` of `g` for the rows that were [looked at](Self::look_at).
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn take(&mut self, g: &Gemm, p: usize) {
        let len = g.w.panel_len();
        let (panel, _) = g.w.data[p * len..][..len].as_chunks::<FOURS>();
        let whole = g.w.k / 4;
        self.counts = [0; 2];
        for (i, (weights, codes)) in panel.iter().zip(&*self.greatest).enumerate() {
            let codes = _mm256_set1_epi32(i32::from_le_bytes(*codes));
            for half in 0..2 {
                let to = self.counts[half];
                // SAFETY: half of four weights of each channel are read; as much is written, to a place
                // that is not beyond `i`.
                unsafe {
                    let at = half * HALF_FOURS;
                    let weights = _mm256_loadu_si256(weights.as_ptr().add(at).cast());
                    let taken = beyond(codes, weights);
                    let kept = self.kept.as_mut_ptr().add(i).cast::<u8>().add(at);
                    _mm256_storeu_si256(kept.cast(), _mm256_xor_si256(weights, taken));
                    _mm256_storeu_si256(self.taken[half].as_mut_ptr().add(to).cast(), taken);
                    *self.places[half].as_mut_ptr().add(to) = (4 * i as u32).to_le_bytes();
                    let is_any = _mm256_testz_si256(taken, taken) == 0;
                    self.counts[half] = to + usize::from(is_any && i < whole);
                }
            }
        }
        // The last inputs, if fewer than four: always in their own place.
        if !g.w.k.is_multiple_of(4) {
            for (taken, count) in self.taken.iter_mut().zip(self.counts) {
                taken[whole] = taken[count];
            }
        }
    }
}

/// The first weights of pairs that saturate with the codes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn beyond(codes: __m256i, weights: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, weights);
    let most = _mm256_cmpeq_epi16(pairs, _mm256_set1_epi16(i16::MAX));
    let least = _mm256_cmpeq_epi16(pairs, _mm256_set1_epi16(i16::MIN));
    let first = _mm256_and_si256(_mm256_or_si256(most, least), _mm256_set1_epi16(0xff));
    _mm256_and_si256(first, weights)
}
