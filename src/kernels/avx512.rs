//! AVX-512 with VNNI: `vpdpbusd` adds four u8 x i8 products to an i32 without saturation, and
//! `vpdpwssd` two i16 x i16 products.

use core::arch::x86_64::*;

use super::strip::{COLUMNS, Rows, Strips};
use super::{
    Depthwise, Gemm, Isa, Kernels, KeyUnits, LANES, MAX_SIDE, Query, Requant, Sink, scalar,
};
use crate::math;

static KERNELS: Kernels =
    Kernels { isa: Isa::Avx512, gemm, depthwise, dot_f32, matvec_f16, affinity };

pub(super) fn detect() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma");
    has.then_some(&KERNELS)
}

/// Rows and panels of the largest tile: 24 sums, 2 weights and 1 input fill the 32 registers best.
const TILE_ROWS: usize = 12;
const TILE_PANELS: usize = 2;

/// A tile's sums, each row of a panel in a cache line.
#[repr(align(64))]
struct Sums([[[i32; LANES]; TILE_ROWS]; TILE_PANELS]);

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn gemm(g: &Gemm, mut sink: Sink) {
    let mut sums = Sums([[[0; LANES]; TILE_ROWS]; TILE_PANELS]);
    let mut r = 0;
    while r < g.rows {
        r += match g.rows - r {
            TILE_ROWS.. => row_block::<TILE_ROWS>(g, r, &mut sums, &mut sink),
            4.. => row_block::<4>(g, r, &mut sums, &mut sink),
            _ => row_block::<1>(g, r, &mut sums, &mut sink),
        };
    }
}

/// `R` rows against every panel; returns `R`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn row_block<const R: usize>(g: &Gemm, r: usize, sums: &mut Sums, sink: &mut Sink) -> usize {
    let panels = g.w.n.div_ceil(LANES);
    for p in (0..panels).step_by(TILE_PANELS) {
        // SAFETY: rows r..r + R and the panels from p exist, see `Gemm::checked`.
        unsafe {
            if p + 1 < panels {
                tile::<R, 2>(g, r, p, sums);
                finish(g, r, p + 1, &sums.0[1][..R], sink);
            } else {
                tile::<R, 1>(g, r, p, sums);
            }
            finish(g, r, p, &sums.0[0][..R], sink);
        }
    }
    R
}

/// The integer sums of rows `r..r + R` and panels `p..p + P`.
///
/// # Safety
/// The rows and panels lie inside of `g`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn tile<const R: usize, const P: usize>(g: &Gemm, r: usize, p: usize, sums: &mut Sums) {
    let mut acc = [[_mm512_setzero_si512(); P]; R];
    let mut w = [_mm512_setzero_si512(); P];
    let panel = g.w.panel_len();
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of each panel.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * panel);
        for _ in 0..g.w.k / 4 {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(a.add(r * g.lda).cast::<i32>().read_unaligned());
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            for (p, w) in w.iter_mut().enumerate() {
                *w = _mm512_loadu_si512(weights.add(p * panel).cast());
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(g.last_four(r + i));
                for (acc, w) in acc.iter_mut().zip(w) {
                    *acc = _mm512_dpbusd_epi32(*acc, four, w);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, acc) in acc.iter().enumerate() {
                _mm512_storeu_si512(sums.0[p][r].as_mut_ptr().cast(), *acc);
            }
        }
    }
}

/// [`LANES`] output channels' units in registers.
struct Units {
    scale: __m512,
    bias: __m512,
    lo: __m512,
    hi: __m512,
}

impl Units {
    /// # Safety
    /// `q` holds [`LANES`] channels from `n`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Units {
                scale: _mm512_loadu_ps(q.scale.as_ptr().add(n)),
                bias: _mm512_loadu_ps(q.bias.as_ptr().add(n)),
                lo: _mm512_set1_ps(q.lo),
                hi: _mm512_set1_ps(q.hi),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn scaled(&self, sum: __m512i) -> __m512 {
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), self.scale, self.bias)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    fn clamped(&self, y: __m512) -> __m512 {
        _mm512_min_ps(_mm512_max_ps(y, self.lo), self.hi)
    }
}

/// The lanes of a panel from channel `n` that exist.
fn lanes_of(channels: usize, n: usize) -> u16 {
    u16::MAX >> (LANES - (channels - n).min(LANES))
}

/// Activations of the sums of rows from `r` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`, and `sink` fits it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn finish(g: &Gemm, r: usize, p: usize, sums: &[[i32; LANES]], sink: &mut Sink) {
    let n = p * LANES;
    let lanes = lanes_of(g.w.n, n);
    // SAFETY: masked loads and stores touch the channels that exist, of rows that exist.
    unsafe {
        let units = Units::load(&g.q, n);
        match sink {
            Sink::Codes(out, residual) => {
                let mut at = r * g.w.n + n;
                for sums in sums {
                    let mut y = units.scaled(_mm512_loadu_si512(sums.as_ptr().cast()));
                    if let Some(res) = residual {
                        let codes = _mm_maskz_loadu_epi8(lanes, res.data.as_ptr().add(at).cast());
                        let codes = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes));
                        y = _mm512_fmadd_ps(codes, _mm512_set1_ps(res.scale), y);
                    }
                    store_codes(units.clamped(y), lanes, out.as_mut_ptr().add(at));
                    at += g.w.n;
                }
            }
            Sink::Sums(out) => {
                let out = out.as_mut_ptr().add(n);
                let mut total = _mm512_maskz_loadu_ps(lanes, out);
                for sums in sums {
                    let y = units.scaled(_mm512_loadu_si512(sums.as_ptr().cast()));
                    total = _mm512_add_ps(total, units.clamped(y));
                }
                _mm512_mask_storeu_ps(out, lanes, total);
            }
        }
    }
}

