//! Depthwise convolutions, written once over [`Taps`] and compiled for every x86 instruction set (see
//! [`stamp`]). `scalar` is what they must equal.

use super::band::{Band, GROUPS, Work, rows_of_a_band};
use super::end::Plain;
use super::lanes::Lanes;
use super::{Depthwise, LANES, MAX_SIDE};

/// Words of weights at most: those of two rows of a band with sides of 7 and 2 input rows in each word.
const WORDS: usize = 2 * GROUPS * MAX_SIDE;

/// Weights of each of a panel's channels: those of a group of kernel rows in one column.
#[repr(align(64))]
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) [u32; LANES]);
/// Weights of a panel.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// By row of a band, group of input rows, and column.
    taps: [Words; WORDS],
}

impl Weights {
    pub(super) const NONE: Self = Self { taps: [Words([0; LANES]); WORDS] };
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
    /// Weights, or what was laid out.
    fn load(words: &Words) -> Self;
    /// Lays out codes.
    fn lay(self, words: &mut Words);
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
            use $crate::kernels::band::{Band, Work, run};
            use $crate::kernels::depthwise::{Weights, row};
            use $crate::kernels::end::Plain;
            use $crate::kernels::{End, LANES};

            /// # Safety
            /// The band has the channels from `c` on, or all of them if it has fewer.
            #[target_feature(enable = $features)]
            unsafe fn panel<const SIDE: usize, const STRIDE: usize>(
                band: &Band,
                c: usize,
                w: &Weights,
                end: &End,
                work: &mut Work,
            ) {
                // SAFETY: the caller's promise.
                unsafe {
                    band.lay::<$taps>(c, &mut work.laid);
                    let mut plain = None;
                    if work.is_plain && c + LANES <= end.n {
                        plain = Some(Plain::of_whole(end, band.output, c));
                    }
                    for j in 0..band.rows {
                        row::<$taps, SIDE, STRIDE, $most>(band, j, w, plain.as_ref(), work);
                        if plain.is_none() {
                            let output = band.output + j * band.to_next_row;
                            finish(end, output, c, &work.sums[..band.outputs]);
                        }
                    }
                }
            }

            let panel: unsafe fn(&Band, usize, &Weights, &End, &mut Work) =
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
            run::<$taps>(d, image, first, out, panel);
        }
    };
}
pub(super) use stamp;

/// Outputs whose sums are made together, from columns that are loaded once, where fewer are left than
/// an instruction set can take.
const FEW: usize = 4;

/// The outputs of a band's row `j` for kernels of `SIDE`, at steps of `STRIDE` or of whatever the band has (0).
/// With `plain` codes are written, otherwise sums are left.
///
/// # Safety
/// The band's input is laid out; `plain` has a place for each of its outputs.
#[inline(always)]
pub(super) unsafe fn row<T: Taps, const SIDE: usize, const STRIDE: usize, const MOST: usize>(
    band: &Band,
    j: usize,
    w: &Weights,
    plain: Option<&Plain<T::Reals>>,
    work: &mut Work,
) {
    let count = band.outputs;
    let mut i = 0;
    while i < count {
        let left = count - i;
        // SAFETY: the outputs are inside of the row. The last ones end with it: some may be made twice.
        unsafe {
            i += if STRIDE == 0 || count < FEW {
                outputs::<T, SIDE, STRIDE, 1>(band, [j, i], w, plain, work)
            } else if MOST == 8 && count.is_multiple_of(7) {
                outputs::<T, SIDE, STRIDE, 7>(band, [j, i], w, plain, work)
            } else if left <= FEW || count < MOST {
                outputs::<T, SIDE, STRIDE, FEW>(band, [j, i.min(count - FEW)], w, plain, work)
            } else {
                outputs::<T, SIDE, STRIDE, MOST>(band, [j, i.min(count - MOST)], w, plain, work)
            }
        }
    }
}

