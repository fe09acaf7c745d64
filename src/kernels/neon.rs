//! 64-bit ARM without dot products, such as Cortex-A53 and A72.
//!
//! There are products of i8 with i8 only, so activations have 128 taken off (their sign bit flipped)
//! and every sum gets 128 times the sum of its weights back. Two i8 products are added in 16 bits
//! (2 * 128 * 127 fits), then pairs of these in 32 bits.

use core::arch::aarch64::*;

use super::strip::{COLUMNS, Rows, Strips};
use super::{
    Depthwise, Gemm, Isa, Kernels, KeyUnits, LANES, MAX_SIDE, Query, Requant, Sink, scalar,
};
use crate::math;

pub(super) static KERNELS: Kernels =
    Kernels { isa: Isa::Neon, gemm, depthwise, dot_f32, matvec_f16, affinity };

pub(super) fn detect() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(&KERNELS)
}

/// Registers of four i32 lanes in a panel.
pub(super) const QUARTERS: usize = 4;
/// Lanes of one.
pub(super) const QUARTER: usize = LANES / QUARTERS;

/// Rows of a tile: 16 registers of sums.
const TILE_ROWS: usize = 2;

/// Rows between two visits of a panel: their inputs stay in the cache while the panels pass by, and
/// the panels' offsets are worth computing.
pub(super) const ROWS_AT_ONCE: usize = 64;

#[target_feature(enable = "neon")]
fn gemm(g: &Gemm, mut sink: Sink) {
    for start in (0..g.rows).step_by(ROWS_AT_ONCE) {
        let end = g.rows.min(start + ROWS_AT_ONCE);
        for p in 0..g.w.n.div_ceil(LANES) {
            // SAFETY: rows start..end and panel p exist, see `Gemm::checked`.
            unsafe {
                let offsets = offsets(g, p);
                let mut r = start;
                while r < end {
                    let rows = TILE_ROWS.min(end - r);
                    let mut sums = [[0; LANES]; TILE_ROWS];
                    match rows {
                        TILE_ROWS => tile::<TILE_ROWS>(g, r, p, offsets, &mut sums),
                        _ => tile::<1>(g, r, p, offsets, &mut sums),
                    }
                    finish(g, r, p, &sums[..rows], &mut sink);
                    r += rows;
                }
            }
        }
    }
}

/// 128 times the sum of each channel's weights.
///
/// # Safety
/// Panel `p` exists.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn offsets(g: &Gemm, p: usize) -> [int32x4_t; QUARTERS] {
    let mut sums = [vdupq_n_s32(0); QUARTERS];
    let panel = &g.w.data[p * g.w.panel_len()..][..g.w.panel_len()];
    for weights in panel.chunks_exact(4 * LANES) {
        for (j, sum) in sums.iter_mut().enumerate() {
            // SAFETY: 16 of 64 weights.
            let w = unsafe { vld1q_s8(weights.as_ptr().add(16 * j)) };
            *sum = vpadalq_s16(*sum, vpaddlq_s8(w));
        }
    }
    sums.map(|sum| vshlq_n_s32::<7>(sum))
}

