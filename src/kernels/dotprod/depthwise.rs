//! Depthwise convolutions with weights of 8 bits, four kernel rows at once.
//!
//! Under each column the pixels of four kernel rows are put side by side, channel by channel, which is the
//! order of the weights: a dot product then takes four taps. A pixel is put there once for all outputs whose
//! kernels it lies under.

use core::arch::aarch64::*;

use crate::kernels::strip::{COLUMNS, Strip};
use crate::kernels::{LANES, MAX_SIDE};

/// Kernel rows side by side.
pub(in crate::kernels) const ROWS: usize = 4;
/// Groups of them.
const GROUPS: usize = MAX_SIDE.div_ceil(ROWS);
/// Outputs of a block: those of the largest one have 24 registers of sums, with 4 of codes and 4 of weights.
const MOST: usize = 6;
const FEW: usize = 4;

/// What lies under a strip: for each group of kernel rows and column, four codes of each channel. Where the
/// kernel has fewer rows anything may stand: its weight is 0.
#[repr(align(64))]
pub(in crate::kernels) struct Columns([[[u8; ROWS * LANES]; COLUMNS]; GROUPS]);

impl Columns {
    pub(in crate::kernels) const EMPTY: Self = Self([[[0; ROWS * LANES]; COLUMNS]; GROUPS]);

    /// Puts the pixels of the [`LANES`] channels from `c` on side by side, with `flipped` bits turned.
    ///
    /// # Safety
    /// The channels exist in each pixel of the strip.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(in crate::kernels) unsafe fn fill(
        &mut self,
        strip: &Strip,
        kernel: usize,
        c: usize,
        flipped: u8,
    ) {
        let count = (strip.outputs - 1) * strip.stride + kernel;
        for (group, to) in self.0.iter_mut().enumerate().take(kernel.div_ceil(ROWS)) {
            let first = group * ROWS;
            // SAFETY: the caller's promise.
            unsafe {
                match kernel - first {
                    1 => fill::<1>(&strip.columns[..count], first, c, flipped, to),
                    2 => fill::<2>(&strip.columns[..count], first, c, flipped, to),
                    3 => fill::<3>(&strip.columns[..count], first, c, flipped, to),
                    _ => fill::<4>(&strip.columns[..count], first, c, flipped, to),
                }
            }
        }
    }

    /// The block of outputs from `i` on.
    pub(in crate::kernels) fn from(&self, i: usize, stride: usize) -> *const u8 {
        self.0[0][i * stride].as_ptr()
    }
}

/// `ROWS` kernel rows from `first` on of [`Columns::fill`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn fill<const ROWS: usize>(
    columns: &[[*const u8; MAX_SIDE]],
    first: usize,
    c: usize,
    flipped: u8,
    to: &mut [[u8; self::ROWS * LANES]; COLUMNS],
) {
    let flipped = vdupq_n_u8(flipped);
    for (pixels, to) in columns.iter().zip(to) {
        // SAFETY: the caller's promise.
        let codes =
            |row: usize| unsafe { veorq_u8(vld1q_u8(pixels[first + row % ROWS].add(c)), flipped) };
        let codes = uint8x16x4_t(codes(0), codes(1), codes(2), codes(3));
        // SAFETY: a column has four codes of each channel.
        unsafe { vst4q_u8(to.as_mut_ptr(), codes) };
    }
}

/// Blocks of a strip's outputs, from which on and how many. The last ones end with the strip: some may be
/// made twice.
pub(in crate::kernels) fn blocks(strip: &Strip) -> impl Iterator<Item = (usize, usize)> {
    let outputs = strip.outputs;
    let mut done = 0;
    core::iter::from_fn(move || {
        let count = match outputs - done {
            0 => return None,
            // Two of the smaller ones.
            7 | 8 => FEW,
            5.. if outputs >= MOST => MOST,
            _ if outputs >= FEW => FEW,
            _ => 1,
        };
        let first = done.min(outputs - count);
        done = first + count;
        Some((first, count))
    })
}

/// Bytes from a group's last column to the next group's first: of the codes and of the weights.
pub(in crate::kernels) const fn skipped(kernel: usize) -> [usize; 2] {
    [(COLUMNS - kernel) * ROWS * LANES, (MAX_SIDE - kernel) * ROWS * LANES]
}

