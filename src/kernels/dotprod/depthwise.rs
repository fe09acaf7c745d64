//! Depthwise convolutions with weights of 8 bits, four taps at once.
//!
//! What a dot product takes together is put side by side, channel by channel, once for all outputs that need it: the
//! pixels of four kernel rows in a column; of a row that is left alone (the fifth), four columns.

use core::arch::aarch64::*;
use core::arch::asm;

use crate::kernels::neon::bias;
use crate::kernels::strip::{AHEAD, COLUMNS, Strip};
use crate::kernels::{Depthwise, LANES, MAX_SIDE};

/// Taps of a dot product.
pub(in crate::kernels) const TAPS: usize = 4;
/// Groups of kernel rows.
const GROUPS: usize = MAX_SIDE.div_ceil(TAPS);
/// Dot products of a kernel at most.
const DOTS: usize = GROUPS * MAX_SIDE;
/// Outputs of a block: those of the largest one have 24 registers of sums, with 4 of codes and 4 of weights.
const MOST: usize = 6;
const FEW: usize = 4;

/// A dot product's codes or weights.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Four([u8; TAPS * LANES]);

/// Which taps each dot product of a kernel takes, and which of a strip's codes.
pub(in crate::kernels) struct Plan {
    /// Dot products.
    count: usize,
    /// The places in the kernel of the taps of each; [`NO_TAP`] where there are fewer.
    taps: [[usize; TAPS]; DOTS],
    /// Bytes from an output's first codes to those of each.
    offsets: [usize; DOTS],
}

const NO_TAP: usize = usize::MAX;

impl Plan {
    pub(in crate::kernels) fn new(kernel: usize) -> Self {
        let mut plan = Self { count: 0, taps: [[NO_TAP; TAPS]; DOTS], offsets: [0; DOTS] };
        for group in 0..kernel.div_ceil(TAPS) {
            let rows = group * TAPS..kernel.min((group + 1) * TAPS);
            let along = rows.len() == 1;
            for x in (0..kernel).step_by(if along { TAPS } else { 1 }) {
                let taps = &mut plan.taps[plan.count];
                if along {
                    let columns = x..kernel.min(x + TAPS);
                    taps.iter_mut().zip(columns).for_each(|(t, x)| *t = rows.start * kernel + x);
                } else {
                    taps.iter_mut().zip(rows.clone()).for_each(|(t, y)| *t = y * kernel + x);
                }
                plan.offsets[plan.count] = (group * (COLUMNS + AHEAD) + x) * size_of::<Four>();
                plan.count += 1;
            }
        }
        plan
    }
}

/// Weights of a panel.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Weights {
    /// By dot product of the plan.
    dots: [Four; DOTS],
    /// What the sums begin with.
    starts: [i32; LANES],
    /// What is added to them in units of codes.
    pub(in crate::kernels) bias: [f32; LANES],
}

impl Weights {
    pub(in crate::kernels) const NONE: Self =
        Self { dots: [Four([0; TAPS * LANES]); DOTS], starts: [0; LANES], bias: [0.0; LANES] };

    /// Those of the [`LANES`] channels from `c` on, for codes of which `flipped` (128 or 0) is taken off.
    #[target_feature(enable = "neon")]
    pub(in crate::kernels) fn load(&mut self, d: &Depthwise, plan: &Plan, c: usize, flipped: u8) {
        self.bias = bias(&d.requant, c);
        let padded = d.channels.next_multiple_of(LANES);
        let mut sums = [vdupq_n_s32(0); 4];
        for (dot, taps) in self.dots.iter_mut().zip(plan.taps).take(plan.count) {
            let mut four = [vdupq_n_s8(0); TAPS];
            for (four, tap) in four.iter_mut().zip(taps).filter(|(_, tap)| *tap != NO_TAP) {
                // Each channel's two taps of which this is one.
                let pairs = &d.weights[(tap / 2 * padded + c) * 2..][..2 * LANES];
                // SAFETY: 2 * LANES weights.
                let (low, high) =
                    unsafe { (vld2q_s16(pairs.as_ptr()), vld2q_s16(pairs.as_ptr().add(LANES))) };
                let (low, high) = if tap % 2 == 0 { (low.0, high.0) } else { (low.1, high.1) };
                *four = vmovn_high_s16(vmovn_s16(low), high);
            }
            let four = int8x16x4_t(four[0], four[1], four[2], four[3]);
            // SAFETY: four weights of LANES channels are written and read.
            unsafe {
                let to = dot.0.as_mut_ptr().cast::<i8>();
                vst4q_s8(to, four);
                for (i, sums) in sums.iter_mut().enumerate() {
                    *sums = vpadalq_s16(*sums, vpaddlq_s8(vld1q_s8(to.add(i * LANES))));
                }
            }
        }
        for (starts, sums) in self.starts.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: four sums.
            unsafe { vst1q_s32(starts.as_mut_ptr(), vmulq_n_s32(sums, i32::from(flipped))) };
        }
    }
}