/// Register i of a row holds two sums each of channels 2i and 2i + 1.
type Partial = [int32x4_t; 2 * QUARTERS];

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize>(
    g: &Gemm,
    r: usize,
    p: usize,
    offsets: [int32x4_t; QUARTERS],
    sums: &mut [[i32; LANES]; TILE_ROWS],
) {
    let mut acc = [[vdupq_n_s32(0); 2 * QUARTERS]; R];
    let fours = g.w.k / 4;
    // SAFETY: `fours` groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..fours / 2 {
            let mut inputs = [[vdupq_n_s8(0); 2]; R];
            for (r, inputs) in inputs.iter_mut().enumerate() {
                let at = a.add(r * g.lda).cast::<i32>();
                inputs[0] = centred_four(at.read_unaligned());
                inputs[1] = centred_four(at.add(1).read_unaligned());
            }
            multiply_add_eight(&mut acc, inputs, weights);
            a = a.add(8);
            weights = weights.add(8 * LANES);
        }
        if fours % 2 == 1 {
            let mut inputs = [vdupq_n_s8(0); R];
            for (r, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(a.add(r * g.lda).cast::<i32>().read_unaligned());
            }
            multiply_add_four(&mut acc, inputs, weights);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut inputs = [vdupq_n_s8(0); R];
            for (i, input) in inputs.iter_mut().enumerate() {
                *input = centred_four(g.last_four(r + i));
            }
            multiply_add_four(&mut acc, inputs, weights);
        }
        for (acc, sums) in acc.into_iter().zip(sums) {
            for (j, (dots, offset)) in fold(acc).into_iter().zip(offsets).enumerate() {
                vst1q_s32(sums.as_mut_ptr().add(j * QUARTER), vaddq_s32(dots, offset));
            }
        }
    }
}

/// Four u8 less 128, four times over.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn centred_four(four: i32) -> int8x16_t {
    veorq_s8(vreinterpretq_s8_s32(vdupq_n_s32(four)), vdupq_n_s8(i8::MIN))
}

/// Adds the products of eight inputs of `R` rows and two groups of 64 weights.
///
/// # Safety
/// 128 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_add_eight<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [[int8x16_t; 2]; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { [vld1q_s8(weights.add(16 * j)), vld1q_s8(weights.add(64 + 16 * j))] };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            let low = vmull_s8(vget_low_s8(w[0]), vget_low_s8(a[0]));
            let low = vmlal_s8(low, vget_low_s8(w[1]), vget_low_s8(a[1]));
            acc[2 * j] = vpadalq_s16(acc[2 * j], low);
            let high = vmlal_high_s8(vmull_high_s8(w[0], a[0]), w[1], a[1]);
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], high);
        }
    }
}

