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
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod dotprod;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod i8mm;
#[cfg(all(feature = "std", target_arch = "aarch64"))]
mod neon;
mod scalar;
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod strip;
#[cfg(test)]
mod tests;

use core::ops::Range;

/// Lanes of a float sum, and the output channels (or keys) of a weight panel.
pub const LANES: usize = 16;

/// Environment variable with the name of the instruction set to use instead of the best one.
pub const FORCE: &str = "TIPCAM_KERNEL";

/// Largest side of a depthwise kernel.
pub const MAX_SIDE: usize = 7;

/// An instruction set that has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, the specification.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C; uses AVX-VNNI where the processor has it.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// 64-bit ARM without dot products, such as Cortex-A53 and A72.
    Neon,
    /// 64-bit ARM with dot products, such as Cortex-A76.
    Dotprod,
    /// 64-bit ARM with 8-bit matrix products.
    I8mm,
}

impl Isa {
    /// Every instruction set, the better ones of a processor family later.
    pub const ALL: [Isa; 6] =
        [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon, Isa::Dotprod, Isa::I8mm];

    /// The name that [`Isa::parse`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
            Isa::Dotprod => "dotprod",
            Isa::I8mm => "i8mm",
        }
    }

    /// The instruction set of that name.
    pub fn parse(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Its kernels, or `None` where the processor (or this build) lacks it.
    pub fn kernels(self) -> Option<&'static Kernels> {
        match self {
            Isa::Scalar => Some(&scalar::KERNELS),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::Avx2 => avx2::detect(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Isa::Avx512 => avx512::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::Neon => neon::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::Dotprod => dotprod::detect(),
            #[cfg(all(feature = "std", target_arch = "aarch64"))]
            Isa::I8mm => i8mm::detect(),
            _ => None,
        }
    }
}

/// The best kernels that the processor has; the scalar ones in a build without `std`.
///
/// The environment variable [`FORCE`] names others, for tests and comparisons; a name that the
/// processor lacks changes nothing here (the command line refuses it).
pub fn best() -> &'static Kernels {
    #[cfg(feature = "std")]
    if let Some(forced) =
        std::env::var(FORCE).ok().and_then(|name| Isa::parse(&name)).and_then(Isa::kernels)
    {
        return forced;
    }
    available().last().unwrap_or(&scalar::KERNELS)
}

/// The kernels of every instruction set that the processor has, the scalar ones first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    Isa::ALL.into_iter().filter_map(Isa::kernels)
}

/// Bytes of `n` packed rows (output channels, keys) of `k` weights each.
pub const fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(LANES) * k.div_ceil(4) * LANES * 4
}

/// Packs `rows` (`n` rows of `k`) as [`PackedMatrix`] wants them; `out` is [`packed_len`] long.
pub fn pack(k: usize, n: usize, rows: &[i8], out: &mut [i8]) {
    assert_eq!(rows.len(), n * k, "pack: rows");
    assert_eq!(out.len(), packed_len(k, n), "pack: out");
    out.fill(0);
    let panel = k.div_ceil(4) * LANES * 4;
    for r in 0..n {
        for i in 0..k {
            out[r / LANES * panel + (i / 4 * LANES + r % LANES) * 4 + i % 4] = rows[r * k + i];
        }
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
}

impl<'a> PackedMatrix<'a> {
    /// Bytes of one panel of [`LANES`] outputs.
    pub const fn panel_len(&self) -> usize {
        packed_len(self.k, LANES)
    }

    /// The panels (of [`LANES`] outputs each) in `range` as a matrix of their own.
    pub fn panels(&self, range: Range<usize>) -> PackedMatrix<'a> {
        let len = self.panel_len();
        PackedMatrix {
            k: self.k,
            n: self.n.min(range.end * LANES) - range.start * LANES,
            data: &self.data[range.start * len..range.end * len],
        }
    }
}