/// The codes under a strip in [`LANES`] channels, by group of kernel rows and column: four for each channel. Where a
/// group has fewer rows anything may stand: its weight is 0.
pub(in crate::kernels) struct Codes([[Four; COLUMNS + AHEAD]; GROUPS]);

impl Codes {
    pub(in crate::kernels) const NONE: Self =
        Self([[Four([0; TAPS * LANES]); COLUMNS + AHEAD]; GROUPS]);

    /// Puts codes of the channels from `c` on side by side, with `flipped` bits turned.
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
        for (group, to) in self.0.iter_mut().enumerate().take(kernel.div_ceil(TAPS)) {
            let first = group * TAPS;
            // SAFETY: the caller's promise; a strip has AHEAD columns more.
            unsafe {
                let pixels = strip.columns[0].as_ptr().add(first);
                let fill = match (kernel - first, flipped) {
                    (1, 0) => row_as_it_is,
                    (1, _) => row_signed,
                    (2 | 3, 0) => three_as_they_are,
                    (2 | 3, _) => three_signed,
                    (_, 0) => four_as_they_are,
                    (..) => four_signed,
                };
                fill(pixels, count, c, flipped, to.as_mut_ptr());
            }
        }
    }
}

macro_rules! flip {
    ($($r:literal)*) => { concat!($("eor v", $r, ".16b, v", $r, ".16b, v31.16b\n",)*) };
}

/// Makes a function that fills a group's columns, of which it takes `$at_once` in a turn and up to three more before
/// it begins: `pixels` is the group's first pixel of the first column, and those of the next one follow [`MAX_SIDE`]
/// pointers on.
macro_rules! fill {
    ($name:ident, $at_once:literal: $before:expr, $turn:expr) => {
        /// # Safety
        /// There are so many columns and [`AHEAD`] more, with the channels from `c` on in each pixel.
        #[target_feature(enable = "neon")]
        unsafe fn $name(pixels: *const *const u8, count: usize, c: usize, flipped: u8, to: *mut Four) {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    $before,
                    "2:",
                    $turn,
                    "subs {turns}, {turns}, #1",
                    "b.ne 2b",
                    turns = inout(reg) count.div_ceil($at_once) => _,
                    pixels = inout(reg) pixels => _,
                    c = in(reg) c,
                    to = inout(reg) to => _,
                    next = const MAX_SIDE * size_of::<*const u8>(),
                    p = out(reg) _,
                    q = out(reg) _,
                    r = out(reg) _,
                    s = out(reg) _,
                    in("v31") vdupq_n_u8(flipped),
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _,
                    options(nostack),
                );
            }
        }
    };
}

/// A column of four rows.
macro_rules! four {
    ($flip:expr) => {
        concat!(
            "ldp {r}, {s}, [{pixels}, #16]\n",
            "ldp {p}, {q}, [{pixels}], #{next}\n",
            "ldr q0, [{p}, {c}]\n",
            "ldr q1, [{q}, {c}]\n",
            "ldr q2, [{r}, {c}]\n",
            "ldr q3, [{s}, {c}]\n",
            $flip,
            "st4 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}], #64\n",
        )
    };
}
fill!(four_signed, 2: "", concat!(four!(flip!(0 1 2 3)), four!(flip!(0 1 2 3))));
fill!(four_as_they_are, 2: "", concat!(four!(""), four!("")));