/// Adds the products of four inputs of `R` rows and 64 weights.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_add_four<const R: usize>(
    acc: &mut [Partial; R],
    inputs: [int8x16_t; R],
    weights: *const i8,
) {
    for j in 0..QUARTERS {
        // SAFETY: the caller's promise.
        let w = unsafe { vld1q_s8(weights.add(16 * j)) };
        for (acc, a) in acc.iter_mut().zip(inputs) {
            acc[2 * j] = vpadalq_s16(acc[2 * j], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
            acc[2 * j + 1] = vpadalq_s16(acc[2 * j + 1], vmull_high_s8(w, a));
        }
    }
}

/// The sums of the panel's channels in their order.
#[inline]
#[target_feature(enable = "neon")]
fn fold(acc: Partial) -> [int32x4_t; QUARTERS] {
    [
        vpaddq_s32(acc[0], acc[1]),
        vpaddq_s32(acc[2], acc[3]),
        vpaddq_s32(acc[4], acc[5]),
        vpaddq_s32(acc[6], acc[7]),
    ]
}

/// The units of `N` times four output channels in registers.
struct Units<const N: usize> {
    scale: [float32x4_t; N],
    bias: [float32x4_t; N],
    lo: float32x4_t,
    hi: float32x4_t,
}

impl<const N: usize> Units<N> {
    /// # Safety
    /// `q` holds these channels from `n`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        let (lo, hi) = (vdupq_n_f32(q.lo), vdupq_n_f32(q.hi));
        let mut units = Units { scale: [lo; N], bias: [lo; N], lo, hi };
        for j in 0..N {
            // SAFETY: the caller's promise.
            unsafe {
                units.scale[j] = vld1q_f32(q.scale.as_ptr().add(n + j * QUARTER));
                units.bias[j] = vld1q_f32(q.bias.as_ptr().add(n + j * QUARTER));
            }
        }
        units
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn scaled(&self, j: usize, sum: int32x4_t) -> float32x4_t {
        vfmaq_f32(self.bias[j], vcvtq_f32_s32(sum), self.scale[j])
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn clamped(&self, y: float32x4_t) -> float32x4_t {
        vminnmq_f32(vmaxnmq_f32(y, self.lo), self.hi)
    }
}

/// Activations of the sums of rows from `r` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`, and `sink` fits it.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn finish(g: &Gemm, r: usize, p: usize, sums: &[[i32; LANES]], sink: &mut Sink) {
    let n = p * LANES;
    let count = (g.w.n - n).min(LANES);
    // SAFETY: scale and bias are padded to whole panels; `count` channels are read and written.
    unsafe {
        let units = Units::<QUARTERS>::load(&g.q, n);
        match sink {
            Sink::Codes(out, residual) => {
                for (i, sums) in sums.iter().enumerate() {
                    let at = (r + i) * g.w.n + n;
                    let mut y = [vdupq_n_f32(0.0); QUARTERS];
                    for (j, y) in y.iter_mut().enumerate() {
                        *y = units.scaled(j, vld1q_s32(sums.as_ptr().add(j * QUARTER)));
                    }
                    if let Some(res) = residual {
                        let codes = load_codes(&res.data[at..][..count]);
                        for (y, codes) in y.iter_mut().zip(codes) {
                            *y = vfmaq_n_f32(*y, codes, res.scale);
                        }
                    }
                    let y = y.map(|y| units.clamped(y));
                    let low = round_codes(y[0], y[1]);
                    let high = round_codes(y[2], y[3]);
                    let mut codes = [0; LANES];
                    vst1q_u8(codes.as_mut_ptr(), vcombine_u8(low, high));
                    store(&codes, &mut out[at..][..count]);
                }
            }
            Sink::Sums(out) => {
                let out = &mut out[n..][..count];
                let mut total = [0.0; LANES];
                total[..count].copy_from_slice(out);
                for sums in sums {
                    for j in 0..QUARTERS {
                        let at = total.as_mut_ptr().add(j * QUARTER);
                        let y = units.scaled(j, vld1q_s32(sums.as_ptr().add(j * QUARTER)));
                        vst1q_f32(at, vaddq_f32(vld1q_f32(at), units.clamped(y)));
                    }
                }
                out.copy_from_slice(&total[..count]);
            }
        }
    }
}

/// Copies the codes that have a place; whole groups without a call.
#[inline(always)]
fn store<const N: usize>(codes: &[u8; N], out: &mut [u8]) {
    match out.first_chunk_mut::<N>() {
        Some(out) => *out = *codes,
        None => out.copy_from_slice(&codes[..out.len()]),
    }
}

/// Up to [`LANES`] u8 as f32.
#[inline]
#[target_feature(enable = "neon")]
fn load_codes(codes: &[u8]) -> [float32x4_t; QUARTERS] {
    let mut padded = [0; LANES];
    match codes.first_chunk::<LANES>() {
        Some(codes) => padded = *codes,
        None => padded[..codes.len()].copy_from_slice(codes),
    }
    // SAFETY: 16 bytes.
    let codes = unsafe { vld1q_u8(padded.as_ptr()) };
    let (low, high) = (vmovl_u8(vget_low_u8(codes)), vmovl_high_u8(codes));
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
        vcvtq_f32_u32(vmovl_high_u16(low)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
        vcvtq_f32_u32(vmovl_high_u16(high)),
    ]
}

/// Eight values in 0..=255, rounded half to even.
#[inline]
#[target_feature(enable = "neon")]
fn round_codes(low: float32x4_t, high: float32x4_t) -> uint8x8_t {
    let (low, high) = (vcvtnq_u32_f32(low), vcvtnq_u32_f32(high));
    vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)))
}

/// Channels that a depthwise convolution takes at once.
const EIGHT: usize = 8;

