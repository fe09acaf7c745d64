//! Depthwise convolutions.

use core::arch::x86_64::*;

use super::lanes::F32x16;
use super::{HALF, load_codes};
use crate::kernels::lanes::Lanes;
use crate::kernels::strip::{COLUMNS, Rows, Strips};
use crate::kernels::vector::Finish;
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

/// A panel of channels, or its weights: pairs of i16.
type Panel = [__m256i; 2];

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let mut columns = [[[_mm256_setzero_si256(); 2]; PAIRS]; COLUMNS];
    for c in (0..d.channels).step_by(LANES) {
        // SAFETY: channel c exists.
        unsafe {
            match d.kernel {
                3 => depthwise_block::<3>(d, rows, c, &mut columns, out),
                5 => depthwise_block::<5>(d, rows, c, &mut columns, out),
                _ => depthwise_block::<MAX_SIDE>(d, rows, c, &mut columns, out),
            }
        }
    }
}

/// Pairs of kernel rows.
const PAIRS: usize = MAX_SIDE.div_ceil(2);

/// Up to [`LANES`] channels from `c` of one output row. `SIDE` is the kernel's, or [`MAX_SIDE`], which
/// takes any.
///
/// # Safety
/// Channel `c` exists.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn depthwise_block<const SIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    c: usize,
    columns: &mut [[Panel; PAIRS]; COLUMNS],
    out: &mut [u8],
) {
    let side = if SIDE < MAX_SIDE { SIDE } else { d.kernel };
    let pairs = side.div_ceil(2);
    let count = (d.channels - c).min(LANES);
    let mut weights = [[[_mm256_setzero_si256(); 2]; PAIRS]; MAX_SIDE];
    // SAFETY: `Rows` gives pixels of which the `count` channels from c are read; the weights are
    // padded to whole panels; as many channels of each output are written.
    unsafe {
        for (x, weights) in weights.iter_mut().enumerate().take(side) {
            for (pair, weights) in weights.iter_mut().enumerate().take(pairs) {
                for (half, weights) in weights.iter_mut().enumerate() {
                    *weights = tap(d, c + half * HALF, 2 * pair * side + x);
                    if 2 * pair + 1 < side {
                        let second = tap(d, c + half * HALF, (2 * pair + 1) * side + x);
                        *weights = _mm256_or_si256(*weights, _mm256_slli_epi32::<16>(second));
                    }
                }
            }
        }
        let units = Finish::<F32x16>::load(&d.requant, c);
        let source = Rows::<SIDE>::new(d, rows, c);
        for strip in Strips::new(d) {
            for (range, mut pixels) in source.runs(&strip) {
                for columns in &mut columns[range] {
                    for (pair, column) in columns.iter_mut().enumerate().take(pairs) {
                        *column = load_panel_codes(pixels.at[2 * pair], count);
                        if 2 * pair + 1 < side {
                            let second = load_panel_codes(pixels.at[2 * pair + 1], count);
                            for (first, second) in column.iter_mut().zip(second) {
                                *first = _mm256_or_si256(*first, _mm256_slli_epi32::<16>(second));
                            }
                        }
                    }
                    pixels.advance(1);
                }
            }
            for i in 0..strip.outputs {
                let mut sums = [_mm256_setzero_si256(); 2];
                for (x, weights) in weights.iter().enumerate().take(side) {
                    let column = &columns[i * d.stride + x];
                    for pair in 0..pairs {
                        for (half, sum) in sums.iter_mut().enumerate() {
                            let products =
                                _mm256_madd_epi16(column[pair][half], weights[pair][half]);
                            *sum = _mm256_add_epi32(*sum, products);
                        }
                    }
                }
                let sums = [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])];
                let y = units.clamped(units.activated(F32x16(sums), None));
                let at = (strip.output + i) * d.stride_out + c;
                y.store_codes_part(out.as_mut_ptr().add(at), count);
            }
        }
    }
}

/// Up to [`LANES`] u8 as i32.
///
/// # Safety
/// `count` codes can be read, at most [`LANES`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_panel_codes(at: *const u8, count: usize) -> Panel {
    // SAFETY: the caller's promise.
    unsafe {
        let low = load_codes(at, count.min(HALF));
        let high = match count.checked_sub(HALF) {
            None | Some(0) => _mm256_setzero_si256(),
            Some(more) => load_codes(at.add(HALF), more),
        };
        [low, high]
    }
}

/// The weights of one tap, i16 in the low half of 32-bit lanes.
///
/// # Safety
/// Channel `c` and the tap exist.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tap(d: &Depthwise, c: usize, tap: usize) -> __m256i {
    let at = (tap / 2 * d.channels.next_multiple_of(LANES) + c) * 2;
    // SAFETY: the caller's promise; channels are padded to whole panels.
    let both = unsafe { _mm256_loadu_si256(d.weights.as_ptr().add(at).cast()) };
    if tap.is_multiple_of(2) {
        _mm256_and_si256(both, _mm256_set1_epi32(0xffff))
    } else {
        _mm256_srli_epi32::<16>(both)
    }
}