/// A column of three rows, or of two.
macro_rules! three {
    ($third:literal, $flip:expr) => {
        concat!(
            "ldr ",
            $third,
            ", [{pixels}, #16]\n",
            "ldp {p}, {q}, [{pixels}], #{next}\n",
            "ldr q0, [{p}, {c}]\n",
            "ldr q1, [{q}, {c}]\n",
            "ldr q2, [",
            $third,
            ", {c}]\n",
            $flip,
            "st4 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}], #64\n",
        )
    };
}
macro_rules! threes {
    ($flip:expr) => {
        concat!(three!("{r}", $flip), three!("{s}", $flip))
    };
}
fill!(three_signed, 2: "", threes!(flip!(0 1 2)));
fill!(three_as_they_are, 2: "", threes!(""));

/// Columns of one row.
macro_rules! one {
    ($flip:expr => $($pixel:literal $v:literal)*) => {
        concat!(
            $("ldr ", $pixel, ", [{pixels}], #{next}\n",)*
            $("ldr q", $v, ", [", $pixel, ", {c}]\n",)*
            $flip,
        )
    };
}

/// Four times four columns, of which each is loaded once.
macro_rules! windows {
    () => {
        concat!(
            "st4 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}], #64\n",
            "st4 {{v1.16b, v2.16b, v3.16b, v4.16b}}, [{to}], #64\n",
            "st4 {{v2.16b, v3.16b, v4.16b, v5.16b}}, [{to}], #64\n",
            "st4 {{v3.16b, v4.16b, v5.16b, v6.16b}}, [{to}], #64\n",
            "mov v0.16b, v4.16b\n",
            "mov v1.16b, v5.16b\n",
            "mov v2.16b, v6.16b\n",
        )
    };
}
macro_rules! row {
    ($name:ident, $before:expr, $flip:expr) => {
        fill!($name, 4: one!($before => "{p}" 0 "{q}" 1 "{r}" 2),
            concat!(one!($flip => "{p}" 3 "{q}" 4 "{r}" 5 "{s}" 6), windows!()));
    };
}
row!(row_signed, flip!(0 1 2), flip!(3 4 5 6));
row!(row_as_it_is, "", "");

/// Blocks of equal size of a strip's outputs: from which on, of how many outputs, and how many blocks. The last one ends
/// with the strip: some may be made twice.
pub(in crate::kernels) fn blocks(strip: &Strip) -> impl Iterator<Item = (usize, usize, usize)> {
    let outputs = strip.outputs;
    let mut done = 0;
    core::iter::from_fn(move || {
        let left = outputs - done;
        let (count, times) = match left {
            0 => return None,
            // Two of the smaller ones.
            8 => (FEW, 2),
            // So many that none of the smaller ones are left over, or two.
            MOST.. if left % MOST == 2 => (MOST, left / MOST - 1),
            MOST.. => (MOST, left / MOST),
            5 if outputs >= MOST => (MOST, 1),
            2.. if outputs >= FEW => (FEW, 1),
            _ => (1, 1),
        };
        let first = done.min(outputs - count);
        done = first + count * times;
        Some((first, count, times))
    })
}

/// What the sums of blocks are made of.
pub(in crate::kernels) struct Block {
    /// The first output's codes.
    pub(in crate::kernels) codes: *const u8,
    /// Bytes from an output's codes to the next one's.
    pub(in crate::kernels) step: usize,
    /// Bytes to the codes of each dot product.
    pub(in crate::kernels) offsets: *const usize,
    /// Dot products.
    pub(in crate::kernels) count: usize,
    pub(in crate::kernels) weights: *const u8,
    pub(in crate::kernels) starts: *const i32,
}

impl Block {
    /// The block of outputs from `i` on.
    pub(in crate::kernels) fn new(
        codes: &Codes,
        plan: &Plan,
        w: &Weights,
        stride: usize,
        i: usize,
    ) -> Self {
        Self {
            codes: codes.0[0][i * stride].0.as_ptr(),
            step: stride * size_of::<Four>(),
            offsets: plan.offsets.as_ptr(),
            count: plan.count,
            weights: w.dots[0].0.as_ptr(),
            starts: w.starts.as_ptr(),
        }
    }
}

