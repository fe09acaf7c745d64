//! What the kernels take.

use core::ops::Range;

use super::pack::packed_len;
use crate::math;

/// Lanes of a float sum, and the output channels (or keys) of a weight panel.
pub const LANES: usize = 16;

/// Largest side of a depthwise kernel.
pub const MAX_SIDE: usize = 7;

/// Rows of codes, the left side of a matrix product.
///
/// An image of static codes has one scale and zero point that are folded into the weights and the
/// bias: `scale` and `zero` are empty then. Rows that [`Kernels::quantize`](super::Kernels::quantize)
/// wrote have one of each.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The codes, `[count]` rows, one every `stride` bytes.
    pub codes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Number of rows.
    pub count: usize,
    /// Real value of one step of each row's codes, or nothing.
    pub scale: &'a [f32],
    /// The code that stands for zero in each row, or nothing (0).
    pub zero: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Rows that lie one after the other and have static codes.
    pub fn of_codes(codes: &'a [u8], stride: usize, count: usize) -> Self {
        Self { codes, stride, count, scale: &[], zero: &[] }
    }
}

/// Weights (or keys) in the order in which the kernels read them: `[ceil(n/16)][ceil(k/4)][16][4]`.
///
/// Weights lie in -127..=127; places past `n` and `k` hold zeros.
#[derive(Clone, Copy)]
pub struct PackedMatrix<'a> {
    /// Inputs of each output.
    pub k: usize,
    /// Outputs.
    pub n: usize,
    /// The packed weights, [`packed_len`] long.
    pub data: &'a [i8],
    /// Sum of each output's weights, their count rounded up to [`LANES`]. What a zero point adds to a
    /// product is a multiple of it.
    pub sums: &'a [i32],
}

impl<'a> PackedMatrix<'a> {
    /// Bytes of one panel of [`LANES`] outputs.
    pub const fn panel_len(&self) -> usize {
        packed_len(self.k, LANES)
    }

    /// Number of panels.
    pub const fn panels(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// The panels (of [`LANES`] outputs each) in `range` as a matrix of their own.
    pub fn only(&self, range: Range<usize>) -> PackedMatrix<'a> {
        let len = self.panel_len();
        PackedMatrix {
            k: self.k,
            n: self.n.min(range.end * LANES) - range.start * LANES,
            data: &self.data[range.start * len..range.end * len],
            sums: &self.sums[range.start * LANES..range.end * LANES],
        }
    }
}

/// What is applied to a product in real units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing (bounds are in [`Requant`]).
    Linear,
    /// `x * sigmoid(x * (c0 + t * (c1 + t * c2)))` with `t = min(x * x, 36)`: SiLU, QuickGELU, both
    /// GELUs, see [`GELU`](crate::kernels::GELU).
    Gated([f32; 3]),
    /// `x * min(max(x / 6 + 1/2, 0), 1)`
    HardSwish,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// Added to what becomes a code: what is behind the point is cut off then, so that halves round up.
pub const HALF: f32 = 0.5;

/// How an integer sum becomes an activation: `y = fma(sum, row_scale * scale[n], bias[n])`, then the
/// activation, then `fma(y, step, zero)` if there are steps, what is added, and the clamp to `lo..=hi`.
///
/// For u8 the last summand of these (zero, or bias where there is no activation, or what comes of one without steps) and
/// the bounds have [`HALF`] added, and what is behind the point is cut off.
#[derive(Clone, Copy)]
pub struct Requant<'a> {
    /// One factor per output channel, their count rounded up to [`LANES`].
    pub scale: &'a [f32],
    /// One summand per output channel, as many as `scale`.
    pub bias: &'a [f32],
    /// Applied next.
    pub activation: Activation,
    /// From real units to the output's codes where an activation stands between: codes per unit and
    /// zero point of each channel, as many as `scale`.
    pub steps: Option<[&'a [f32]; 2]>,
    /// Smallest result; for u8 output not below 0.
    pub lo: f32,
    /// Largest result; for u8 output not above 255.
    pub hi: f32,
}

impl<'a> Requant<'a> {
    /// Without activation, in codes.
    pub fn to_codes(scale: &'a [f32], bias: &'a [f32]) -> Self {
        Self { scale, bias, activation: Activation::Linear, steps: None, lo: 0.0, hi: 255.0 }
    }

