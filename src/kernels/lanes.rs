//! [`LANES`] floats at once: the little that the float parts of the vector kernels need of an
//! instruction set. `vector` is written over it once; each instruction set implements it.
//!
//! The arithmetic is safe to call because a value of an implementing type is only ever made below a
//! table of kernels, which can be had only on a processor with the instruction set.

use super::end::{self, Plain};
use super::{End, LANES, scalar};
use crate::math;

/// Functions of several values at once, each step for all of them: one value's steps wait for each other.
macro_rules! each {
    ($value:ident of $values:ident: $result:expr) => {
        for $value in &mut $values {
            *$value = $result;
        }
    };
}

pub(super) trait Lanes: Copy {
    fn splat(x: f32) -> Self;
    /// # Safety
    /// [`LANES`] values can be read.
    unsafe fn load(at: *const f32) -> Self;
    /// # Safety
    /// [`LANES`] values can be written.
    unsafe fn store(self, at: *mut f32);
    /// Codes as floats.
    ///
    /// # Safety
    /// [`LANES`] codes can be read.
    unsafe fn load_codes(at: *const u8) -> Self;
    /// Rounds values in 0..=255 half to even.
    ///
    /// # Safety
    /// [`LANES`] codes can be written.
    unsafe fn store_codes(self, at: *mut u8);
    /// Cuts off what is behind the point, which rounds what had [`HALF`](crate::kernels::HALF) added; what is below 0 or no number
    /// becomes 0, what is above 255 that.
    ///
    /// # Safety
    /// [`LANES`] codes can be written.
    unsafe fn store_cut(self, at: *mut u8);

    /// [`store_cut`](Self::store_cut) of `self * factor + summand`; all lanes of the factor are the same.
    ///
    /// # Safety
    /// [`LANES`] summands can be read and codes written.
    #[inline(always)]
    unsafe fn store_scaled(self, factor: Self, summand: *const f32, at: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { self.mul_add(factor, Self::load(summand)).store_cut(at) }
    }

    /// [`store_cut`](Self::store_cut) for the first `count` of four rows, the first one to `at`; with `SMALL` an i32 holds
    /// all of them.
    ///
    /// # Safety
    /// The codes that `plain` has of each row can be written.
    #[inline(always)]
    unsafe fn store_cut_of<const SMALL: bool>(
        rows: [Self; 4],
        count: usize,
        at: *mut u8,
        plain: &Plain<Self>,
    ) {
        for (i, row) in rows.into_iter().enumerate().take(count) {
            // SAFETY: the caller's promise.
            unsafe { row.store_cut_part(at.add(i * plain.stride), plain.count) };
        }
    }

    /// Codes of rows of sums.
    ///
    /// # Safety
    /// `plain` has a place for as many rows, which nobody else writes.
    #[inline(always)]
    unsafe fn store_sums(sums: &[[i32; LANES]], plain: &Plain<Self>) {
        // SAFETY: the caller's promise.
        unsafe { end::store_sums(sums, plain) }
    }

    /// Sums as floats.
    ///
    /// # Safety
    /// [`LANES`] sums can be read.
    unsafe fn load_sums(sums: *const i32) -> Self;
    /// `sum - zero * column`, wrapping, as floats.
    ///
    /// # Safety
    /// [`LANES`] values can be read on both sides.
    unsafe fn load_sums_less(sums: *const i32, columns: *const i32, zero: u8) -> Self;
    /// Rounds values in -127..=127 half to even; byte i of group l is lane l of `fours[i]`.
    ///
    /// # Safety
    /// 4 * [`LANES`] bytes can be written.
    unsafe fn store_fours(fours: [Self; 4], at: *mut i8);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * b + c` with one rounding.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The greater; `other` where `self` is not a number.
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` where `self` is not a number.
    fn min(self, other: Self) -> Self;
    /// To whole numbers, half to even.
    fn round(self) -> Self;
    /// Times 2 to the power of whole numbers `n` less [`math::POWER_BIAS`]. From `n` = 0 down it may be anything so small that
    /// adding it to one changes nothing.
    fn times_power_of_two(self, n: Self) -> Self;

