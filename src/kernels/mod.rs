//! The inner loops: integer matrix products, depthwise convolutions and the cache's affinity.
//!
//! `scalar.rs` is the specification. Every instruction set has the same functions in a file or
//! folder of its own and gives the same bits for every input: integer sums are exact in any order
//! (and wrap alike if they ever overflow), float steps have one order with a fused multiply-add where
//! the specification has one, and float sums run over [`LANES`] strided lanes and then a fixed tree.
//!
//! An instruction set is a table of functions, [`Kernels`]. One can be had only from [`Isa::kernels`],
//! [`best`] and [`available`], which ask the processor first; its methods check every size before
//! they call into the table.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod amx;
mod args;
#[cfg(feature = "std")]
mod attention;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod band;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod curve;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod depthwise;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod dotprod;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod dots;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod end;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod i8mm;
mod isa;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod lanes;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod neon;
mod pack;
mod pool;
mod scalar;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod strip;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod tiles;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod vector;

pub use crate::math::{GELU, GELU_TANH, QUICK_GELU, SILU};
pub use args::{
    Activation, Added, CodeRows, Depthwise, HALF, LANES, MAX_SIDE, Out, PackedMatrix, Quantize,
    Query, Requant, Rows, Values,
};
#[cfg(feature = "std")]
pub use attention::{Attention, AttentionScratch};
pub use isa::{FORCE, Isa, available, best};
pub use pack::{pack, packed_len, row_sums};
#[cfg(feature = "std")]
pub use pool::PoolError;
pub use pool::{Pool, Worker};

use core::ops::Range;

use args::fits;
use pool::Shared;

/// The arguments of a matrix product, checked.
struct Gemm<'a> {
    a: Rows<'a>,
    w: PackedMatrix<'a>,
    end: End<'a>,
}

/// What becomes of sums: `n` channels of rows (or pixels).
#[cfg_attr(not(feature = "std"), expect(dead_code, reason = "the vector kernels read all of it"))]
struct End<'a> {
    q: Requant<'a>,
    /// See [`Rows`]; or nothing.
    row_scale: &'a [f32],
    row_zero: &'a [u8],
    /// See [`PackedMatrix::sums`].
    column_sums: &'a [i32],
    added: Added<'a>,
    sink: Sink,
    n: usize,
    /// Values from one row of the output to the next.
    stride_out: usize,
}

/// Where a matrix product puts its results: several threads write through it, each to rows and
/// panels of its own.
enum Sink {
    /// Rounded, `[rows][n]`.
    Codes(Shared<u8>),
    /// As they are, `[rows][n]`.
    Real(Shared<f32>),
    /// Added up over the rows in their order, `[n]`.
    Sums(Shared<f32>),
}

/// Scale and bias of a panel's keys.
type KeyUnits<'a> = [&'a [f32; LANES]; 2];

/// The kernels of one instruction set.
///
/// The methods panic when a slice is shorter than its sizes say: sizes come from the program (or
/// from an asset that was checked when it was opened), never from a frame.
#[expect(clippy::type_complexity, reason = "a table of functions")]
pub struct Kernels {
    isa: Isa,
    // Unsafe to call on a processor without the instruction set, or with sizes that do not fit.
    gemm: unsafe fn(&Gemm, Range<usize>, Range<usize>, &mut [u8]),
    depthwise: unsafe fn(&Depthwise, &[u8], usize, &mut [u8]),
    quantize: unsafe fn(&Quantize, &[f32], &mut [u8]) -> (f32, u8),
    normalize: unsafe fn(f32, &[f32], &[f32], &[f32], &mut [f32]),
    softmax: unsafe fn(&[f32], &mut [u8]) -> f32,
    scale_codes: unsafe fn(&Requant, &[u8], &mut [u8]),
    pack_key: unsafe fn(&[f32], &mut [i8], usize) -> (f32, i32),
    pack_values: unsafe fn(&Values, &mut [i8], &mut [f32; LANES], &mut [i32; LANES]),
    dot_f32: unsafe fn(&[f32], &[f32]) -> f32,
    dots_f32: unsafe fn(&[f32], &[f32], usize, &mut [f32]),
    matvec_f16: unsafe fn(&[u16], &[f32], &mut [f32]),
    affinity: unsafe fn(&[i8], &Query, KeyUnits, &mut [f32; LANES], &mut [f32; LANES]),
    scratch: fn(usize) -> usize,
    peak: unsafe fn(usize) -> usize,
}