    /// Without activation and bounds.
    pub fn to_real(scale: &'a [f32], bias: &'a [f32]) -> Self {
        let (lo, hi) = (f32::MIN, f32::MAX);
        Self { scale, bias, activation: Activation::Linear, steps: None, lo, hi }
    }

    /// What becomes of a sum of channel `n`, before a value is added: the specification.
    #[inline(always)]
    pub fn activated(&self, n: usize, sum: f32, row_scale: f32, to_codes: bool) -> f32 {
        let half = |is_last: bool, x: f32| if to_codes && is_last { x + HALF } else { x };
        let is_linear = self.activation == Activation::Linear;
        let bias = half(is_linear && self.steps.is_none(), self.bias[n]);
        let y = math::mul_add(sum, row_scale * self.scale[n], bias);
        let y = match self.activation {
            Activation::Linear => y,
            Activation::Gated(c) => math::gated(y, c),
            Activation::HardSwish => math::hard_swish(y),
            Activation::Sigmoid => math::sigmoid(y),
        };
        match self.steps {
            None => half(!is_linear, y),
            Some([step, zero]) => math::mul_add(y, step[n], half(true, zero[n])),
        }
    }

    /// The bounds.
    pub(super) fn bounds(&self, to_codes: bool) -> [f32; 2] {
        if to_codes { [self.lo + HALF, self.hi + HALF] } else { [self.lo, self.hi] }
    }

    pub(super) fn check(&self, n: usize) {
        let padded = n.next_multiple_of(LANES);
        let steps = self.steps.unwrap_or([self.scale; 2]);
        for values in [self.scale, self.bias, steps[0], steps[1]] {
            assert!(values.len() >= padded, "requant: a value for each channel");
        }
    }

    /// Whether there are bounds: values that are not finite stay as they are without.
    pub(super) fn is_bounded(&self) -> bool {
        self.lo > f32::MIN || self.hi < f32::MAX
    }

    /// The same with the clamp inside of what a u8 holds.
    pub(super) fn for_codes(self) -> Self {
        Requant { lo: self.lo.max(0.0), hi: self.hi.min(255.0), ..self }
    }

    /// The channels from `n` on.
    pub fn from(self, n: usize) -> Self {
        let steps = self.steps.map(|steps| steps.map(|values| &values[n..]));
        Requant { scale: &self.scale[n..], bias: &self.bias[n..], steps, ..self }
    }
}

/// What is added to a product before its clamp, laid out like the output.
#[derive(Clone, Copy)]
pub enum Added<'a> {
    /// Nothing.
    Nothing,
    /// `y = fma(codes, scale, y)`: `scale` is their factor in the output's units.
    Codes(&'a [u8], f32),
    /// `y = y + values`
    Real(&'a [f32]),
}

/// Where a product goes: rows of `n` values, one every `stride` values.
pub enum Out<'a> {
    /// Rounded to codes.
    Codes(&'a mut [u8]),
    /// As it is.
    Real(&'a mut [f32]),
}

/// How rows of real values become rows of codes.
#[derive(Clone, Copy)]
pub struct Quantize<'a> {
    /// Values of a row.
    pub len: usize,
    /// Takes off a row's mean and divides by its deviation first (layer normalisation), with this
    /// added to the variance.
    pub epsilon: Option<f32>,
    /// Factor of each value, `len` long, or nothing.
    pub factors: &'a [f32],
}

/// Where quantized rows go.
pub struct CodeRows<'a> {
    /// Their codes, one row every `stride` bytes.
    pub codes: &'a mut [u8],
    /// Bytes from one row to the next: all of them are written.
    pub stride: usize,
    /// Real value of one step of each row.
    pub scale: &'a mut [f32],
    /// The code that stands for zero in each row.
    pub zero: &'a mut [u8],
}

impl CodeRows<'_> {
    /// The first `count` rows, to be read.
    pub fn rows(&self, count: usize) -> Rows<'_> {
        let Self { codes, stride, scale, zero } = self;
        Rows { codes, stride: *stride, count, scale, zero }
    }
}

/// A block of real values, rows by columns.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The first row's first value, and all after it.
    pub data: &'a [f32],
    /// Values from one row to the next.
    pub stride: usize,
    /// Number of rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
}