#[target_feature(enable = "neon")]
fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let mut columns = [[vdupq_n_s16(0); MAX_SIDE]; COLUMNS];
    for c in (0..d.channels).step_by(EIGHT) {
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

/// Up to [`EIGHT`] channels from `c` of one output row. `SIDE` is the kernel's, or [`MAX_SIDE`], which
/// takes any.
///
/// # Safety
/// Channel `c` exists.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn depthwise_block<const SIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    c: usize,
    columns: &mut [[int16x8_t; MAX_SIDE]; COLUMNS],
    out: &mut [u8],
) {
    let side = if SIDE < MAX_SIDE { SIDE } else { d.kernel };
    let count = (d.channels - c).min(EIGHT);
    let padded = d.channels.next_multiple_of(LANES);
    let mut weights = [[vdupq_n_s16(0); MAX_SIDE]; MAX_SIDE];
    // SAFETY: `Rows` gives pixels of which the `count` channels from c are read; the weights are
    // padded to whole panels.
    unsafe {
        for (x, weights) in weights.iter_mut().enumerate().take(side) {
            for (y, weights) in weights.iter_mut().enumerate().take(side) {
                let tap = y * side + x;
                let pair = vld2q_s16(d.weights.as_ptr().add((tap / 2 * padded + c) * 2));
                *weights = if tap % 2 == 0 { pair.0 } else { pair.1 };
            }
        }
        let units = Units::<2>::load(&d.requant, c);
        let source = Rows::<SIDE>::new(d, rows, c);
        for strip in Strips::new(d) {
            for (range, mut pixels) in source.runs(&strip) {
                for columns in &mut columns[range] {
                    for (y, column) in columns.iter_mut().enumerate().take(side) {
                        *column = load_eight(pixels.at[y], count);
                    }
                    pixels.advance(1);
                }
            }
            for i in 0..strip.outputs {
                let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
                for (x, weights) in weights.iter().enumerate().take(side) {
                    let column = &columns[i * d.stride + x];
                    for (column, weights) in column.iter().zip(weights).take(side) {
                        low = vmlal_s16(low, vget_low_s16(*column), vget_low_s16(*weights));
                        high = vmlal_high_s16(high, *column, *weights);
                    }
                }
                let low = units.clamped(units.scaled(0, low));
                let high = units.clamped(units.scaled(1, high));
                let mut codes = [0; EIGHT];
                vst1_u8(codes.as_mut_ptr(), round_codes(low, high));
                store(&codes, &mut out[(strip.output + i) * d.channels + c..][..count]);
            }
        }
    }
}

/// Up to [`EIGHT`] u8 as i16.
///
/// # Safety
/// `count` codes can be read, at most [`EIGHT`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_eight(at: *const u8, count: usize) -> int16x8_t {
    // SAFETY: the caller's promise.
    let codes = unsafe {
        if count == EIGHT {
            vld1_u8(at)
        } else {
            let mut codes = [0; EIGHT];
            core::ptr::copy_nonoverlapping(at, codes.as_mut_ptr(), count);
            vld1_u8(codes.as_ptr())
        }
    };
    vreinterpretq_s16_u16(vmovl_u8(codes))
}

#[inline]
#[target_feature(enable = "neon")]
fn lanes(v: [float32x4_t; QUARTERS]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (v, lanes) in v.into_iter().zip(lanes.chunks_exact_mut(QUARTER)) {
        // SAFETY: 4 floats.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), v) };
    }
    lanes
}

#[target_feature(enable = "neon")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = [vdupq_n_f32(0.0); QUARTERS];
    for (a, b) in whole_a.zip(whole_b) {
        for (j, acc) in acc.iter_mut().enumerate() {
            // SAFETY: 4 of 16 floats.
            unsafe {
                let (a, b) = (a.as_ptr().add(j * QUARTER), b.as_ptr().add(j * QUARTER));
                *acc = vfmaq_f32(*acc, vld1q_f32(a), vld1q_f32(b));
            }
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "neon")]
fn matvec_f16(w: &[u16], x: &[f32], out: &mut [f32]) {
    let mut r = 0;
    while r < out.len() {
        // SAFETY: the rows exist.
        r += unsafe {
            match out.len() - r {
                4.. => dot_rows::<4>(w, x, r, out),
                _ => dot_rows::<1>(w, x, r, out),
            }
        };
    }
}