/// Rows of a depthwise convolution that a thread makes at least, where there are enough: some kernels share what
/// they do for so many.
const ROWS_TOGETHER: usize = 4;

/// Rows that a thread takes at least: a multiple of every instruction set's tile.
const ROWS_PER_TASK: usize = 24;
/// Panels that a thread takes at least.
const PANELS_PER_TASK: usize = 2;

impl Kernels {
    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The instruction set's name.
    pub fn name(&self) -> &'static str {
        self.isa.name()
    }

    /// Bytes of scratch that each thread of the [`Pool`] needs for products over `k` inputs.
    pub fn scratch(&self, k: usize) -> usize {
        (self.scratch)(k)
    }

    /// Runs `steps` steps of the multiply-add that products are made of, on registers alone, and
    /// returns how many products that were: the rate that nothing can exceed on one thread.
    pub fn peak(&self, steps: usize) -> usize {
        // SAFETY: `self` exists, so the processor has the instruction set.
        unsafe { (self.peak)(steps) }
    }

    /// Integer matrix product: `sum[r][n] = sum over k of (a[r][k] - zero[r]) * w[n][k]`, exact in
    /// i32, then `q` and `added`. Rows of the output (and of what is added) are `stride_out` values
    /// apart.
    #[expect(clippy::too_many_arguments, reason = "a matrix product has this many")]
    pub fn gemm(
        &self,
        pool: &Pool,
        a: Rows,
        w: PackedMatrix,
        q: Requant,
        added: Added,
        out: Out,
        stride_out: usize,
    ) {
        let g = Gemm::checked(a, w, q, added, out, stride_out);
        let (row_units, panel_units) =
            (a.count.div_ceil(ROWS_PER_TASK), w.panels().div_ceil(PANELS_PER_TASK));
        if row_units < panel_units {
            return self.by_panels(pool, &g);
        }
        let run = row_units.div_ceil(pool.parts(row_units)).max(1) * ROWS_PER_TASK;
        pool.run(a.count.div_ceil(run), &|task, worker| {
            let rows = task * run..a.count.min((task + 1) * run);
            // SAFETY: `self` exists, so the processor has the instruction set; the sizes were
            // checked; tasks write different rows.
            unsafe { (self.gemm)(&g, rows, 0..w.panels(), worker.scratch) }
        });
    }

    /// [`gemm`](Self::gemm) on the thread that calls it, inside of a task that has this scratch.
    #[expect(clippy::too_many_arguments, reason = "a matrix product has this many")]
    pub fn gemm_here(
        &self,
        scratch: &mut [u8],
        a: Rows,
        w: PackedMatrix,
        q: Requant,
        added: Added,
        out: Out,
        stride_out: usize,
    ) {
        let g = Gemm::checked(a, w, q, added, out, stride_out);
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked;
        // the output is borrowed by this call alone.
        unsafe { (self.gemm)(&g, 0..a.count, 0..w.panels(), scratch) }
    }

    /// Runs a product with the panels shared among the threads.
    fn by_panels(&self, pool: &Pool, g: &Gemm) {
        let (panels, rows) = (g.w.panels(), g.a.count);
        let units = panels.div_ceil(PANELS_PER_TASK);
        let run = units.div_ceil(pool.parts(units)).max(1) * PANELS_PER_TASK;
        pool.run(panels.div_ceil(run), &|task, worker| {
            let range = task * run..panels.min((task + 1) * run);
            // SAFETY: `self` exists, so the processor has the instruction set; the sizes were
            // checked; tasks write different panels.
            unsafe { (self.gemm)(g, 0..rows, range, worker.scratch) }
        });
    }

    /// The same product, but instead of rounding the mean over the rows (a global average pool):
    /// `out[n] = (sum over r in order of the clamped y) / rows`.
    pub fn gemm_mean(&self, pool: &Pool, a: Rows, w: PackedMatrix, q: Requant, out: &mut [f32]) {
        assert!(out.len() >= w.n, "gemm_mean: out");
        let out = &mut out[..w.n];
        out.fill(0.0);
        let sink = Sink::Sums(Shared(out.as_mut_ptr()));
        self.by_panels(pool, &Gemm::with_sink(a, w, q, Added::Nothing, sink, w.n));
        if a.count > 0 {
            out.iter_mut().for_each(|sum| *sum /= a.count as f32);
        }
    }

    /// A depthwise convolution: `image` is `[height_in][width_in][channels]`, the output
    /// `[height_out][width_out]` pixels, `stride_out` values apart.
    pub fn depthwise(&self, pool: &Pool, d: &Depthwise, image: &[u8], out: &mut [u8]) {
        d.check(image, out);
        let d = Depthwise { requant: d.requant.for_codes(), ..*d };
        if d.width_out * d.height_out == 0 || d.channels == 0 {
            return;
        }
        // The last pixel of the image may end before the next would start.
        let row_out = d.width_out * d.stride_out;
        let end = (d.width_out * d.height_out - 1) * d.stride_out + d.channels;
        let rows = d.height_out.div_ceil(pool.threads()).min(ROWS_TOGETHER);
        pool.split(&mut out[..end], rows * row_out, |first, out, _| {
            // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
            unsafe { (self.depthwise)(&d, image, first * rows, out) }
        });
    }

    /// Writes a row of real values as codes (see [`Quantize`]) with a scale and a zero point of its
    /// own, which it returns: `value = scale * (code - zero)`. `codes` past the row become 0.
    pub fn quantize(&self, q: &Quantize, row: &[f32], codes: &mut [u8]) -> (f32, u8) {
        q.check();
        assert!(row.len() == q.len && codes.len() >= q.len, "quantize: lengths");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.quantize)(q, row, codes) }
    }

    /// [`quantize`](Self::quantize) for each row of `values`, as the left side of a product.
    pub fn quantize_rows(&self, pool: &Pool, q: &Quantize, values: &Values, out: CodeRows) {
        q.check();
        values.check();
        let CodeRows { codes, stride, scale, zero } = out;
        let count = values.rows;
        assert!(values.columns == q.len && stride >= q.len, "quantize_rows: lengths");
        assert!(fits(codes.len(), count, stride, stride), "quantize_rows: codes");
        assert!(scale.len() >= count && zero.len() >= count, "quantize_rows: scale");
        let (scale, zero) = (Shared(scale.as_mut_ptr()), Shared(zero.as_mut_ptr()));
        pool.split(&mut codes[..count * stride], stride, |first, codes, _| {
            for (i, codes) in codes.chunks_exact_mut(stride).enumerate() {
                let r = first + i;
                let row = &values.data[r * values.stride..][..q.len];
                // SAFETY: `self` exists, so the processor has the instruction set; the sizes were
                // checked; row r has one place in each of the two and one task.
                unsafe {
                    let (step, middle) = (self.quantize)(q, row, codes);
                    scale.at(r).write(step);
                    zero.at(r).write(middle);
                }
            }
        });
    }

    /// Layer normalisation: `fma((x - mean) / sqrt(variance + epsilon), gain, shift)`, all as long as
    /// the row.
    pub fn normalize(
        &self,
        epsilon: f32,
        gain: &[f32],
        shift: &[f32],
        row: &[f32],
        out: &mut [f32],
    ) {
        assert!(!row.is_empty(), "normalize: row");
        let lengths = [gain.len(), shift.len(), out.len()];
        assert_eq!(lengths, [row.len(); 3], "normalize: lengths");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.normalize)(epsilon, gain, shift, row, out) }
    }

    /// Softmax of a row of scores: code `round(255 * exp(x - greatest))`; returns one over the sum of
    /// the codes, with which they become probabilities. `codes` past the row become 0.
    pub fn softmax(&self, row: &[f32], codes: &mut [u8]) -> f32 {
        assert!(codes.len() >= row.len(), "softmax: codes");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.softmax)(row, codes) }
    }

    /// One pixel's codes through `q`, in place of a sum: scaling by channel, activation, new codes.
    pub fn scale_codes(&self, q: &Requant, row: &[u8], out: &mut [u8]) {
        q.check(row.len());
        assert_eq!(row.len(), out.len(), "scale_codes: lengths");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.scale_codes)(&q.for_codes(), row, out) }
    }

    /// Rows of real values as the packed side of a product (attention's keys): symmetric codes with a
    /// scale for each row. Row r of `keys` becomes output r; `packed`, `scale` and `sums` are as
    /// [`PackedMatrix`] and [`Requant`] want them.
    pub fn pack_keys(&self, keys: &Values, packed: &mut [i8], scale: &mut [f32], sums: &mut [i32]) {
        let (k, n) = (keys.columns, keys.rows);
        keys.check();
        let padded = n.next_multiple_of(LANES);
        assert_eq!(packed.len(), packed_len(k, n), "pack_keys: packed");
        assert!(scale.len() >= padded && sums.len() >= padded, "pack_keys: scale");
        let panel = packed_len(k, LANES);
        if !n.is_multiple_of(LANES) {
            packed[n / LANES * panel..].fill(0);
            scale[n..padded].fill(0.0);
            sums[n..padded].fill(0);
        }
        for r in 0..n {
            let row = &keys.data[r * keys.stride..][..k];
            let packed = &mut packed[r / LANES * panel..][..panel];
            // SAFETY: `self` exists, so the processor has the instruction set; the row has a panel
            // and a lane.
            (scale[r], sums[r]) = unsafe { (self.pack_key)(row, packed, r % LANES) };
        }
    }

    /// Columns of real values as the packed side of a product (attention's values): symmetric codes
    /// with a scale for each column. Column n of `values` becomes output n, its rows the inputs.
    pub fn pack_values(
        &self,
        values: &Values,
        packed: &mut [i8],
        scale: &mut [f32],
        sums: &mut [i32],
    ) {
        let (k, n) = (values.rows, values.columns);
        values.check();
        assert_eq!(packed.len(), packed_len(k, n), "pack_values: packed");
        let (scale, _) = scale.as_chunks_mut::<LANES>();
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        let panels = n.div_ceil(LANES);
        assert!(scale.len() >= panels && sums.len() >= panels, "pack_values: scale");
        let panel = packed_len(k, LANES).max(1);
        for (p, packed) in packed.chunks_exact_mut(panel).enumerate() {
            let first = p * LANES;
            let columns = (n - first).min(LANES);
            let block = Values { data: &values.data[first..], columns, ..*values };
            // SAFETY: `self` exists, so the processor has the instruction set; the sizes were
            // checked.
            unsafe { (self.pack_values)(&block, packed, &mut scale[p], &mut sums[p]) }
        }
    }

    /// The dot product over [`LANES`] strided lanes (lane l takes l, l + 16, ..) with fused
    /// multiply-adds, then the tree l += l + 8, l + 4, l + 2, l + 1.
    pub fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "dot_f32: lengths");
        // SAFETY: `self` exists, so the processor has the instruction set; the lengths are equal.
        unsafe { (self.dot_f32)(a, b) }
    }

    /// [`dot_f32`](Self::dot_f32) of each row of `a` with each row of `b`, all of `k` values:
    /// `out[i][j]`.
    pub fn dots_f32(&self, a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
        if k == 0 {
            return out.fill(0.0);
        }
        assert!(a.len().is_multiple_of(k) && b.len().is_multiple_of(k), "dots_f32: rows");
        assert_eq!(out.len(), a.len() / k * (b.len() / k), "dots_f32: out");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.dots_f32)(a, b, k, out) }
    }

    /// `out[r]` = f16 row r of `w` (`[out.len()][x.len()]`, widened exactly) times `x`, in the order
    /// of [`Kernels::dot_f32`].
    pub fn matvec_f16(&self, w: &[u16], x: &[f32], out: &mut [f32]) {
        assert!(fits(w.len(), out.len(), x.len(), x.len()), "matvec_f16: rows");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.matvec_f16)(w, x, out) }
    }

    /// Tip-Adapter's affinity for one panel of [`LANES`] keys, `[ceil(k/4)][16][4]`: the exact integer
    /// dot product, `cos = fma(dot, q.scale * key_scale, q.base + key_bias)` and
    /// `aff = exp(fma(q.beta, cos, -q.beta))`.
    pub fn affinity(
        &self,
        panel: &[i8],
        q: &Query,
        key_scale: &[f32; LANES],
        key_bias: &[f32; LANES],
        cos: &mut [f32; LANES],
        aff: &mut [f32; LANES],
    ) {
        assert!(q.codes.len().is_multiple_of(4), "affinity: codes");
        assert!(fits(panel.len(), q.codes.len(), LANES, LANES), "affinity: panel");
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.affinity)(panel, q, [key_scale, key_bias], cos, aff) }
    }
}

