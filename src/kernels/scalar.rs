//! The specification: what every other instruction set must give, bit for bit.

use core::ops::Range;

use super::{
    Added, Depthwise, Gemm, HALF, Isa, Kernels, KeyUnits, LANES, Quantize, Query, Requant, Sink,
    Values,
};
use crate::math;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Scalar,
    gemm,
    depthwise,
    quantize,
    normalize,
    softmax,
    scale_codes,
    pack_key,
    pack_values,
    dot_f32,
    dots_f32,
    matvec_f16,
    affinity,
    scratch: no_scratch,
    peak,
};

#[inline(always)]
fn clamped(q: &Requant, y: f32, to_codes: bool) -> f32 {
    let [lo, hi] = q.bounds(to_codes);
    if q.is_bounded() { y.max(lo).min(hi) } else { y }
}

/// What is left of a value when what is behind the point is cut off.
fn cut(y: f32) -> u8 {
    y as u8
}

/// How many bytes of scratch a product over `k` inputs asks for.
fn no_scratch(_k: usize) -> usize {
    0
}

/// Products of a step of [`peak`].
const AT_ONCE: usize = 8;

fn peak(steps: usize) -> usize {
    let mut sums = [0i32; AT_ONCE];
    for step in 0..steps as i32 {
        for sum in &mut sums {
            *sum = core::hint::black_box(*sum).wrapping_add(step * 3);
        }
    }
    core::hint::black_box(sums);
    steps * AT_ONCE
}

/// The rows in their order, so that means add up in it.
fn gemm(g: &Gemm, rows: Range<usize>, panels: Range<usize>, _: &mut [u8]) {
    let (w, end) = (&g.w, &g.end);
    for r in rows {
        let a = &g.a.codes[r * g.a.stride..][..w.k];
        let zero = g.a.zero.get(r).map_or(0, |zero| i32::from(*zero));
        let row_scale = g.a.scale.get(r).copied().unwrap_or(1.0);
        for n in panels.start * LANES..w.n.min(panels.end * LANES) {
            let panel = &w.data[n / LANES * w.panel_len()..];
            let mut sum = 0i32;
            for (k, &code) in a.iter().enumerate() {
                let weight = panel[(k / 4 * LANES + n % LANES) * 4 + k % 4];
                sum = sum.wrapping_add(i32::from(code) * i32::from(weight));
            }
            let sum = sum.wrapping_sub(zero.wrapping_mul(w.sums[n]));
            let at = r * end.stride_out + n;
            let to_codes = matches!(end.sink, Sink::Codes(_));
            let y = end.q.activated(n, sum as f32, row_scale, to_codes);
            let y = match end.added {
                Added::Nothing => y,
                Added::Codes(codes, scale) => math::mul_add(f32::from(codes[at]), scale, y),
                Added::Real(values) => y + values[at],
            };
            let y = clamped(&end.q, y, to_codes);
            // SAFETY: `at` and `n` lie inside of the output, see `Gemm::checked`; nobody else writes
            // these rows and panels.
            unsafe {
                match &end.sink {
                    Sink::Codes(out) => out.at(at).write(cut(y)),
                    Sink::Real(out) => out.at(at).write(y),
                    Sink::Sums(out) => *out.at(n) += y,
                }
            }
        }
    }
}

fn depthwise(d: &Depthwise, image: &[u8], first: usize, out: &mut [u8]) {
    for (y, out) in out.chunks_mut(d.width_out * d.stride_out).enumerate() {
        depthwise_row(d, &d.rows(image, first + y)[..d.kernel], out);
    }
}

fn depthwise_row(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let padded = d.channels.next_multiple_of(LANES);
    for x in 0..d.width_out {
        for c in 0..d.channels {
            let mut sum = 0i32;
            for (ky, row) in rows.iter().enumerate() {
                for kx in 0..d.kernel {
                    let from_pad = x * d.stride + kx;
                    let inside = from_pad >= d.pad_left && from_pad - d.pad_left < d.width_in;
                    let value = if inside && !row.is_empty() {
                        row[(from_pad - d.pad_left) * d.channels + c]
                    } else {
                        d.pad[c]
                    };
                    let tap = ky * d.kernel + kx;
                    let weight = d.weights[(tap / 2 * padded + c) * 2 + tap % 2];
                    sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
                }
            }
            let y = d.requant.activated(c, sum as f32, 1.0, true);
            out[x * d.stride_out + c] = cut(clamped(&d.requant, y, true));
        }
    }
}