/// A depthwise convolution over an image, channels last.
#[derive(Clone, Copy)]
pub struct Depthwise<'a> {
    /// Channels of input and output.
    pub channels: usize,
    /// Side of the kernel, at most [`MAX_SIDE`].
    pub kernel: usize,
    /// Step between outputs, in input pixels.
    pub stride: usize,
    /// Input rows that are missing above the first output's kernel.
    pub pad_top: usize,
    /// Input pixels that are missing on the left of the first output's kernel.
    pub pad_left: usize,
    /// Rows of the input.
    pub height_in: usize,
    /// Pixels of an input row.
    pub width_in: usize,
    /// Rows of the output.
    pub height_out: usize,
    /// Pixels of an output row.
    pub width_out: usize,
    /// Values from one output pixel to the next, at least `channels`.
    pub stride_out: usize,
    /// `[ceil(kernel * kernel / 2)][channels rounded up to 16][2]`: taps 2t and 2t + 1 side by side;
    /// places past the last tap and channel hold zeros.
    pub weights: &'a [i16],
    /// Whether each weight is also an i8, as an import makes them: four are then taken at once where a
    /// processor can.
    pub are_bytes: bool,
    /// Per channel, see [`Requant`].
    pub requant: Requant<'a>,
    /// What stands outside of the image: one value (its zero point) per channel.
    pub pad: &'a [u8],
}

/// The image's side of Tip-Adapter's affinity.
pub struct Query<'a> {
    /// The centred feature in i8, -127..=127, filled with zeros to a multiple of 4.
    pub codes: &'a [i8],
    /// Units of `codes`.
    pub scale: f32,
    /// What the centring took from the cosine on the query's side.
    pub base: f32,
    /// Tip-Adapter's sharpness.
    pub beta: f32,
    /// Bytes of all keys that it is compared with: how they are best read depends on it.
    pub keys: usize,
}

impl Depthwise<'_> {
    /// The input rows under output row `y`, from the kernel's first row on; empty where they lie
    /// outside of the image.
    pub(super) fn rows<'i>(&self, image: &'i [u8], y: usize) -> [&'i [u8]; MAX_SIDE] {
        let row_in = self.width_in * self.channels;
        let mut rows: [&[u8]; MAX_SIDE] = Default::default();
        for (tap, row) in rows.iter_mut().enumerate().take(self.kernel) {
            let y = (y * self.stride + tap).checked_sub(self.pad_top);
            if let Some(y) = y.filter(|y| *y < self.height_in) {
                *row = &image[y * row_in..(y + 1) * row_in];
            }
        }
        rows
    }

    pub(super) fn check(&self, image: &[u8], out: &[u8]) {
        let d = self;
        assert!((1..=MAX_SIDE).contains(&d.kernel), "depthwise: kernel");
        assert!(d.stride > 0 && d.stride_out >= d.channels, "depthwise: stride");
        let row_in = d.width_in.checked_mul(d.channels).expect("depthwise: width_in");
        assert!(fits(image.len(), d.height_in, row_in, row_in), "depthwise: image");
        let pixels = d.width_out.checked_mul(d.height_out).expect("depthwise: width_out");
        assert!(fits(out.len(), pixels, d.stride_out, d.channels), "depthwise: out");
        for out in [d.width_out, d.height_out] {
            let end = out.checked_mul(d.stride).and_then(|end| end.checked_add(d.kernel));
            assert!(end.is_some(), "depthwise: width_out");
        }
        let padded = d.channels.next_multiple_of(LANES);
        let pairs = (d.kernel * d.kernel).div_ceil(2);
        assert!(fits(d.weights.len(), pairs, 2 * padded, 2 * padded), "depthwise: weights");
        assert!(d.pad.len() >= d.channels, "depthwise: pad");
        d.requant.check(d.channels);
    }
}

impl Quantize<'_> {
    pub(super) fn check(&self) {
        assert!(self.len > 0, "quantize: length");
        assert!(self.factors.is_empty() || self.factors.len() == self.len, "quantize: factors");
    }
}

impl Values<'_> {
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0 && self.stride >= self.columns, "values: shape");
        assert!(fits(self.data.len(), self.rows, self.stride, self.columns), "values: data");
    }
}

/// Whether `rows` rows of `len`, one every `stride`, lie inside `have`.
pub(super) fn fits(have: usize, rows: usize, stride: usize, len: usize) -> bool {
    let Some(last) = rows.checked_sub(1) else { return true };
    last.checked_mul(stride).and_then(|at| at.checked_add(len)).is_some_and(|end| end <= have)
}