/// Four products at once with one instruction: a register of codes and one of weights.
macro_rules! dots {
    ($dot:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{from}], {step}\n",
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

/// The codes of blocks, or their sums where there is no place for codes; outputs have four registers each.
macro_rules! block {
    (
        $dot:literal, $outputs:literal x $times:expr, $block:expr, $codes:expr, $sums:expr;
        $([$s0:literal $s1:literal $s2:literal $s3:literal])*
    ) => {{
        use $crate::kernels::dotprod::depthwise::{Block, dots};
        use $crate::kernels::neon::codes;
        let (block, to): (&Block, _) = (&$block, $codes);
        core::arch::asm!(
            "20:",
            $(concat!("ld1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{starts}]"),)*
            "mov {offset}, {offsets}",
            "mov {w}, {weights}",
            "mov {left}, {count}",
            "2:",
            "ldr {from}, [{offset}], #8",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{w}], #64",
            "add {from}, {codes}, {from}",
            $(dots!($dot, $s0 $s1 $s2 $s3),)*
            "subs {left}, {left}, #1",
            "b.ne 2b",
            "cbz {at}, 3f",
            "ld1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{scale}]",
            $(codes!($s0 $s1 $s2 $s3, 4 5 6 7, 0 1 2 3),)*
            "b 4f",
            "3:",
            $(concat!("st1 {{v", $s0, ".4s, v", $s1, ".4s, v", $s2, ".4s, v", $s3, ".4s}}, [{sums}], #64"),)*
            "4:",
            "add {codes}, {codes}, {next}",
            "subs {times}, {times}, #1",
            "b.ne 20b",
            times = inout(reg) $times => _,
            starts = in(reg) block.starts,
            count = in(reg) block.count,
            left = out(reg) _,
            codes = inout(reg) block.codes => _,
            step = in(reg) block.step,
            next = in(reg) $outputs * block.step,
            offsets = in(reg) block.offsets,
            offset = out(reg) _,
            weights = in(reg) block.weights,
            w = out(reg) _,
            from = out(reg) _,
            at = inout(reg) to.at => _,
            scale = in(reg) to.scale,
            bias = in(reg) to.bias,
            stride = in(reg) to.stride,
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
            use $crate::kernels::dotprod::depthwise::{Block, Codes, Plan, Weights, block, blocks};
            use $crate::kernels::strip::{OUTPUTS, Strip, Sums, run};
            use $crate::kernels::{End, LANES, neon};

            /// # Safety
            /// The strip has the channels from `c` on.
            #[target_feature(enable = $features)]
            unsafe fn panel(
                strip: &Strip,
                plan: &Plan,
                c: usize,
                w: &Weights,
                end: &End,
                codes: &Codes,
                sums: &mut Sums,
            ) {
                let to = neon::Results::of(end).panel(c, end.n, &w.bias).from(strip.output);
                // SAFETY: the caller's promise; the blocks' outputs are the strip's.
                unsafe {
                    for (i, count, times) in blocks(strip) {
                        let block = Block::new(codes, plan, w, strip.stride, i);
                        let (to, sums) = (to.from(i), sums.0.as_mut_ptr().add(i));
                        match count {
                            1 => block!($dot, 1 x times, block, to, sums; [8 9 10 11]),
                            4 => block!($dot, 4 x times, block, to, sums;
                                [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23]),
                            _ => block!($dot, 6 x times, block, to, sums;
                                [8 9 10 11] [12 13 14 15] [16 17 18 19] [20 21 22 23]
                                [24 25 26 27] [28 29 30 31]),
                        }
                    }
                    if to.at.is_null() {
                        neon::finish(end, strip.output, c, &sums.0[..strip.outputs]);
                    }
                }
            }

            if !d.are_bytes {
                return neon::depthwise(d, image, first, out);
            }
            let plan = Plan::new(d.kernel);
            let (mut codes, mut sums) = (Codes::NONE, Sums([[0; LANES]; OUTPUTS]));
            let load = |c: usize, w: &mut Weights| w.load(d, &plan, c, $flipped);
            // SAFETY: `run` gives what `fill` and `panel` want.
            run(d, image, first, out, Weights::NONE, load, |strip, c, w, end| unsafe {
                codes.fill(strip, d.kernel, c, $flipped);
                panel(strip, &plan, c, w, end, &codes, &mut sums)
            });
        }
    };
}
pub(in crate::kernels) use stamp;