impl<'a> Gemm<'a> {
    fn checked(
        a: Rows<'a>,
        w: PackedMatrix<'a>,
        q: Requant<'a>,
        added: Added<'a>,
        out: Out<'a>,
        stride_out: usize,
    ) -> Self {
        assert!(stride_out >= w.n, "gemm: stride_out");
        let inside = |len: usize| fits(len, a.count, stride_out, w.n);
        let added_fits = match added {
            Added::Nothing => true,
            Added::Codes(codes, _) => inside(codes.len()),
            Added::Real(values) => inside(values.len()),
        };
        assert!(added_fits, "gemm: added");
        let (sink, q) = match out {
            Out::Codes(out) => {
                assert!(inside(out.len()), "gemm: out");
                (Sink::Codes(Shared(out.as_mut_ptr())), q.for_codes())
            }
            Out::Real(out) => {
                assert!(inside(out.len()), "gemm: out");
                (Sink::Real(Shared(out.as_mut_ptr())), q)
            }
        };
        Self::with_sink(a, w, q, added, sink, stride_out)
    }

    /// Everything but the output and what is added is checked here.
    fn with_sink(
        a: Rows<'a>,
        w: PackedMatrix<'a>,
        q: Requant<'a>,
        added: Added<'a>,
        sink: Sink,
        stride_out: usize,
    ) -> Self {
        assert!(a.stride >= w.k, "gemm: stride");
        assert!(fits(a.codes.len(), a.count, a.stride, w.k), "gemm: codes");
        assert!(a.scale.is_empty() || a.scale.len() >= a.count, "gemm: row scales");
        assert!(a.zero.is_empty() || a.zero.len() >= a.count, "gemm: row zeros");
        assert!(w.data.len() >= packed_len(w.k, w.n), "gemm: weights");
        assert!(w.sums.len() >= w.n.next_multiple_of(LANES), "gemm: sums");
        q.check(w.n);
        let (row_scale, row_zero, column_sums, n) = (a.scale, a.zero, w.sums, w.n);
        let end = End { q, row_scale, row_zero, column_sums, added, sink, n, stride_out };
        Gemm { a, w, end }
    }

