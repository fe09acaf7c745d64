//! Depthwise convolutions, written once over [`Pairs`] and compiled for every x86 instruction set (see
//! [`stamp`]). `scalar` is what they must equal.

use super::strip::{OUTPUTS, Strip};
use super::{Depthwise, End, LANES, MAX_SIDE};

/// [`LANES`] pairs of i16, or sums of i32: what the convolutions need of an instruction set.
///
/// A value of an implementing type is only ever made below a table of kernels, which can be had only
/// on a processor with the instruction set.
pub(super) trait Pairs: Copy {
    /// Whether [`dot`](Self::dot) waits long for the sums that it adds to: every other pair of kernel
    /// rows has sums of its own then.
    const SLOW: bool;
    /// Nothing but zeros.
    fn zero() -> Self;
    /// Weights.
    fn load(pairs: &PairsOf16) -> Self;
    /// Codes, each with a zero.
    ///
    /// # Safety
    /// [`LANES`] codes can be read.
    unsafe fn load_codes(first: *const u8) -> Self;
    /// Codes in pairs.
    ///
    /// # Safety
    /// [`LANES`] codes can be read on both sides.
    unsafe fn load_both(first: *const u8, second: *const u8) -> Self;
    /// Adds both products of each pair.
    fn dot(self, codes: Self, weights: Self) -> Self;
    /// Adds sums.
    fn add(self, other: Self) -> Self;
    fn store(self, sums: &mut [i32; LANES]);
}

/// Makes an instruction set's function, which makes the sums of `$most` outputs together: as many as
/// its registers hold.
macro_rules! stamp {
    ($features:literal, $pairs:ty, $most:literal) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn depthwise(
            d: &$crate::kernels::Depthwise,
            image: &[u8],
            first: usize,
            out: &mut [u8],
        ) {
            use $crate::kernels::depthwise::{Panel, run};

            /// # Safety
            /// As [`Panel`] wants it.
            #[target_feature(enable = $features)]
            unsafe fn panel<const SIDE: usize, const STRIDE: usize>(
                strip: &$crate::kernels::strip::Strip,
                c: usize,
                w: &$crate::kernels::depthwise::Weights,
                sums: &mut $crate::kernels::depthwise::Sums,
            ) {
                // SAFETY: the caller's promise.
                unsafe {
                    $crate::kernels::depthwise::panel::<$pairs, SIDE, STRIDE, $most>(
                        strip, c, w, sums,
                    )
                }
            }

            let panel: Panel = match (d.kernel, d.stride) {
                (1, _) => panel::<1, 0>,
                (2, _) => panel::<2, 0>,
                (3, 1) => panel::<3, 1>,
                (3, 2) => panel::<3, 2>,
                (3, _) => panel::<3, 0>,
                (4, _) => panel::<4, 0>,
                (5, 1) => panel::<5, 1>,
                (5, 2) => panel::<5, 2>,
                (5, _) => panel::<5, 0>,
                (6, _) => panel::<6, 0>,
                (7, 1) => panel::<7, 1>,
                (7, 2) => panel::<7, 2>,
                _ => panel::<7, 0>,
            };
            run(d, image, first, out, panel, finish);
        }
    };
}
pub(super) use stamp;

/// Panels of channels that go over the image together: they share the look-up of the pixels, and their
/// weights stay in the level-1 cache.
const GROUP: usize = 16;
/// Outputs whose sums are made together, from columns that are loaded once, where fewer are left than
/// an instruction set can take.
const FEW: usize = 4;
/// Pairs of kernel rows.
const PAIRS: usize = MAX_SIDE.div_ceil(2);

/// Two weights of each of a panel's channels.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(super) struct PairsOf16(pub(super) [u32; LANES]);
/// Weights of a panel: those of two kernel rows side by side, by column and pair of rows.
pub(super) type Weights = [[PairsOf16; PAIRS]; MAX_SIDE];
/// Sums of a strip's outputs.
#[repr(align(64))]
pub(super) struct Sums([[i32; LANES]; OUTPUTS]);

/// The sums of a strip's outputs in [`LANES`] channels from the given one on, which exist; the kind of
/// kernel is the function's.
pub(super) type Panel = unsafe fn(&Strip, usize, &Weights, &mut Sums);
/// [`super::end::stamp`]'s.
pub(super) type Finish = unsafe fn(&End, usize, usize, &[[i32; LANES]], i32);

/// The rows from output row `first` on that `out` holds. `panel` and `finish` are an instruction set's,
/// and the processor has it.
#[inline(always)]
pub(super) fn run(
    d: &Depthwise,
    image: &[u8],
    first: usize,
    out: &mut [u8],
    panel: Panel,
    finish: Finish,
) {
    let mut weights = [[[PairsOf16([0; LANES]); PAIRS]; MAX_SIDE]; GROUP];
    let mut sums = Sums([[0; LANES]; OUTPUTS]);
    let mut strip = Strip::new(d);
    // The last panel ends with the channels: some may be made twice.
    let last = d.channels.saturating_sub(LANES);
    for group in (0..d.channels).step_by(GROUP * LANES) {
        let panels = (d.channels - group).div_ceil(LANES).min(GROUP);
        for (i, weights) in weights.iter_mut().enumerate().take(panels) {
            load_weights(d, last.min(group + i * LANES), weights);
        }
        for (y, out) in out.chunks_mut(d.width_out * d.stride_out).enumerate() {
            let end = d.end(out);
            let rows = d.rows(image, first + y);
            while strip.next(d, &rows[..d.kernel]) {
                for (i, weights) in weights.iter().enumerate().take(panels) {
                    let c = last.min(group + i * LANES);
                    // SAFETY: LANES channels from c exist in each pixel of the strip, which sees to it
                    // where there are fewer; sizes are as `Kernels::depthwise` checks them.
                    unsafe {
                        panel(&strip, c, weights, &mut sums);
                        finish(&end, strip.output, c, &sums.0[..strip.outputs], 0);
                    }
                }
            }
        }
    }
}

