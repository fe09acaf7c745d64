//! AVX2 with FMA and F16C; the integer products also with AVX-VNNI, which newer desktop processors
//! have instead of AVX-512.
//!
//! `vpmaddubsw` would add two u8 x i8 products in 16 bits and saturate, so without VNNI a matrix
//! product widens both sides and uses `vpmaddwd`, which is exact.

use core::arch::x86_64::*;

use super::strip::{COLUMNS, Rows, Strips};
use super::{
    Depthwise, Gemm, Isa, Kernels, KeyUnits, LANES, MAX_SIDE, Query, Requant, Sink, scalar,
};
use crate::math;

static KERNELS: Kernels =
    Kernels { isa: Isa::Avx2, gemm, depthwise, dot_f32, matvec_f16, affinity };

static KERNELS_VNNI: Kernels = Kernels { gemm: gemm_vnni, affinity: affinity_vnni, ..KERNELS };

pub(super) fn detect() -> Option<&'static Kernels> {
    detect_without_vnni()
        .map(|plain| if is_x86_feature_detected!("avxvnni") { &KERNELS_VNNI } else { plain })
}

/// The table of processors without AVX-VNNI: a test wants both.
pub(super) fn detect_without_vnni() -> Option<&'static Kernels> {
    let has = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    has.then_some(&KERNELS)
}

/// Lanes of a register.
const HALF: usize = LANES / 2;

/// Rows of the largest tile, which is one panel wide: 12 registers of sums either way.
const TILE_ROWS: usize = 3;
const TILE_ROWS_VNNI: usize = 6;

#[target_feature(enable = "avx2,fma,f16c")]
fn gemm(g: &Gemm, mut sink: Sink) {
    let mut r = 0;
    while r < g.rows {
        let rows = if g.rows - r < TILE_ROWS { 1 } else { TILE_ROWS };
        for p in 0..g.w.n.div_ceil(LANES) {
            let mut sums = [[0; LANES]; TILE_ROWS];
            // SAFETY: rows r..r + rows and panel p exist, see `Gemm::checked`.
            unsafe {
                match rows {
                    TILE_ROWS => tile::<TILE_ROWS>(g, r, p, &mut sums),
                    _ => tile::<1>(g, r, p, &mut sums),
                }
                finish(g, r, p, &sums[..rows], &mut sink);
            }
        }
        r += rows;
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn gemm_vnni(g: &Gemm, mut sink: Sink) {
    let mut r = 0;
    while r < g.rows {
        let rows = match g.rows - r {
            TILE_ROWS_VNNI.. => TILE_ROWS_VNNI,
            4.. => 4,
            _ => 1,
        };
        for p in 0..g.w.n.div_ceil(LANES) {
            let mut sums = [[0; LANES]; TILE_ROWS_VNNI];
            // SAFETY: rows r..r + rows and panel p exist, see `Gemm::checked`.
            unsafe {
                match rows {
                    TILE_ROWS_VNNI => tile_vnni::<TILE_ROWS_VNNI>(g, r, p, &mut sums),
                    4 => tile_vnni::<4>(g, r, p, &mut sums),
                    _ => tile_vnni::<1>(g, r, p, &mut sums),
                }
                finish(g, r, p, &sums[..rows], &mut sink);
            }
        }
        r += rows;
    }
}

/// The integer sums of rows `r..r + R` and panel `p`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize>(g: &Gemm, r: usize, p: usize, sums: &mut [[i32; LANES]; TILE_ROWS]) {
    // Register j of a row holds channels 4j..4j + 4, two sums each.
    let mut acc = [[_mm256_setzero_si256(); 4]; R];
    // SAFETY: k / 4 groups of 4 inputs lie inside of each row, and one 64-byte group of weights for
    // each (and for a last incomplete one) inside of the panel.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let mut fours = [_mm256_setzero_si256(); R];
            for (r, four) in fours.iter_mut().enumerate() {
                *four = widen_four(a.add(r * g.lda).cast::<i32>().read_unaligned());
            }
            multiply_add(&mut acc, fours, weights);
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let mut fours = [_mm256_setzero_si256(); R];
            for (i, four) in fours.iter_mut().enumerate() {
                *four = widen_four(g.last_four(r + i));
            }
            multiply_add(&mut acc, fours, weights);
        }
        for (acc, sums) in acc.iter().zip(sums) {
            for half in 0..2 {
                let both = _mm256_hadd_epi32(acc[2 * half], acc[2 * half + 1]);
                let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
                _mm256_storeu_si256(sums.as_mut_ptr().add(half * HALF).cast(), both);
            }
        }
    }
}