    /// The last `k % 4` inputs of row `r`, filled with zeros.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    #[inline(always)]
    fn last_four(&self, r: usize) -> i32 {
        let row = &self.a.codes[..r * self.a.stride + self.w.k];
        let rest = self.w.k % 4;
        match row.last_chunk() {
            // What stands before them is shifted out.
            Some(four) => (u32::from_le_bytes(*four) >> (8 * (4 - rest))) as i32,
            None => {
                let mut four = [0; 4];
                four[..rest].copy_from_slice(&row[row.len() - rest..]);
                i32::from_le_bytes(four)
            }
        }
    }
}

#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
impl<'a> Depthwise<'a> {
    /// What becomes of the sums of an output row.
    fn end(&self, out: &mut [u8]) -> End<'a> {
        End {
            q: self.requant,
            row_scale: &[],
            row_zero: &[],
            column_sums: &[],
            added: Added::Nothing,
            sink: Sink::Codes(Shared(out.as_mut_ptr())),
            n: self.channels,
            stride_out: self.stride_out,
        }
    }
}

/// Zeros, without a call for the few that there are.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn clear(rest: &mut [u8]) {
    match rest {
        [] => (),
        [a] => *a = 0,
        [a, b] => [*a, *b] = [0; 2],
        [a, b, c] => [*a, *b, *c] = [0; 3],
        _ => rest.fill(0),
    }
}