/// The weights of the channels from `c` on.
#[inline(always)]
fn load_weights(d: &Depthwise, c: usize, weights: &mut Weights) {
    let padded = d.channels.next_multiple_of(LANES);
    // Each channel's two taps of which this is one, and where it is among them.
    let taps = |tap: usize| -> (&[[i16; 2]; LANES], usize) {
        let (both, _) = d.weights[(tap / 2 * padded + c) * 2..].as_chunks();
        (both.first_chunk().expect("channels are padded to whole panels"), 16 * (tap % 2))
    };
    for (x, weights) in weights.iter_mut().enumerate().take(d.kernel) {
        for (pair, weights) in weights.iter_mut().enumerate().take(d.kernel.div_ceil(2)) {
            let y = 2 * pair;
            let (first, shift) = taps(y * d.kernel + x);
            let mut words = first.map(|both| word(both) >> shift & 0xffff);
            if y + 1 < d.kernel {
                let (second, shift) = taps((y + 1) * d.kernel + x);
                let second = second.map(|both| word(both) >> shift << 16);
                for (word, second) in words.iter_mut().zip(second) {
                    *word |= second;
                }
            }
            weights.0 = words;
        }
    }
}

/// Two weights, the first in the lower half.
#[inline(always)]
fn word(both: [i16; 2]) -> u32 {
    // SAFETY: both are of 4 bytes, of which any will do; x86 has the lower half first.
    unsafe { core::mem::transmute::<[i16; 2], u32>(both) }
}

/// [`Panel`] for kernels of `SIDE`, at steps of `STRIDE` or of whatever the strip has (0).
///
/// # Safety
/// [`LANES`] channels from `c` exist in each pixel of the strip.
#[inline(always)]
pub(super) unsafe fn panel<P: Pairs, const SIDE: usize, const STRIDE: usize, const MOST: usize>(
    strip: &Strip,
    c: usize,
    w: &Weights,
    sums: &mut Sums,
) {
    let mut i = 0;
    while i < strip.outputs {
        let left = strip.outputs - i;
        // SAFETY: the outputs are inside of the strip.
        unsafe {
            i += if STRIDE == 0 || strip.outputs < FEW {
                outputs::<P, SIDE, STRIDE, 1>(strip, i, c, w, sums)
            } else if left <= FEW || strip.outputs < MOST {
                // The last ones end with the strip: some may be made twice.
                outputs::<P, SIDE, STRIDE, FEW>(strip, i.min(strip.outputs - FEW), c, w, sums)
            } else {
                outputs::<P, SIDE, STRIDE, MOST>(strip, i.min(strip.outputs - MOST), c, w, sums)
            }
        }
    }
}

/// `N` outputs from `i` on; returns `N`.
///
/// # Safety
/// As [`panel`]; the outputs lie inside of the strip.
#[inline(always)]
unsafe fn outputs<P: Pairs, const SIDE: usize, const STRIDE: usize, const N: usize>(
    strip: &Strip,
    i: usize,
    c: usize,
    w: &Weights,
    sums: &mut Sums,
) -> usize {
    let mut acc = [[P::zero(); 2]; N];
    // SAFETY: the columns under the outputs are inside of the strip, and there are as many sums as
    // outputs; for the pixels the caller's promise.
    unsafe {
        let columns = strip.columns.as_ptr().add(i * strip.stride);
        // Left to itself the compiler keeps loops, and the sums in memory.
        macro_rules! column {
            ($pair:literal: $($x:literal)*) => {
                $(if $x < (N - 1) * STRIDE + SIDE {
                    let pixels = &*columns.add($x);
                    column::<P, SIDE, STRIDE, N>($pair, $x, pixels, c, w, &mut acc);
                })*
            };
        }
        macro_rules! pair {
            ($($pair:literal)*) => {
                $(if 2 * $pair < SIDE {
                    column!($pair: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);
                })*
            };
        }
        pair!(0 1 2 3);
        for (j, [even, odd]) in acc.into_iter().enumerate() {
            let sum = if P::SLOW && SIDE > 2 { even.add(odd) } else { even };
            sum.store(&mut *sums.0.as_mut_ptr().add(i + j));
        }
    }
    N
}

/// Adds what a pair of kernel rows gives at column `x` under some outputs to each of their sums.
///
/// # Safety
/// [`LANES`] channels from `c` exist in each pixel.
#[inline(always)]
unsafe fn column<P: Pairs, const SIDE: usize, const STRIDE: usize, const N: usize>(
    pair: usize,
    x: usize,
    pixels: &[*const u8; MAX_SIDE],
    c: usize,
    w: &Weights,
    acc: &mut [[P; 2]; N],
) {
    // SAFETY: the caller's promise.
    let codes = unsafe {
        let first = pixels[2 * pair].add(c);
        if 2 * pair + 1 < SIDE {
            P::load_both(first, pixels[2 * pair + 1].add(c))
        } else {
            P::load_codes(first)
        }
    };
    for (j, acc) in acc.iter_mut().enumerate() {
        if x >= j * STRIDE && x - j * STRIDE < SIDE {
            let acc = &mut acc[if P::SLOW { pair % 2 } else { 0 }];
            *acc = acc.dot(codes, P::load(&w[x - j * STRIDE][pair]));
        }
    }
}