/// Four u8 as i16, four times over.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_four(four: i32) -> __m256i {
    _mm256_cvtepu8_epi16(_mm_set1_epi32(four))
}

/// Adds the products of four inputs of `R` rows and the 64 `weights` of a panel.
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_add<const R: usize>(
    acc: &mut [[__m256i; 4]; R],
    fours: [__m256i; R],
    weights: *const i8,
) {
    for j in 0..4 {
        // SAFETY: the caller's promise.
        let w = unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(16 * j).cast())) };
        for (acc, four) in acc.iter_mut().zip(fours) {
            acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(four, w));
        }
    }
}

/// [`tile`] with `vpdpbusd`.
///
/// # Safety
/// The rows and the panel lie inside of `g`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn tile_vnni<const R: usize>(
    g: &Gemm,
    r: usize,
    p: usize,
    sums: &mut [[i32; LANES]; TILE_ROWS_VNNI],
) {
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: as in `tile`.
    unsafe {
        let mut a = g.a.as_ptr().add(r * g.lda);
        let mut weights = g.w.data.as_ptr().add(p * g.w.panel_len());
        for _ in 0..g.w.k / 4 {
            let w = load_panel(weights);
            for (r, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(a.add(r * g.lda).cast::<i32>().read_unaligned());
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
            a = a.add(4);
            weights = weights.add(4 * LANES);
        }
        if !g.w.k.is_multiple_of(4) {
            let w = load_panel(weights);
            for (i, acc) in acc.iter_mut().enumerate() {
                let four = _mm256_set1_epi32(g.last_four(r + i));
                acc[0] = _mm256_dpbusd_avx_epi32(acc[0], four, w[0]);
                acc[1] = _mm256_dpbusd_avx_epi32(acc[1], four, w[1]);
            }
        }
        for (acc, sums) in acc.iter().zip(sums) {
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), acc[0]);
            _mm256_storeu_si256(sums.as_mut_ptr().add(HALF).cast(), acc[1]);
        }
    }
}

/// Four weights of each of a panel's channels (or keys).
///
/// # Safety
/// 64 weights can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_panel(weights: *const i8) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.add(4 * HALF).cast())]
    }
}

/// The units of [`HALF`] output channels in registers.
struct Units {
    scale: __m256,
    bias: __m256,
    lo: __m256,
    hi: __m256,
}

impl Units {
    /// # Safety
    /// `q` holds [`HALF`] channels from `n`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(q: &Requant, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Units {
                scale: _mm256_loadu_ps(q.scale.as_ptr().add(n)),
                bias: _mm256_loadu_ps(q.bias.as_ptr().add(n)),
                lo: _mm256_set1_ps(q.lo),
                hi: _mm256_set1_ps(q.hi),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn scaled(&self, sum: __m256i) -> __m256 {
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), self.scale, self.bias)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn clamped(&self, y: __m256) -> __m256 {
        _mm256_min_ps(_mm256_max_ps(y, self.lo), self.hi)
    }
}

