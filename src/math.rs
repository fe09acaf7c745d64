//! Float functions that give the same bits on every processor.
//!
//! IEEE 754 fixes `+ - * /`, square root and the fused multiply-add; everything else here is built
//! from those in one order, and the vector kernels repeat that order lane by lane.

/// `a * b + c` with one rounding, also where the processor has no such instruction.
#[inline(always)]
pub fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    return libm::fmaf(a, b, c);
}

/// The square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    return libm::sqrtf(x);
}

/// The nearest integer; halves go to the even one.
#[inline(always)]
pub fn round_even(x: f32) -> f32 {
    #[cfg(feature = "std")]
    return x.round_ties_even();
    #[cfg(not(feature = "std"))]
    return libm::rintf(x);
}

/// Below this [`exp`] is zero: its result would leave the normal numbers, where processors differ.
pub(crate) const EXP_MIN: f32 = -87.0;
/// Above this [`exp`] stays at its largest value, one over which is still a normal number: others cost
/// many processors a hundred cycles.
pub(crate) const EXP_MAX: f32 = 87.0;
pub(crate) const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 = `LN_2_HIGH` + `LN_2_LOW`; the first has few enough bits for `n * LN_2_HIGH` to be exact.
pub(crate) const LN_2_HIGH: f32 = 0.693_359_4;
pub(crate) const LN_2_LOW: f32 = -2.121_944_4e-4;
/// e^r = 1 + r + r^2 P(r) for |r| <= ln 2 / 2, highest power first (Cephes, `expf`).
pub(crate) const EXP_P: [f32; 6] =
    [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// e to the power `x`, relative error below 2e-7; zero below -87 and for NaN, e^87 above 87.
#[inline]
#[expect(clippy::manual_clamp, reason = "`clamp` keeps NaN")]
pub fn exp(x: f32) -> f32 {
    // `max` and `min` return the number where one side is NaN, so the conversion below is defined.
    let t = x.max(EXP_MIN).min(EXP_MAX);
    let n = round_even(t * LOG2_E);
    let r = mul_add(-n, LN_2_HIGH, t);
    let r = mul_add(-n, LN_2_LOW, r);
    let mut p = EXP_P[0];
    for c in &EXP_P[1..] {
        p = mul_add(p, r, *c);
    }
    let y = mul_add(p, r * r, r) + 1.0;
    let power = f32::from_bits(((n as i32 + 127) as u32) << 23);
    if x >= EXP_MIN { y * power } else { 0.0 }
}

/// A power of 2 is taken of a value plus this, which is the bias of an f32's exponent: the whole part is then one already.
pub(crate) const POWER_BIAS: f32 = 127.0;
/// Above this (the bias included) powers stay as they are: both they and one over them are normal numbers.
pub(crate) const POWER_MAX: f32 = 125.0 + POWER_BIAS;
/// 2^f for |f| <= 1/2, highest power first: our own minimax fit of the relative error.
pub(crate) const POWER_P: [f32; 4] = [5.517_167e-2, 2.426_111_3e-1, 6.932_61e-1, 9.999_280_6e-1];
/// [`POWER_P`] for powers in 255ths.
pub(crate) const POWER_255: [f32; 4] =
    [255.0 * POWER_P[0], 255.0 * POWER_P[1], 255.0 * POWER_P[2], 255.0 * POWER_P[3]];

/// 2 to the power `u - POWER_BIAS`, relative error below 8e-5, for `u` up to `POWER_MAX` or no number; zero where it would
/// leave the normal numbers: what gates and probabilities need that become 8-bit codes.
#[inline]
pub fn power_of_two(u: f32) -> f32 {
    power(u, POWER_P)
}

/// [`power_of_two`], by the coefficients of the power of its fraction.
#[inline(always)]
pub(crate) fn power(u: f32, coefficients: [f32; 4]) -> f32 {
    let n = round_even(u);
    let f = u - n;
    let mut p = coefficients[0];
    for c in &coefficients[1..] {
        p = mul_add(p, f, *c);
    }
    p * f32::from_bits((n as u32) << 23)
}

/// `1 + 2^(x * c)`
#[inline]
pub fn one_and_power(x: f32, c: f32) -> f32 {
    1.0 + power_of_two(mul_add(x, c, POWER_BIAS).min(POWER_MAX))
}

/// `1 / (1 + e^-x)`
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / one_and_power(x, -LOG2_E)
}

