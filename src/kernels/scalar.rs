//! The specification: what every other instruction set must give, bit for bit.

use super::{Depthwise, Gemm, Isa, Kernels, KeyUnits, LANES, Query, Requant, Sink};
use crate::math;

pub(super) static KERNELS: Kernels =
    Kernels { isa: Isa::Scalar, gemm, depthwise, dot_f32, matvec_f16, affinity };

/// A sum in output units, before the clamp.
#[inline(always)]
fn scaled(q: &Requant, n: usize, sum: i32) -> f32 {
    math::mul_add(sum as f32, q.scale[n], q.bias[n])
}

#[inline(always)]
fn clamped(q: &Requant, y: f32) -> f32 {
    y.max(q.lo).min(q.hi)
}

fn gemm(g: &Gemm, mut sink: Sink) {
    let (w, q) = (&g.w, &g.q);
    for r in 0..g.rows {
        let a = &g.a[r * g.lda..][..w.k];
        for n in 0..w.n {
            let panel = &w.data[n / LANES * w.panel_len()..];
            let mut sum = 0i32;
            for (k, &value) in a.iter().enumerate() {
                let weight = panel[(k / 4 * LANES + n % LANES) * 4 + k % 4];
                sum = sum.wrapping_add(value as i32 * weight as i32);
            }
            let y = scaled(q, n, sum);
            let at = r * w.n + n;
            match &mut sink {
                Sink::Codes(out, None) => out[at] = math::round_even(clamped(q, y)) as u8,
                Sink::Codes(out, Some(res)) => {
                    let y = math::mul_add(res.data[at] as f32, res.scale, y);
                    out[at] = math::round_even(clamped(q, y)) as u8;
                }
                Sink::Sums(out) => out[n] += clamped(q, y),
            }
        }
    }
}

fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
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
                    sum = sum.wrapping_add(value as i32 * weight as i32);
                }
            }
            let y = clamped(&d.requant, scaled(&d.requant, c, sum));
            out[x * d.channels + c] = math::round_even(y) as u8;
        }
    }
}

/// The end of every float sum: the elements that fill no whole vector go to the first lanes, then
/// the tree.
#[inline(always)]
pub(super) fn finish_dot(mut lanes: [f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
        *lane = math::mul_add(*a, *b, *lane);
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
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