/// Activations of the sums of rows from `r` and panel `p`, half a panel at a time.
///
/// # Safety
/// The rows and the panel lie inside of `g`, and `sink` fits it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn finish(g: &Gemm, r: usize, p: usize, sums: &[[i32; LANES]], sink: &mut Sink) {
    for half in 0..2 {
        let n = p * LANES + half * HALF;
        if n >= g.w.n {
            return;
        }
        let count = (g.w.n - n).min(HALF);
        // SAFETY: scale and bias are padded to whole panels; the `count` channels exist, of rows
        // that exist.
        unsafe {
            let units = Units::load(&g.q, n);
            match sink {
                Sink::Codes(out, residual) => {
                    let mut at = r * g.w.n + n;
                    for sums in sums {
                        let sums = sums.as_ptr().add(half * HALF).cast();
                        let mut y = units.scaled(_mm256_loadu_si256(sums));
                        if let Some(res) = residual {
                            let codes = load_codes(res.data.as_ptr().add(at), count);
                            let codes = _mm256_cvtepi32_ps(codes);
                            y = _mm256_fmadd_ps(codes, _mm256_set1_ps(res.scale), y);
                        }
                        store_codes(units.clamped(y), out.as_mut_ptr().add(at), count);
                        at += g.w.n;
                    }
                }
                Sink::Sums(out) => {
                    let mut total = [0.0; HALF];
                    total[..count].copy_from_slice(&out[n..][..count]);
                    let mut acc = _mm256_loadu_ps(total.as_ptr());
                    for sums in sums {
                        let sums = sums.as_ptr().add(half * HALF).cast();
                        let y = units.scaled(_mm256_loadu_si256(sums));
                        acc = _mm256_add_ps(acc, units.clamped(y));
                    }
                    _mm256_storeu_ps(total.as_mut_ptr(), acc);
                    out[n..][..count].copy_from_slice(&total[..count]);
                }
            }
        }
    }
}

/// Up to [`HALF`] u8 as i32.
///
/// # Safety
/// `count` codes can be read, at most [`HALF`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load_codes(at: *const u8, count: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        if count == HALF {
            return _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()));
        }
        let mut codes = [0u8; HALF];
        core::ptr::copy_nonoverlapping(at, codes.as_mut_ptr(), count);
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(codes.as_ptr().cast()))
    }
}