/// Four products at once with one instruction: a register of codes and one of weights.
macro_rules! dots {
    ($dot:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{at}], {step}\n",
            $dot,
            " v",
            $a,
            ".4s, v4.16b, v0.16b\n",
            $dot,
            " v",
            $b,
            ".4s, v5.16b, v1.16b\n",
            $dot,
            " v",
            $c,
            ".4s, v6.16b, v2.16b\n",
            $dot,
            " v",
            $d,
            ".4s, v7.16b, v3.16b\n",
        )
    };
}
pub(in crate::kernels) use dots;

/// The sums of a block, whose outputs have four registers each.
macro_rules! block {
    (
        $dot:literal, $columns:expr, $step:expr, $kernel:expr, $weights:expr, $starts:expr, $sums:expr;
        $([$s0:literal $s1:literal $s2:literal $s3:literal])*
    ) => {{
        use $crate::kernels::dotprod::depthwise::{ROWS, dots, skipped};
        let kernel: usize = $kernel;
        let [skip_columns, skip_weights] = skipped(kernel);
        core::arch::asm!(
            $(concat!("ld1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{starts}]"),)*
            "2:",
            "mov {left}, {kernel}",
            "3:",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{weights}], #64",
            "mov {at}, {columns}",
            "add {columns}, {columns}, #64",
            $(dots!($dot, $s0 $s1 $s2 $s3),)*
            "subs {left}, {left}, #1",
            "b.ne 3b",
            "add {columns}, {columns}, {skip_columns}",
            "add {weights}, {weights}, {skip_weights}",
            "subs {groups}, {groups}, #1",
            "b.ne 2b",
            $(concat!("st1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{sums}], #64"),)*
            starts = in(reg) $starts,
            kernel = in(reg) kernel,
            groups = inout(reg) kernel.div_ceil(ROWS) => _,
            left = out(reg) _,
            at = out(reg) _,
            step = in(reg) $step,
            columns = inout(reg) $columns => _,
            weights = inout(reg) $weights => _,
            skip_columns = in(reg) skip_columns,
            skip_weights = in(reg) skip_weights,
            sums = inout(reg) $sums => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        )
    }};
}
pub(in crate::kernels) use block;

/// Makes an instruction set's function for `$dot`, for which bits `$flipped` of each code are turned: bytes of
/// a sign are codes less 128.
macro_rules! stamp {
    ($features:literal, $dot:literal, $flipped:literal) => {
        #[target_feature(enable = $features)]
        fn depthwise(d: &$crate::kernels::Depthwise, image: &[u8], first: usize, out: &mut [u8]) {
            use $crate::kernels::dotprod::depthwise::{Columns, ROWS, block, blocks};
            use $crate::kernels::strip::{Strip, Sums, Weights, run};
            use $crate::kernels::{End, LANES, neon};

            /// # Safety
            /// The strip has the channels from `c` on.
            #[target_feature(enable = $features)]
            unsafe fn panel(
                strip: &Strip,
                kernel: usize,
                c: usize,
                w: &Weights,
                end: &End,
                columns: &mut Columns,
                sums: &mut Sums,
            ) {
                let starts = w.starts.as_ptr();
                // SAFETY: the caller's promise; the blocks' outputs are the strip's.
                unsafe {
                    columns.fill(strip, kernel, c, $flipped);
                    for (i, count) in blocks(strip) {
                        let (at, step) = (columns.from(i, strip.stride), strip.stride * ROWS * LANES);
                        let (w, to) = (w.taps.as_ptr(), sums.0.as_mut_ptr().add(i));
                        match count {
                            1 => block!($dot, at, step, kernel, w, starts, to; [8 9 10 11]),
                            4 => block!($dot, at, step, kernel, w, starts, to;
                                [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23]),
                            _ => block!($dot, at, step, kernel, w, starts, to;
                                [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23]
                                [24 25 26 27] [28 29 30 31]),
                        }
                    }
                    neon::finish(end, strip.output, c, &sums.0[..strip.outputs]);
                }
            }

            if !d.are_bytes {
                return neon::depthwise(d, image, first, out);
            }
            let mut columns = Columns::EMPTY;
            // SAFETY: `run` gives what `panel` wants.
            run(d, image, first, out, ROWS, $flipped, |strip, c, w, end, sums| unsafe {
                panel(strip, d.kernel, c, w, end, &mut columns, sums)
            });
        }
    };
}
pub(in crate::kernels) use stamp;