/// What stands for the values of one row of codes.
pub(super) struct RowSteps {
    /// Codes per unit.
    pub(super) per_unit: f32,
    /// Units per code.
    pub(super) step: f32,
    /// The code of zero, a whole number in 0..=255.
    pub(super) zero: f32,
}

/// Ranges smaller than this (or without end) hold nothing.
const SMALLEST: f32 = 1e-30;

/// Steps for values in `least..=greatest`, with zero among them; nothing for an empty range.
#[inline(always)]
pub(super) fn row_steps(least: f32, greatest: f32) -> Option<RowSteps> {
    let range = greatest - least;
    if !(SMALLEST..=f32::MAX).contains(&range) {
        return None;
    }
    let (per_unit, step) = (255.0 / range, range / 255.0);
    Some(RowSteps { per_unit, step, zero: math::round_even(-least * per_unit) })
}

/// Codes per unit and units per code for values in `-widest..=widest`, with codes in -127..=127.
#[inline(always)]
pub(super) fn symmetric_steps(widest: f32) -> [f32; 2] {
    if (SMALLEST..=f32::MAX).contains(&widest) {
        [127.0 / widest, widest / 127.0]
    } else {
        [0.0; 2]
    }
}

#[inline(always)]
pub(super) fn over_deviation(squares: f32, len: usize, epsilon: f32) -> f32 {
    1.0 / math::sqrt(squares / len as f32 + epsilon)
}

/// One over the sum of a row of codes.
#[inline(always)]
pub(super) fn over_total(total: u32) -> f32 {
    1.0 / total.max(1) as f32
}

/// Mean and one over the deviation of a row, both summed over [`LANES`] strided lanes.
fn moments(row: &[f32], epsilon: f32) -> [f32; 2] {
    let (mut sum, mut squares) = ([0.0; LANES], [0.0; LANES]);
    for (i, x) in row.iter().enumerate() {
        sum[i % LANES] += x;
    }
    let mean = tree(sum) / row.len() as f32;
    for (i, x) in row.iter().enumerate() {
        let x = x - mean;
        squares[i % LANES] = math::mul_add(x, x, squares[i % LANES]);
    }
    [mean, over_deviation(tree(squares), row.len(), epsilon)]
}

pub(super) fn quantize(q: &Quantize, row: &[f32], codes: &mut [u8]) -> (f32, u8) {
    let moments = q.epsilon.map(|epsilon| moments(row, epsilon));
    let over = moments.map_or(1.0, |[_, over]| over);
    // Before the division by the deviation, which keeps their order.
    let value = |i: usize| {
        let x = moments.map_or(row[i], |[mean, _]| row[i] - mean);
        q.factors.get(i).map_or(x, |factor| x * factor)
    };
    let (mut least, mut greatest) = (0.0f32, 0.0f32);
    for i in 0..row.len() {
        (least, greatest) = (least.min(value(i)), greatest.max(value(i)));
    }
    codes.fill(0);
    let Some(steps) = row_steps(least * over, greatest * over) else { return (1.0, 0) };
    let per_unit = steps.per_unit * over;
    for (i, code) in codes.iter_mut().enumerate().take(row.len()) {
        *code = cut(math::mul_add(value(i), per_unit, steps.zero + HALF));
    }
    (steps.step, steps.zero as u8)
}

pub(super) fn normalize(epsilon: f32, gain: &[f32], shift: &[f32], row: &[f32], out: &mut [f32]) {
    let [mean, over] = moments(row, epsilon);
    for (i, out) in out.iter_mut().enumerate() {
        *out = math::mul_add((row[i] - mean) * over, gain[i], shift[i]);
    }
}

pub(super) fn softmax(row: &[f32], codes: &mut [u8]) -> f32 {
    let greatest = row.iter().copied().fold(f32::MIN, f32::max);
    codes.fill(0);
    for (code, x) in codes.iter_mut().zip(row) {
        let u = math::mul_add(x - greatest, math::LOG2_E, math::POWER_BIAS);
        *code = math::round_even(math::power(u.max(0.0), math::POWER_255)) as u8;
    }
    over_total(codes.iter().map(|code| u32::from(*code)).sum())
}

fn scale_codes(q: &Requant, row: &[u8], out: &mut [u8]) {
    for (n, (code, out)) in row.iter().zip(out).enumerate() {
        *out = cut(clamped(q, q.activated(n, f32::from(*code), 1.0, true), true));
    }
}