/// Rounds half to even and stores the first `count` codes.
///
/// # Safety
/// `out` has room for `count` codes, at most [`HALF`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn store_codes(y: __m256, out: *mut u8, count: usize) {
    let wide = _mm256_cvtps_epi32(y);
    let (low, high) = (_mm256_castsi256_si128(wide), _mm256_extracti128_si256::<1>(wide));
    let codes = _mm_packus_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    // SAFETY: the caller's promise.
    unsafe {
        if count == HALF {
            return _mm_storel_epi64(out.cast(), codes);
        }
        let mut bytes = [0u8; HALF];
        _mm_storel_epi64(bytes.as_mut_ptr().cast(), codes);
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), out, count);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn depthwise(d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
    let mut columns = [[_mm256_setzero_si256(); PAIRS]; COLUMNS];
    for c in (0..d.channels).step_by(HALF) {
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

/// Up to [`HALF`] channels from `c` of one output row. `SIDE` is the kernel's, or [`MAX_SIDE`], which
/// takes any.
///
/// # Safety
/// Channel `c` exists.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn depthwise_block<const SIDE: usize>(
    d: &Depthwise,
    rows: &[&[u8]],
    c: usize,
    columns: &mut [[__m256i; PAIRS]; COLUMNS],
    out: &mut [u8],
) {
    let side = if SIDE < MAX_SIDE { SIDE } else { d.kernel };
    let pairs = side.div_ceil(2);
    let count = (d.channels - c).min(HALF);
    let mut weights = [[_mm256_setzero_si256(); PAIRS]; MAX_SIDE];
    // SAFETY: `Rows` gives pixels of which the `count` channels from c are read; the weights are
    // padded to whole panels; as many channels of each output are written.
    unsafe {
        for (x, weights) in weights.iter_mut().enumerate().take(side) {
            for (pair, weights) in weights.iter_mut().enumerate().take(pairs) {
                *weights = tap(d, c, 2 * pair * side + x);
                if 2 * pair + 1 < side {
                    let second = tap(d, c, (2 * pair + 1) * side + x);
                    *weights = _mm256_or_si256(*weights, _mm256_slli_epi32::<16>(second));
                }
            }
        }
        let units = Units::load(&d.requant, c);
        let source = Rows::<SIDE>::new(d, rows, c);
        for strip in Strips::new(d) {
            for (range, mut pixels) in source.runs(&strip) {
                for columns in &mut columns[range] {
                    for (pair, column) in columns.iter_mut().enumerate().take(pairs) {
                        *column = load_codes(pixels.at[2 * pair], count);
                        if 2 * pair + 1 < side {
                            let second = load_codes(pixels.at[2 * pair + 1], count);
                            *column = _mm256_or_si256(*column, _mm256_slli_epi32::<16>(second));
                        }
                    }
                    pixels.advance(1);
                }
            }
            for i in 0..strip.outputs {
                let mut sum = _mm256_setzero_si256();
                for (x, weights) in weights.iter().enumerate().take(side) {
                    let column = &columns[i * d.stride + x];
                    for pair in 0..pairs {
                        let products = _mm256_madd_epi16(column[pair], weights[pair]);
                        sum = _mm256_add_epi32(sum, products);
                    }
                }
                let y = units.clamped(units.scaled(sum));
                let at = (strip.output + i) * d.channels + c;
                store_codes(y, out.as_mut_ptr().add(at), count);
            }
        }
    }
}

/// The weights of one tap, i16 in the low half of 32-bit lanes.
///
/// # Safety
/// Channel `c` and the tap exist.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tap(d: &Depthwise, c: usize, tap: usize) -> __m256i {
    let at = (tap / 2 * d.channels.next_multiple_of(LANES) + c) * 2;
    // SAFETY: the caller's promise; channels are padded to whole panels.
    let both = unsafe { _mm256_loadu_si256(d.weights.as_ptr().add(at).cast()) };
    if tap.is_multiple_of(2) {
        _mm256_and_si256(both, _mm256_set1_epi32(0xffff))
    } else {
        _mm256_srli_epi32::<16>(both)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn lanes(v: [__m256; 2]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    // SAFETY: twice 8 floats.
    unsafe {
        _mm256_storeu_ps(lanes.as_mut_ptr(), v[0]);
        _mm256_storeu_ps(lanes.as_mut_ptr().add(HALF), v[1]);
    }
    lanes
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    let mut acc = [_mm256_setzero_ps(); 2];
    for (a, b) in whole_a.zip(whole_b) {
        for (half, acc) in acc.iter_mut().enumerate() {
            // SAFETY: 8 floats from 0 or 8 of chunks of 16.
            unsafe {
                let (a, b) = (a.as_ptr().add(half * HALF), b.as_ptr().add(half * HALF));
                *acc = _mm256_fmadd_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), *acc);
            }
        }
    }
    scalar::finish_dot(lanes(acc), rest_a, rest_b)
}

#[target_feature(enable = "avx2,fma,f16c")]
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
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot_rows<const R: usize>(w: &[u16], x: &[f32], r: usize, out: &mut [f32]) -> usize {
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    let whole = x.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for half in 0..2 {
            // SAFETY: 8 elements from i or i + 8 of each row and of x.
            unsafe {
                let at = i + half * HALF;
                let x8 = _mm256_loadu_ps(x.as_ptr().add(at));
                for (j, acc) in acc.iter_mut().enumerate() {
                    let row = w.as_ptr().add((r + j) * x.len() + at);
                    let row = _mm256_cvtph_ps(_mm_loadu_si128(row.cast()));
                    acc[half] = _mm256_fmadd_ps(row, x8, acc[half]);
                }
            }
        }
    }
    for (j, acc) in acc.into_iter().enumerate() {
        let row = &w[(r + j) * x.len()..][..x.len()];
        out[r + j] = scalar::finish_dot_f16(lanes(acc), &row[whole..], &x[whole..]);
    }
    R
}

