//! Depthwise convolutions, written once over [`Taps`] and compiled for every x86 instruction set (see
//! [`stamp`]). `scalar` is what they must equal.

use super::end::{Plain, is_plain};
use super::lanes::Lanes;
use super::strip::{Strip, Sums};
use super::{Depthwise, End, LANES, MAX_SIDE};

/// Groups of kernel rows at most.
const GROUPS: usize = MAX_SIDE.div_ceil(2);

/// Weights of each of a panel's channels: those of a group of kernel rows in one column.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) [u32; LANES]);
/// Weights of a panel.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// By group of rows and column.
    pub(super) taps: [[Words; MAX_SIDE]; GROUPS],
}

impl Weights {
    pub(super) const NONE: Self = Self { taps: [[Words([0; LANES]); MAX_SIDE]; GROUPS] };
}

/// [`LANES`] words of some codes or weights each, or sums of i32: what the convolutions need of an
/// instruction set.
///
/// A value of an implementing type is only ever made below a table of kernels, which can be had only
/// on a processor with the instruction set.
pub(super) trait Taps: Copy {
    /// Kernel rows whose taps lie side by side in a word: 2 of 16 bits, or 4 of 8, which takes weights of
    /// so many.
    const ROWS: usize;
    /// Whether [`dot`](Self::dot) waits long for the sums that it adds to: every other group of kernel
    /// rows has sums of its own then.
    const SLOW: bool;
    /// Nothing but zeros.
    fn zero() -> Self;
    /// Weights.
    fn load(words: &Words) -> Self;
    /// The codes of channels `c` and on of up to `ROWS` pixels, side by side. What stands in place of
    /// pixels that are missing does not matter: their weights are 0.
    ///
    /// # Safety
    /// [`LANES`] codes can be read from `c` on in each pixel.
    unsafe fn load_codes(pixels: &[*const u8], c: usize) -> Self;
    /// Adds the products of each word.
    fn dot(self, codes: Self, weights: Self) -> Self;
    /// Adds sums.
    fn add(self, other: Self) -> Self;
    fn store(self, sums: &mut [i32; LANES]);
    /// Sums as floats.
    type Reals: Lanes;
    fn reals(self) -> Self::Reals;
}

/// Makes an instruction set's function, which makes the sums of `$most` outputs together: as many as
/// its registers hold.
macro_rules! stamp {
    ($features:literal, $taps:ty, $most:literal) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn depthwise(
            d: &$crate::kernels::Depthwise,
            image: &[u8],
            first: usize,
            out: &mut [u8],
        ) {
            use $crate::kernels::End;
            use $crate::kernels::depthwise::{Taps, Weights, load_weights};
            use $crate::kernels::strip::{OUTPUTS, Strip, Sums, run};

            /// # Safety
            /// The strip has the channels from `c` on.
            #[target_feature(enable = $features)]
            unsafe fn panel<const SIDE: usize, const STRIDE: usize>(
                strip: &Strip,
                c: usize,
                w: &Weights,
                end: &End,
                sums: &mut Sums,
            ) {
                // SAFETY: the caller's promise.
                unsafe {
                    $crate::kernels::depthwise::panel::<$taps, SIDE, STRIDE, $most>(
                        strip, c, w, end, sums,
                    );
                    if !$crate::kernels::end::is_plain(end, c) {
                        finish(end, strip.output, c, &sums.0[..strip.outputs]);
                    }
                }
            }

            let panel: unsafe fn(&Strip, usize, &Weights, &End, &mut Sums) =
                match (d.kernel, d.stride) {
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
            let mut sums = Sums([[0; $crate::kernels::LANES]; OUTPUTS]);
            let load = |c: usize, w: &mut Weights| load_weights(d, c, <$taps>::ROWS, w);
            run(d, image, first, out, Weights::NONE, load, |strip, c, w, end| {
                // SAFETY: that is what `run` promises.
                unsafe { panel(strip, c, w, end, &mut sums) }
            });
        }
    };
}
pub(super) use stamp;

/// Outputs whose sums are made together, from columns that are loaded once, where fewer are left than
/// an instruction set can take.
const FEW: usize = 4;
/// A strip's outputs for kernels of `SIDE`, at steps of `STRIDE` or of whatever the strip has (0).
/// Where the end [is plain](is_plain) codes are written, otherwise sums are left.
///
/// # Safety
/// [`LANES`] channels from `c` exist in each pixel of the strip.
#[inline(always)]
pub(super) unsafe fn panel<T: Taps, const SIDE: usize, const STRIDE: usize, const MOST: usize>(
    strip: &Strip,
    c: usize,
    w: &Weights,
    end: &End,
    sums: &mut Sums,
) {
    let mut to = To::Sums(sums);
    if is_plain(end, c) {
        // SAFETY: so it is, and the strip's outputs exist.
        to = To::Codes(unsafe { Plain::of(end, strip.output, c) });
    }
    let mut i = 0;
    while i < strip.outputs {
        let left = strip.outputs - i;
        // SAFETY: the outputs are inside of the strip.
        unsafe {
            i += if STRIDE == 0 || strip.outputs < FEW {
                outputs::<T, SIDE, STRIDE, 1>(strip, i, c, w, &mut to)
            } else if left <= FEW || strip.outputs < MOST {
                // The last ones end with the strip: some may be made twice.
                outputs::<T, SIDE, STRIDE, FEW>(strip, i.min(strip.outputs - FEW), c, w, &mut to)
            } else {
                outputs::<T, SIDE, STRIDE, MOST>(strip, i.min(strip.outputs - MOST), c, w, &mut to)
            }
        }
    }
}