/// `R` rows at once, so that their chains of additions overlap; returns `R`.
///
/// # Safety
/// `w` and `out` hold rows `r..r + R`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [[vdupq_n_f32(0.0); QUARTERS]; R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for j in 0..QUARTERS {
            // SAFETY: 4 elements from i + 4 j of each row and of x.
            unsafe {
                let at = i + j * QUARTER;
                let x4 = vld1q_f32(x.as_ptr().add(at));
                for (row, acc) in acc.iter_mut().enumerate() {
                    let four = vld1_u16(w.as_ptr().add((r + row) * x.len() + at));
                    let four = vcvt_f32_f16(vreinterpret_f16_u16(four));
                    acc[j] = vfmaq_f32(acc[j], four, x4);
                }
            }
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        let rest = &w[(r + row) * x.len()..][..x.len()][whole..];
        out[r + row] = scalar::finish_dot_f16(lanes(acc), rest, &x[whole..]);
    }
    R
}

#[target_feature(enable = "neon")]
fn affinity(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let mut acc = [[vdupq_n_s32(0); 2 * QUARTERS]];
    let (codes, keys) = (q.codes.as_ptr().cast::<i32>(), panel.as_ptr());
    let fours = q.codes.len() / 4;
    // SAFETY: one group of 4 codes and of 64 key bytes for each of `fours`.
    unsafe {
        let code = |i| vreinterpretq_s8_s32(vdupq_n_s32(codes.add(i).read_unaligned()));
        for i in (1..fours).step_by(2) {
            let pair = [code(i - 1), code(i)];
            multiply_add_eight(&mut acc, [pair], keys.add(4 * LANES * (i - 1)));
        }
        if fours % 2 == 1 {
            let last = fours - 1;
            multiply_add_four(&mut acc, [code(last)], keys.add(4 * LANES * last));
        }
    }
    let [acc] = acc;
    finish_affinity(fold(acc), q, units, cos, aff);
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish_affinity(
    dots: [int32x4_t; QUARTERS],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let beta = vdupq_n_f32(q.beta);
    for (j, dot) in dots.into_iter().enumerate() {
        let at = j * QUARTER;
        // SAFETY: 4 floats from at of arrays of 16.
        unsafe {
            let scale = vmulq_f32(vdupq_n_f32(q.scale), vld1q_f32(key_scale.as_ptr().add(at)));
            let base = vaddq_f32(vdupq_n_f32(q.base), vld1q_f32(key_bias.as_ptr().add(at)));
            let cosine = vfmaq_f32(base, vcvtq_f32_s32(dot), scale);
            vst1q_f32(cos.as_mut_ptr().add(at), cosine);
            let affinity = exp(vfmaq_f32(vnegq_f32(beta), beta, cosine));
            vst1q_f32(aff.as_mut_ptr().add(at), affinity);
        }
    }
}

/// [`math::exp`] in four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn exp(x: float32x4_t) -> float32x4_t {
    let set = |v| vdupq_n_f32(v);
    let t = vminnmq_f32(vmaxnmq_f32(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = vrndnq_f32(vmulq_f32(t, set(math::LOG2_E)));
    let r = vfmsq_f32(t, n, set(math::LN_2_HIGH));
    let r = vfmsq_f32(r, n, set(math::LN_2_LOW));
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = vfmaq_f32(set(*c), p, r);
    }
    let y = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), set(1.0));
    let power = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    let power = vreinterpretq_f32_s32(vshlq_n_s32::<23>(power));
    let inside = vcgeq_f32(x, set(math::EXP_MIN));
    vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(vmulq_f32(y, power))))
}