/// Coefficients of [`gated`] with which it is the Gaussian error linear unit `x * Phi(x)` to 5e-5.
/// Our own minimax fit of the logit of Phi.
pub const GELU: [f32; 3] = [1.595_015_5, 0.074_011_15, -7.029_988_6e-4];
/// The same for GELU's tanh form, which is this expression.
pub const GELU_TANH: [f32; 3] = [1.595_769, 0.071_354_82, 0.0];
/// The same for QuickGELU, `x * sigmoid(1.702 x)`.
pub const QUICK_GELU: [f32; 3] = [1.702, 0.0, 0.0];
/// The same for SiLU (swish), `x * sigmoid(x)`.
pub const SILU: [f32; 3] = [1.0, 0.0, 0.0];
/// Squares above this count as this in [`gated`]: the polynomial ends there.
pub(crate) const GATED_MAX: f32 = 36.0;

/// `x * sigmoid(x * (c0 + t * (c1 + t * c2)))` with `t = min(x * x, 36)`: all the smooth gates.
#[inline]
pub fn gated(x: f32, c: [f32; 3]) -> f32 {
    let t = (x * x).min(GATED_MAX);
    let [c0, c1, c2] = minus_in_twos(c);
    x / one_and_power(x, mul_add(t, mul_add(t, c2, c1), c0))
}

/// Coefficients for a power of 2 with the sign changed.
#[inline(always)]
pub(crate) fn minus_in_twos([c0, c1, c2]: [f32; 3]) -> [f32; 3] {
    [c0 * -LOG2_E, c1 * -LOG2_E, c2 * -LOG2_E]
}

/// `x * min(max(x / 6 + 1/2, 0), 1)`
#[inline]
#[expect(clippy::manual_clamp, reason = "`clamp` keeps NaN")]
pub fn hard_swish(x: f32) -> f32 {
    x * mul_add(x, 1.0 / 6.0, 0.5).max(0.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_2e_7_of_the_true_value() {
        let (mut x, mut worst) = (-87.0f32, 0.0f64);
        while x <= 87.0 {
            let truth = libm::exp(x as f64);
            worst = worst.max(((exp(x) as f64 - truth) / truth).abs());
            x += 0.001_37;
        }
        assert!(worst < 2e-7, "relative error {worst:e}");
    }

    #[test]
    fn power_of_two_is_within_8e_5_of_the_true_value() {
        let (mut x, mut worst) = (-125.0f32, 0.0f64);
        while x <= 125.0 {
            let u = x + POWER_BIAS;
            let truth = libm::exp2(f64::from(u) - f64::from(POWER_BIAS));
            worst = worst.max(((f64::from(power_of_two(u)) - truth) / truth).abs());
            x += 0.001_37;
        }
        assert!(worst < 8e-5, "relative error {worst:e}");
        for below in [0.4, 0.0, -0.4, -1.0, -1e9] {
            assert_eq!(power_of_two(below), 0.0);
        }
        let most = power_of_two(POWER_MAX);
        assert!(most.is_normal() && (1.0 / most).is_normal());
        assert_eq!(one_and_power(f32::INFINITY, 1.0), 1.0 + most);
        assert_eq!(one_and_power(f32::NAN, 1.0), 1.0 + most);
        assert_eq!(one_and_power(-1e9, 1.0), 1.0);
    }

    #[test]
    fn exp_at_its_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-87.01), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::NAN), 0.0);
        assert!(exp(-87.0).is_normal());
        assert_eq!(exp(f32::INFINITY), exp(87.0));
        assert!((1.0 / exp(87.0)).is_normal());
    }

    #[test]
    fn multiply_add_rounds_once() {
        // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24: a product rounded first would lose it.
        let a = 1.0 + 1.0 / 4096.0;
        assert_eq!(mul_add(a, a, -(1.0 + 1.0 / 2048.0)), 1.0 / 16_777_216.0);
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(round_even), [0.0, 2.0, 2.0, -0.0, -2.0]);
    }

    #[test]
    fn gates_are_what_they_stand_for() {
        let close = |a: f32, b: f64, within: f64| assert!((f64::from(a) - b).abs() < within);
        for i in -2000..=2000 {
            let x = i as f32 * 0.01;
            let wide = f64::from(x);
            let phi = 0.5 * (1.0 + libm::erf(wide / core::f64::consts::SQRT_2));
            close(gated(x, GELU), wide * phi, 5e-5);
            let inner = (2.0 / core::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            // Below -6 the square is cut off, where both are zero for an encoder.
            close(gated(x, GELU_TANH), 0.5 * wide * (1.0 + inner.tanh()), 3e-5);
            close(gated(x, QUICK_GELU), wide / (1.0 + (-1.702 * wide).exp()), 3e-5);
            close(hard_swish(x), wide * (wide / 6.0 + 0.5).clamp(0.0, 1.0), 1e-5);
        }
    }
}