#[target_feature(enable = "avx2,fma,f16c")]
fn affinity(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // |code| times the key with the code's sign: two such products fit 16 bits.
    let ones = _mm256_set1_epi16(1);
    let mut dots = [_mm256_setzero_si256(); 2];
    for (code, keys) in q.codes.chunks_exact(4).zip(panel.chunks_exact(4 * LANES)) {
        // SAFETY: chunks of 4 codes and 64 key bytes.
        let (code, keys) =
            unsafe { (code.as_ptr().cast::<i32>().read_unaligned(), load_panel(keys.as_ptr())) };
        let code = _mm256_set1_epi32(code);
        let size = _mm256_abs_epi8(code);
        for (dot, keys) in dots.iter_mut().zip(keys) {
            let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(keys, code));
            *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(pairs, ones));
        }
    }
    finish_affinity(dots, q, units, cos, aff);
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn affinity_vnni(
    panel: &[i8],
    q: &Query,
    units: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    // The product wants unsigned times signed: key + 128 is unsigned (its sign bit flipped), and
    // 128 times the sum of the codes is taken off again.
    let flip = _mm256_set1_epi8(i8::MIN);
    let codes_sum: i32 = q.codes.iter().map(|&c| c as i32).sum();
    // Two chains for each half, even and odd groups of four.
    let mut chains = [[_mm256_set1_epi32(-128 * codes_sum); 2], [_mm256_setzero_si256(); 2]];
    for (code, keys) in q.codes.chunks_exact(4).zip(panel.chunks_exact(4 * LANES)) {
        // SAFETY: chunks of 4 codes and 64 key bytes.
        let (code, keys) =
            unsafe { (code.as_ptr().cast::<i32>().read_unaligned(), load_panel(keys.as_ptr())) };
        let code = _mm256_set1_epi32(code);
        let [dots, other] = chains;
        let mut next = dots;
        for (dot, keys) in next.iter_mut().zip(keys) {
            *dot = _mm256_dpbusd_avx_epi32(*dot, _mm256_xor_si256(keys, flip), code);
        }
        chains = [other, next];
    }
    let [even, odd] = chains;
    let dots = [_mm256_add_epi32(even[0], odd[0]), _mm256_add_epi32(even[1], odd[1])];
    finish_affinity(dots, q, units, cos, aff);
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish_affinity(
    dots: [__m256i; 2],
    q: &Query,
    [key_scale, key_bias]: KeyUnits,
    cos: &mut [f32; LANES],
    aff: &mut [f32; LANES],
) {
    let beta = _mm256_set1_ps(q.beta);
    for (half, dot) in dots.into_iter().enumerate() {
        let at = half * HALF;
        // SAFETY: 8 floats from 0 or 8 of arrays of 16.
        unsafe {
            let scale = _mm256_loadu_ps(key_scale.as_ptr().add(at));
            let scale = _mm256_mul_ps(_mm256_set1_ps(q.scale), scale);
            let bias = _mm256_loadu_ps(key_bias.as_ptr().add(at));
            let base = _mm256_add_ps(_mm256_set1_ps(q.base), bias);
            let cosine = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, base);
            _mm256_storeu_ps(cos.as_mut_ptr().add(at), cosine);
            let affinity = exp(_mm256_fmsub_ps(beta, cosine, beta));
            _mm256_storeu_ps(aff.as_mut_ptr().add(at), affinity);
        }
    }
}

/// [`math::exp`] in 8 lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exp(x: __m256) -> __m256 {
    let set = |v| _mm256_set1_ps(v);
    let t = _mm256_min_ps(_mm256_max_ps(x, set(math::EXP_MIN)), set(math::EXP_MAX));
    let n = _mm256_mul_ps(t, set(math::LOG2_E));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(n);
    let r = _mm256_fnmadd_ps(n, set(math::LN_2_HIGH), t);
    let r = _mm256_fnmadd_ps(n, set(math::LN_2_LOW), r);
    let mut p = set(math::EXP_P[0]);
    for c in &math::EXP_P[1..] {
        p = _mm256_fmadd_ps(p, r, set(*c));
    }
    let y = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), set(1.0));
    let power = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(power));
    let inside = _mm256_cmp_ps::<_CMP_GE_OQ>(x, set(math::EXP_MIN));
    _mm256_and_ps(inside, _mm256_mul_ps(y, power))
}