    /// [`math::power`] of values up to [`math::POWER_MAX`], or something as small as
    /// [`times_power_of_two`](Self::times_power_of_two) has it where that is zero.
    #[inline(always)]
    fn power<const N: usize>(u: [Self; N], coefficients: [f32; 4]) -> [Self; N] {
        let (mut n, mut f) = (u, u);
        each!(n of n: n.round());
        for (f, n) in f.iter_mut().zip(n) {
            *f = f.sub(n);
        }
        let mut p = [Self::splat(coefficients[0]); N];
        for c in &coefficients[1..] {
            for (p, f) in p.iter_mut().zip(f) {
                *p = p.mul_add(f, Self::splat(*c));
            }
        }
        for (p, n) in p.iter_mut().zip(n) {
            *p = p.times_power_of_two(n);
        }
        p
    }

    /// [`math::one_and_power`] of what is plus the bias already and at most [`math::POWER_MAX`].
    #[inline(always)]
    fn one_and_power<const N: usize>(u: [Self; N]) -> [Self; N] {
        let mut power = Self::power(u, math::POWER_P);
        each!(p of power: p.add(Self::splat(1.0)));
        power
    }

    /// Codes of `255 * e^(self - greatest)`.
    ///
    /// # Safety
    /// [`LANES`] codes can be written.
    #[inline(always)]
    unsafe fn store_probability(self, greatest: Self, at: *mut u8) {
        let u =
            self.sub(greatest).mul_add(Self::splat(math::LOG2_E), Self::splat(math::POWER_BIAS));
        let [power] = Self::power([u.max(Self::splat(0.0))], math::POWER_255);
        // SAFETY: the caller's promise.
        unsafe { power.store_codes(at) }
    }

    /// [`swish`] of rows of sums that are [tokens](end::are_tokens) to which nothing is added, if an instruction set has a
    /// loop of its own for it.
    ///
    /// # Safety
    /// As `finish` of [`end::stamp`].
    #[inline(always)]
    unsafe fn swish_tokens(_: &End, _r: usize, _n: usize, _: &[[i32; LANES]], _c: f32) -> bool {
        false
    }

    /// The sum of codes, fewer than 2^24.
    #[inline(always)]
    fn total(codes: &[u8]) -> u32 {
        codes.iter().map(|code| u32::from(*code)).sum()
    }

    /// Rounds values in -127..=127 half to even.
    #[inline(always)]
    fn to_signed(self) -> [i8; LANES] {
        let mut codes = [0u8; LANES];
        // SAFETY: LANES codes.
        unsafe { self.round().add(Self::splat(128.0)).store_codes(codes.as_mut_ptr()) };
        let mut signed = [0; LANES];
        for (signed, code) in signed.iter_mut().zip(codes) {
            *signed = (code ^ 0x80) as i8;
        }
        signed
    }

    /// The greatest lane, at least `least`.
    #[inline(always)]
    fn greatest(self, least: f32) -> f32 {
        let mut greatest = least;
        for lane in self.to_array() {
            greatest = greatest.max(lane);
        }
        greatest
    }

    /// The tree at the end of every float sum.
    #[inline(always)]
    fn tree(self) -> f32 {
        scalar::tree(self.to_array())
    }

    #[inline(always)]
    fn neg(self) -> Self {
        Self::splat(-0.0).sub(self)
    }