/// Rounds half to even and stores the `lanes` that exist.
///
/// # Safety
/// `out` has room for these lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn store_codes(y: __m512, lanes: u16, out: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { _mm_mask_storeu_epi8(out.cast(), lanes, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(y))) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
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
        let units = Units::load(&d.requant, c);
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
                let y = units.clamped(units.scaled(sum));
                let at = (strip.output + i) * d.channels + c;
                store_codes(y, lanes, out.as_mut_ptr().add(at));
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

/// Up to 16 u8 as i32.
///
/// # Safety
/// The `lanes` lie at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn load_codes(lanes: u16, at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, at.cast())) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn lanes(v: __m512) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    // SAFETY: 16 floats.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = _mm512_setzero_ps();
    for (a, b) in whole_a.zip(whole_b) {
        // SAFETY: chunks of 16.
        unsafe {
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr()), acc);
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [_mm512_setzero_ps(); R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        // SAFETY: 16 elements from i of each row and of x.
        unsafe {
            let x16 = _mm512_loadu_ps(x.as_ptr().add(i));
            for (j, acc) in acc.iter_mut().enumerate() {
                let row = w.as_ptr().add((r + j) * x.len() + i);
                *acc = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256(row.cast())), x16, *acc);
            }
        }
    }
    for (j, acc) in acc.into_iter().enumerate() {
        let row = &w[(r + j) * x.len()..][..x.len()];
        out[r + j] = scalar::finish_dot_f16(lanes(acc), &row[whole..], &x[whole..]);
    }
    R
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn affinity(
    panel: &[i8],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // The product wants unsigned times signed: key + 128 is unsigned (its sign bit flipped), and
    // 128 times the sum of the codes is taken off again.
    let flip = _mm512_set1_epi8(i8::MIN);
    let mut acc = [_mm512_setzero_si512(); 4];
    let (codes, keys) = (q.codes.as_ptr(), panel.as_ptr());
    let fours = q.codes.len() / 4;
    // SAFETY: one group of 4 codes and of 64 key bytes for each i; a prefetch touches nothing.
    let step = |i: usize, acc: &mut __m512i| unsafe {
        let key = _mm512_loadu_si512(keys.add(64 * i).cast());
        let code = _mm512_set1_epi32(codes.add(4 * i).cast::<i32>().read_unaligned());
        *acc = _mm512_dpbusd_epi32(*acc, _mm512_xor_si512(key, flip), code);
    };
    let whole = fours / 4 * 4;
    for i in (0..whole).step_by(4) {
        for (j, acc) in acc.iter_mut().enumerate() {
            step(i + j, acc);
        }
    }
    for i in whole..fours {
        step(i, &mut acc[0]);
    }
    let codes_sum: i32 = q.codes.iter().map(|&c| c as i32).sum();
    let dot = _mm512_add_epi32(
        _mm512_add_epi32(acc[0], acc[1]),
        _mm512_sub_epi32(_mm512_add_epi32(acc[2], acc[3]), _mm512_set1_epi32(128 * codes_sum)),
    );
    // SAFETY: 16 floats each.
    unsafe {
        let scale = _mm512_mul_ps(_mm512_set1_ps(q.scale), _mm512_loadu_ps(key_scale.as_ptr()));
        let base = _mm512_add_ps(_mm512_set1_ps(q.base), _mm512_loadu_ps(key_bias.as_ptr()));
        let cosine = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, base);
        let beta = _mm512_set1_ps(q.beta);
        _mm512_storeu_ps(cos.as_mut_ptr(), cosine);
        _mm512_storeu_ps(aff.as_mut_ptr(), exp(_mm512_fmsub_ps(beta, cosine, beta)));
    }
}

/// [`math::exp`] in 16 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn exp(x: __m512) -> __m512 {
    let set = |v| _mm512_set1_ps(v);
    let t = _mm512_min_ps(_mm512_max_ps(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(_mm512_mul_ps(t, set(math::LOG2_E)));
    let r = _mm512_fnmadd_ps(n, set(math::LN_2_HIGH), t);
    let r = _mm512_fnmadd_ps(n, set(math::LN_2_LOW), r);
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = _mm512_fmadd_ps(p, r, set(*c));
    }
    let y = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), set(1.0));
    let power = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(power));
    let inside = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, set(math::EXP_MIN));
    _mm512_maskz_mul_ps(inside, y, power)
}