/// `N` outputs of row `j` from `i` on; returns `N`.
///
/// # Safety
/// As [`row`]; the outputs lie inside of it.
#[inline(always)]
unsafe fn outputs<T: Taps, const SIDE: usize, const STRIDE: usize, const N: usize>(
    band: &Band,
    [j, i]: [usize; 2],
    w: &Weights,
    plain: Option<&Plain<T::Reals>>,
    work: &mut Work,
) -> usize {
    let w = &w.taps[j * SIDE.div_ceil(T::ROWS) * SIDE..][..SIDE.div_ceil(T::ROWS) * SIDE];
    let mut acc = [[T::zero(); 2]; N];
    // Left to itself the compiler keeps loops, and the sums in memory.
    macro_rules! column {
        ($group:literal, $columns:ident: $($x:literal)*) => {
            $(if $x < (N - 1) * STRIDE + SIDE {
                // SAFETY: the columns under the outputs are inside of the run.
                let codes = T::load(unsafe { $columns.get_unchecked($x) });
                for (k, acc) in acc.iter_mut().enumerate() {
                    if $x >= k * STRIDE && $x - k * STRIDE < SIDE {
                        let acc = &mut acc[if T::SLOW { $group % 2 } else { 0 }];
                        *acc = acc.dot(codes, T::load(&w[$group * SIDE + $x - k * STRIDE]));
                    }
                }
            })*
        };
    }
    macro_rules! group {
        ($($group:literal)*) => {
            $(if $group * T::ROWS < SIDE {
                let columns = work.laid.from($group, i * band.stride);
                column!($group, columns: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);
            })*
        };
    }
    group!(0 1 2 3);
    // A loop, not `map`: a closure would not be compiled for the instruction set.
    let mut sums = [T::zero(); N];
    for (sum, [even, odd]) in sums.iter_mut().zip(acc) {
        *sum = if T::SLOW && SIDE > T::ROWS { even.add(odd) } else { even };
    }
    match plain {
        Some(plain) => {
            let mut reals = [T::Reals::splat(0.0); N];
            for (real, sum) in reals.iter_mut().zip(sums) {
                *real = sum.reals();
            }
            // SAFETY: the caller's promise.
            unsafe { plain.store::<true, N>(j * band.to_next_row + i, reals) };
        }
        None => {
            for (sum, to) in sums.into_iter().zip(&mut work.sums[i..]) {
                sum.store(to);
            }
        }
    }
    N
}

/// The weights of the panels of which `channels` has the first channels, for each row of a band, those of
/// `side` input rows side by side.
#[inline(always)]
pub(super) fn load_weights(
    d: &Depthwise,
    channels: impl Iterator<Item = usize> + Clone,
    side: usize,
    weights: &mut [Weights],
) {
    let padded = d.channels.next_multiple_of(LANES);
    let bits = 32 / side;
    let (mut x, mut y) = (0, 0);
    // Tap by tap, as they lie.
    for tap in 0..d.kernel * d.kernel {
        let (at, up) = (y / side * d.kernel + x, bits * (y % side));
        for (c, weights) in channels.clone().zip(&mut *weights) {
            // Each channel's two taps of which this is one.
            let (both, _) = d.weights[(tap / 2 * padded + c) * 2..].as_chunks();
            let both: &[[i16; 2]; LANES] =
                both.first_chunk().expect("channels are padded to whole panels");
            let mut words = if up == 0 { [0; LANES] } else { weights.taps[at].0 };
            for (taps, both) in words.iter_mut().zip(both) {
                let weight = word(*both) >> (16 * (tap % 2)) & (u32::MAX >> (32 - bits));
                *taps |= weight << up;
            }
            weights.taps[at].0 = words;
        }
        x += 1;
        if x == d.kernel {
            (x, y) = (0, y + 1);
        }
    }
    // The next rows' taps lie further down, by less than a word.
    let (groups, rows) = (d.kernel.div_ceil(side), rows_of_a_band(d.kernel, d.stride, side));
    for (_, weights) in channels.zip(weights) {
        for j in 1..rows {
            let (first, others) = weights.taps.split_at_mut(j * groups * d.kernel);
            let down = bits * j * d.stride;
            for x in 0..d.kernel {
                let mut above = [0; LANES];
                for group in 0..groups {
                    let words = first[group * d.kernel + x].0;
                    let mut moved = words;
                    for (word, above) in moved.iter_mut().zip(above) {
                        *word = *word << down | above >> (32 - down);
                    }
                    others[group * d.kernel + x].0 = moved;
                    above = words;
                }
            }
        }
    }
}

/// Two weights, the first in the lower half.
#[inline(always)]
fn word(both: [i16; 2]) -> u32 {
    // SAFETY: both are of 4 bytes, of which any will do; these processors have the lower half first.
    unsafe { core::mem::transmute::<[i16; 2], u32>(both) }
}