/// How an integer sum becomes an activation: `y = fma(sum, scale[n], bias[n])`, a residual if there
/// is one, then `y` clamped to `lo..=hi` and, for u8, rounded half to even.
#[derive(Clone, Copy)]
pub struct Requant<'a> {
    /// One factor per output channel, their count rounded up to [`LANES`].
    pub scale: &'a [f32],
    /// One summand per output channel, as many as `scale`.
    pub bias: &'a [f32],
    /// Smallest activation; for u8 output not below 0.
    pub lo: f32,
    /// Largest activation; for u8 output not above 255.
    pub hi: f32,
}

impl Requant<'_> {
    fn check(&self, n: usize) {
        let padded = n.next_multiple_of(LANES);
        assert!(self.scale.len() >= padded, "requant: scale");
        assert!(self.bias.len() >= padded, "requant: bias");
    }

    /// The same with the clamp inside of what a u8 holds.
    fn for_codes(self) -> Self {
        Requant { lo: self.lo.max(0.0), hi: self.hi.min(255.0), ..self }
    }
}

/// A second input of the same shape as the output: `y = fma(data, scale, y)`.
#[derive(Clone, Copy)]
pub struct Residual<'a> {
    /// `[rows][n]`.
    pub data: &'a [u8],
    /// Its factor in the output's units.
    pub scale: f32,
}

/// A depthwise convolution over one row of pixels, channels last.
pub struct Depthwise<'a> {
    /// Channels of input and output.
    pub channels: usize,
    /// Side of the kernel, at most [`MAX_SIDE`].
    pub kernel: usize,
    /// Step between outputs, in input pixels.
    pub stride: usize,
    /// Input pixels that are missing on the left of the first output's kernel.
    pub pad_left: usize,
    /// Pixels of an input row.
    pub width_in: usize,
    /// Pixels of an output row.
    pub width_out: usize,
    /// `[ceil(kernel * kernel / 2)][channels rounded up to 16][2]`: taps 2t and 2t + 1 side by side;
    /// places past the last tap and channel hold zeros.
    pub weights: &'a [i16],
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
}

/// The arguments of a matrix product, checked.
struct Gemm<'a> {
    a: &'a [u8],
    lda: usize,
    rows: usize,
    w: PackedMatrix<'a>,
    q: Requant<'a>,
}

/// Scale and bias of a panel's keys.
type KeyUnits<'a> = [&'a [f32; LANES]; 2];

/// Where a matrix product puts its activations.
enum Sink<'a> {
    /// Rounded, `[rows][n]`.
    Codes(&'a mut [u8], Option<Residual<'a>>),
    /// Added up over the rows in their order, `[n]`.
    Sums(&'a mut [f32]),
}

/// The kernels of one instruction set.
///
/// The methods panic when a slice is shorter than its sizes say: sizes come from the program (or
/// from an asset that was checked when it was opened), never from a frame.
pub struct Kernels {
    isa: Isa,
    // Unsafe to call on a processor without the instruction set, or with sizes that do not fit.
    gemm: unsafe fn(&Gemm, Sink),
    depthwise: unsafe fn(&Depthwise, &[&[u8]], &mut [u8]),
    dot_f32: unsafe fn(&[f32], &[f32]) -> f32,
    matvec_f16: unsafe fn(&[u16], &[f32], &mut [f32]),
    affinity: unsafe fn(&[i8], &Query, KeyUnits, &mut [f32; LANES], &mut [f32; LANES]),
}