    /// The lanes one by one.
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: LANES values.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }

    /// Up to [`LANES`] values, then `fill`.
    ///
    /// # Safety
    /// `count` values can be read.
    #[inline(always)]
    unsafe fn load_part(at: *const f32, count: usize, fill: f32) -> Self {
        // SAFETY: the caller's promise; at most LANES are copied.
        unsafe {
            if count >= LANES {
                return Self::load(at);
            }
            let mut part = [fill; LANES];
            core::ptr::copy_nonoverlapping(at, part.as_mut_ptr(), count);
            Self::load(part.as_ptr())
        }
    }

    /// # Safety
    /// `count` values, at most [`LANES`], can be written.
    #[inline(always)]
    unsafe fn store_part(self, at: *mut f32, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if count >= LANES {
                return self.store(at);
            }
            core::ptr::copy_nonoverlapping(self.to_array().as_ptr(), at, count);
        }
    }

    /// # Safety
    /// `count` codes, at most [`LANES`], can be read.
    #[inline(always)]
    unsafe fn load_codes_part(at: *const u8, count: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            if count >= LANES {
                return Self::load_codes(at);
            }
            let mut part = [0; LANES];
            copy_codes(at, part.as_mut_ptr(), count);
            Self::load_codes(part.as_ptr())
        }
    }

    /// # Safety
    /// `count` codes, at most [`LANES`], can be written.
    #[inline(always)]
    unsafe fn store_cut_part(self, at: *mut u8, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if count >= LANES {
                return self.store_cut(at);
            }
            let mut part = [0; LANES];
            self.store_cut(part.as_mut_ptr());
            copy_codes(part.as_ptr(), at, count);
        }
    }
}

/// Codes of a panel that is not whole: mostly half of one, for which a call takes longer than the copy.
///
/// # Safety
/// They can be read and written, apart from each other.
#[inline(always)]
unsafe fn copy_codes(from: *const u8, to: *mut u8, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count == LANES / 2 {
            to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned());
        } else {
            core::ptr::copy_nonoverlapping(from, to, count);
        }
    }
}

/// `1 + 2^(x * c)` for each value and its own `c`.
#[inline(always)]
fn one_and_power<V: Lanes, const N: usize>(x: [V; N], c: [V; N]) -> [V; N] {
    let mut u = x;
    for (u, c) in u.iter_mut().zip(c) {
        *u = u.mul_add(c, V::splat(math::POWER_BIAS)).min(V::splat(math::POWER_MAX));
    }
    V::one_and_power(u)
}

/// [`math::sigmoid`].
#[inline(always)]
pub(super) fn sigmoid<V: Lanes, const N: usize>(x: [V; N]) -> [V; N] {
    let mut y = one_and_power(x, [V::splat(-math::LOG2_E); N]);
    each!(y of y: V::splat(1.0).div(*y));
    y
}

/// [`math::gated`].
#[inline(always)]
pub(super) fn gated<V: Lanes, const N: usize>(x: [V; N], c: [f32; 3]) -> [V; N] {
    let (set, [c0, c1, c2]) = (V::splat, math::minus_in_twos(c));
    let mut factor = x;
    each!(x of factor: {
        let t = x.mul(*x).min(set(math::GATED_MAX));
        t.mul_add(t.mul_add(set(c2), set(c1)), set(c0))
    });
    let mut gate = one_and_power(x, factor);
    for (gate, x) in gate.iter_mut().zip(x) {
        *gate = x.div(*gate);
    }
    gate
}

/// [`gated`] with the coefficients `[c, 0, 0]`.
#[inline(always)]
pub(super) fn swish<V: Lanes, const N: usize>(x: [V; N], c: f32) -> [V; N] {
    let [c, _, _] = math::minus_in_twos([c, 0.0, 0.0]);
    let mut gate = one_and_power(x, [V::splat(c); N]);
    for (gate, x) in gate.iter_mut().zip(x) {
        *gate = x.div(*gate);
    }
    gate
}

/// [`math::hard_swish`].
#[inline(always)]
pub(super) fn hard_swish<V: Lanes, const N: usize>(x: [V; N]) -> [V; N] {
    let set = V::splat;
    let mut y = x;
    each!(y of y: y.mul(y.mul_add(set(1.0 / 6.0), set(0.5)).max(set(0.0)).min(set(1.0))));
    y
}