/// A value in -127..=127.
#[expect(clippy::manual_clamp, reason = "`clamp` keeps NaN")]
fn symmetric(x: f32, per_unit: f32) -> i8 {
    math::round_even((x * per_unit).max(-127.0).min(127.0)) as i8
}

pub(super) fn pack_key(row: &[f32], packed: &mut [i8], lane: usize) -> (f32, i32) {
    let widest = row.iter().fold(0.0f32, |widest, x| widest.max(x.abs()));
    let [per_unit, step] = symmetric_steps(widest);
    let mut sum = 0;
    for i in 0..row.len().next_multiple_of(4) {
        let code = row.get(i).map_or(0, |x| symmetric(*x, per_unit));
        packed[(i / 4 * LANES + lane) * 4 + i % 4] = code;
        sum += i32::from(code);
    }
    (step, sum)
}

pub(super) fn pack_values(
    v: &Values,
    packed: &mut [i8],
    scale: &mut [f32; LANES],
    sums: &mut [i32; LANES],
) {
    for lane in 0..LANES {
        let value = |row: usize| {
            let exists = row < v.rows && lane < v.columns;
            if exists { v.data[row * v.stride + lane] } else { 0.0 }
        };
        let widest = (0..v.rows).fold(0.0f32, |widest, row| widest.max(value(row).abs()));
        let per_unit;
        [per_unit, scale[lane]] = symmetric_steps(widest);
        sums[lane] = 0;
        for row in 0..packed.len() / LANES {
            let code = symmetric(value(row), per_unit);
            packed[(row / 4 * LANES + lane) * 4 + row % 4] = code;
            sums[lane] += i32::from(code);
        }
    }
}

/// The tree at the end of every float sum: l += l + 8, l + 4, l + 2, l + 1.
#[inline(always)]
pub(super) fn tree(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// The end of a dot product: the elements that fill no whole vector go to the first lanes, then the
/// [`tree`].
#[inline(always)]
pub(super) fn finish_dot(mut lanes: [f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
        *lane = math::mul_add(*a, *b, *lane);
    }
    tree(lanes)
}

fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    for (a, b) in whole_a.zip(whole_b) {
        for l in 0..LANES {
            lanes[l] = math::mul_add(a[l], b[l], lanes[l]);
        }
    }
    finish_dot(lanes, rest_a, rest_b)
}

fn dots_f32(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    let rows = a.chunks_exact(k).zip(out.chunks_exact_mut((b.len() / k).max(1)));
    for (a, out) in rows {
        b.chunks_exact(k).zip(out).for_each(|(b, out)| *out = dot_f32(a, b));
    }
}

/// An f16 as the f32 of the same value.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32_const()
}

/// [`finish_dot`] for a row of f16; `w` and `x` are shorter than [`LANES`].
#[inline(always)]
pub(super) fn finish_dot_f16(lanes: [f32; LANES], w: &[u16], x: &[f32]) -> f32 {
    let mut wide = [0.0; LANES];
    for (wide, w) in wide.iter_mut().zip(w) {
        *wide = widen(*w);
    }
    finish_dot(lanes, &wide[..w.len()], x)
}

fn matvec_f16(w: &[u16], x: &[f32], out: &mut [f32]) {
    for (r, out) in out.iter_mut().enumerate() {
        let row = &w[r * x.len()..][..x.len()];
        let mut lanes = [0.0; LANES];
        let (whole_w, whole_x) = (row.chunks_exact(LANES), x.chunks_exact(LANES));
        let (rest_w, rest_x) = (whole_w.remainder(), whole_x.remainder());
        for (w, x) in whole_w.zip(whole_x) {
            for l in 0..LANES {
                lanes[l] = math::mul_add(widen(w[l]), x[l], lanes[l]);
            }
        }
        *out = finish_dot_f16(lanes, rest_w, rest_x);
    }
}

fn affinity(
    panel: &[i8],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let mut dots = [0i32; LANES];
    for (codes, keys) in q.codes.chunks_exact(4).zip(panel.chunks_exact(4 * LANES)) {
        for (dot, key) in dots.iter_mut().zip(keys.chunks_exact(4)) {
            for (c, k) in codes.iter().zip(key) {
                *dot = dot.wrapping_add(*c as i32 * *k as i32);
            }
        }
    }
    for l in 0..LANES {
        cos[l] = math::mul_add(dots[l] as f32, q.scale * key_scale[l], q.base + key_bias[l]);
        aff[l] = math::exp(math::mul_add(q.beta, cos[l], -q.beta));
    }
}
