//! Depthwise convolutions.

use core::arch::x86_64::*;

use super::lanes::F32x16;
use super::{lanes_of, load_codes};
use crate::kernels::lanes::Lanes;
use crate::kernels::strip::{COLUMNS, Rows, Strips};
use crate::kernels::vector::Finish;
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let mut columns = [[_mm512_setzero_si512(); PAIRS]; COLUMNS];
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn depthwise_block<const SIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    c: usize,
    columns: &mut [[__m512i; PAIRS]; COLUMNS],
    out: &mut [u8],
) {
    let side = if SIDE < MAX_SIDE { SIDE } else { d.kernel };
    let pairs = side.div_ceil(2);
    let lanes = lanes_of(d.channels, c);
    let mut weights = [[_mm512_setzero_si512(); PAIRS]; MAX_SIDE];
    // SAFETY: `Rows` gives pixels of which masked loads touch the channels from c that exist; the
    // weights are padded to whole panels; outputs are written through the same mask.
    unsafe {
        for (x, weights) in weights.iter_mut().enumerate().take(side) {
            for (pair, weights) in weights.iter_mut().enumerate().take(pairs) {
                let first = tap(d, c, 2 * pair * side + x);
                let second = if 2 * pair + 1 < side {
                    tap(d, c, (2 * pair + 1) * side + x)
                } else {
                    _mm512_setzero_si512()
                };
                *weights = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
            }
        }
        let units = Finish::<F32x16>::load(&d.requant, c);
        let count = (d.channels - c).min(LANES);
        let source = Rows::<SIDE>::new(d, rows, c);
        for strip in Strips::new(d) {
            for (range, mut pixels) in source.runs(&strip) {
                for columns in &mut columns[range] {
                    for (pair, column) in columns.iter_mut().enumerate().take(pairs) {
                        *column = load_codes(lanes, pixels.at[2 * pair]);
                        if 2 * pair + 1 < side {
                            let second = load_codes(lanes, pixels.at[2 * pair + 1]);
                            *column = _mm512_or_si512(*column, _mm512_slli_epi32::<16>(second));
                        }
                    }
                    pixels.advance(1);
                }
            }
            for i in 0..strip.outputs {
                let mut sum = _mm512_setzero_si512();
                for (x, weights) in weights.iter().enumerate().take(side) {
                    let column = &columns[i * d.stride + x];
                    for pair in 0..pairs {
                        sum = _mm512_dpwssd_epi32(sum, column[pair], weights[pair]);
                    }
                }
                let y = units.activated(F32x16(_mm512_cvtepi32_ps(sum)), None);
                let at = (strip.output + i) * d.stride_out + c;
                units.clamped(y).store_codes_part(out.as_mut_ptr().add(at), count);
            }
        }
    }
}

/// The weights of one tap, i16 in the low half of 32-bit lanes.
///
/// # Safety
/// Channel `c` and the tap exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn tap(d: &Depthwise, c: usize, tap: usize) -> __m512i {
    let at = (tap / 2 * d.channels.next_multiple_of(LANES) + c) * 2;
    // SAFETY: the caller's promise; channels are padded to whole panels.
    let both = unsafe { _mm512_loadu_si512(d.weights.as_ptr().add(at).cast()) };
    if tap.is_multiple_of(2) {
        _mm512_and_si512(both, _mm512_set1_epi32(0xffff))
    } else {
        _mm512_srli_epi32::<16>(both)
    }
}