impl Kernels {
    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The instruction set's name.
    pub fn name(&self) -> &'static str {
        self.isa.name()
    }

    /// Integer matrix product to u8: `sum[r][n] = sum over k of a[r * lda + k] * w[n][k]`, exact in
    /// i32, then `q` and `residual`; `out` is `[rows][n]`.
    #[expect(clippy::too_many_arguments, reason = "a matrix product has this many")]
    pub fn gemm(
        &self,
        a: &[u8],
        lda: usize,
        rows: usize,
        w: PackedMatrix,
        q: Requant,
        residual: Option<Residual>,
        out: &mut [u8],
    ) {
        let g = Gemm::checked(a, lda, rows, w, q.for_codes());
        assert!(fits(out.len(), rows, w.n, w.n), "gemm: out");
        if let Some(r) = &residual {
            assert!(fits(r.data.len(), rows, w.n, w.n), "gemm: residual");
        }
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.gemm)(&g, Sink::Codes(out, residual)) }
    }

    /// The same product, but instead of rounding the mean over the rows (a global average pool):
    /// `out[n] = (sum over r in order of the clamped y) / rows`.
    pub fn gemm_mean(
        &self,
        a: &[u8],
        lda: usize,
        rows: usize,
        w: PackedMatrix,
        q: Requant,
        out: &mut [f32],
    ) {
        let g = Gemm::checked(a, lda, rows, w, q);
        assert!(out.len() >= w.n, "gemm_mean: out");
        let out = &mut out[..w.n];
        out.fill(0.0);
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.gemm)(&g, Sink::Sums(out)) }
        if rows > 0 {
            out.iter_mut().for_each(|sum| *sum /= rows as f32);
        }
    }

    /// One output row, `[width_out][channels]`, of a depthwise convolution. `rows` are the input rows
    /// under the kernel, `[width_in][channels]` each, empty where they lie outside of the image.
    pub fn depthwise(&self, d: &Depthwise, rows: &[&[u8]], out: &mut [u8]) {
        assert!((1..=MAX_SIDE).contains(&d.kernel), "depthwise: kernel");
        assert_eq!(rows.len(), d.kernel, "depthwise: rows");
        for row in rows {
            assert!(row.is_empty() || fits(row.len(), d.width_in, d.channels, d.channels));
        }
        assert!(fits(out.len(), d.width_out, d.channels, d.channels), "depthwise: out");
        assert!(d.stride > 0, "depthwise: stride");
        let columns = d.width_out.checked_mul(d.stride).and_then(|c| c.checked_add(d.kernel));
        assert!(columns.is_some(), "depthwise: width_out");
        let padded = d.channels.next_multiple_of(LANES);
        let pairs = (d.kernel * d.kernel).div_ceil(2);
        assert!(fits(d.weights.len(), pairs, 2 * padded, 2 * padded), "depthwise: weights");
        assert!(d.pad.len() >= d.channels, "depthwise: pad");
        d.requant.check(d.channels);
        let d = Depthwise { requant: d.requant.for_codes(), ..*d };
        // SAFETY: `self` exists, so the processor has the instruction set; the sizes were checked.
        unsafe { (self.depthwise)(&d, rows, out) }
    }

    /// The dot product over [`LANES`] strided lanes (lane l takes l, l + 16, ..) with fused
    /// multiply-adds, then the tree l += l + 8, l + 4, l + 2, l + 1.
    pub fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "dot_f32: lengths");
        // SAFETY: `self` exists, so the processor has the instruction set; the lengths are equal.
        unsafe { (self.dot_f32)(a, b) }
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
    fn checked(a: &'a [u8], lda: usize, rows: usize, w: PackedMatrix<'a>, q: Requant<'a>) -> Self {
        assert!(lda >= w.k, "gemm: lda");
        assert!(fits(a.len(), rows, lda, w.k), "gemm: a");
        assert!(w.data.len() >= packed_len(w.k, w.n), "gemm: weights");
        q.check(w.n);
        Gemm { a, lda, rows, w, q }
    }

    /// The last `k % 4` inputs of row `r`, filled with zeros.
    #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[inline(always)]
    fn last_four(&self, r: usize) -> i32 {
        let mut four = [0; 4];
        let rest = self.w.k % 4;
        four[..rest].copy_from_slice(&self.a[r * self.lda + self.w.k - rest..][..rest]);
        i32::from_le_bytes(four)
    }
}

/// Whether `rows` rows of `len`, one every `stride`, lie inside `have`.
fn fits(have: usize, rows: usize, stride: usize, len: usize) -> bool {
    let Some(last) = rows.checked_sub(1) else { return true };
    last.checked_mul(stride).and_then(|at| at.checked_add(len)).is_some_and(|end| end <= have)
}