/// Where a strip's outputs go.
enum To<'a, V> {
    Codes(Plain<V>),
    Sums(&'a mut Sums),
}

/// `N` outputs from `i` on; returns `N`.
///
/// # Safety
/// As [`panel`]; the outputs lie inside of the strip.
#[inline(always)]
unsafe fn outputs<T: Taps, const SIDE: usize, const STRIDE: usize, const N: usize>(
    strip: &Strip,
    i: usize,
    c: usize,
    w: &Weights,
    to: &mut To<T::Reals>,
) -> usize {
    let mut acc = [[T::zero(); 2]; N];
    // SAFETY: the columns under the outputs are inside of the strip, and there are as many sums as
    // outputs; for the pixels the caller's promise.
    unsafe {
        let columns = strip.columns.as_ptr().add(i * strip.stride);
        // Left to itself the compiler keeps loops, and the sums in memory.
        macro_rules! column {
            ($group:literal: $($x:literal)*) => {
                $(if $x < (N - 1) * STRIDE + SIDE {
                    let pixels = &*columns.add($x);
                    column::<T, SIDE, STRIDE, N>($group, $x, pixels, c, w, &mut acc);
                })*
            };
        }
        macro_rules! group {
            ($($group:literal)*) => {
                $(if $group * T::ROWS < SIDE {
                    column!($group: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);
                })*
            };
        }
        group!(0 1 2 3);
        // A loop, not `map`: a closure would not be compiled for the instruction set.
        let mut sums = [T::zero(); N];
        for (sum, [even, odd]) in sums.iter_mut().zip(acc) {
            *sum = if T::SLOW && SIDE > T::ROWS { even.add(odd) } else { even };
        }
        match to {
            To::Codes(plain) => {
                let mut reals = [T::Reals::splat(0.0); N];
                for (real, sum) in reals.iter_mut().zip(sums) {
                    *real = sum.reals();
                }
                plain.store(i, reals);
            }
            To::Sums(to) => {
                for (j, sum) in sums.into_iter().enumerate() {
                    sum.store(&mut *to.0.as_mut_ptr().add(i + j));
                }
            }
        }
    }
    N
}

/// Adds what a group of kernel rows gives at column `x` under some outputs to each of their sums.
///
/// # Safety
/// [`LANES`] channels from `c` exist in each pixel.
#[inline(always)]
unsafe fn column<T: Taps, const SIDE: usize, const STRIDE: usize, const N: usize>(
    group: usize,
    x: usize,
    pixels: &[*const u8; MAX_SIDE],
    c: usize,
    w: &Weights,
    acc: &mut [[T; 2]; N],
) {
    let rows = group * T::ROWS..SIDE.min((group + 1) * T::ROWS);
    // SAFETY: the caller's promise.
    let codes = unsafe { T::load_codes(&pixels[rows], c) };
    for (j, acc) in acc.iter_mut().enumerate() {
        if x >= j * STRIDE && x - j * STRIDE < SIDE {
            let acc = &mut acc[if T::SLOW { group % 2 } else { 0 }];
            *acc = acc.dot(codes, T::load(&w.taps[group][x - j * STRIDE]));
        }
    }
}

/// The weights of the channels from `c` on, those of `side` kernel rows side by side.
#[inline(always)]
pub(super) fn load_weights(d: &Depthwise, c: usize, side: usize, weights: &mut Weights) {
    let padded = d.channels.next_multiple_of(LANES);
    let bits = 32 / side;
    for (group, columns) in weights.taps.iter_mut().enumerate().take(d.kernel.div_ceil(side)) {
        for (x, out) in columns.iter_mut().enumerate().take(d.kernel) {
            let mut words = [0; LANES];
            for (i, y) in (group * side..d.kernel).take(side).enumerate() {
                let tap = y * d.kernel + x;
                // Each channel's two taps of which this is one.
                let (both, _) = d.weights[(tap / 2 * padded + c) * 2..].as_chunks();
                let both: &[[i16; 2]; LANES] =
                    both.first_chunk().expect("channels are padded to whole panels");
                for (out, both) in words.iter_mut().zip(both) {
                    let weight = word(*both) >> (16 * (tap % 2)) & (u32::MAX >> (32 - bits));
                    *out |= weight << (bits * i);
                }
            }
            out.0 = words;
        }
    }
}

/// Two weights, the first in the lower half.
#[inline(always)]
fn word(both: [i16; 2]) -> u32 {
    // SAFETY: both are of 4 bytes, of which any will do; these processors have the lower half first.
    unsafe { core::mem::transmute::<[i16; 2], u32>(both) }
}
