//! Codes of rows of sums or of values. A fused multiply-add puts its result where the bias was, which the compiler copies
//! there, register by register, for every row; one instruction loads all four.

use core::arch::aarch64::float32x4_t;
use core::arch::asm;

use super::lanes::F32x16;
use crate::kernels::end::{Plain, is_plain};
use crate::kernels::{End, LANES, Sink};

/// Where the codes of a [plain](is_plain) panel's rows go, and its units, which a tile looks up only when it has its sums.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Codes {
    pub(in crate::kernels) scale: *const f32,
    pub(in crate::kernels) bias: *const f32,
    /// The first row's codes, or null where sums are wanted.
    pub(in crate::kernels) at: *mut u8,
    /// Codes from one row to the next.
    pub(in crate::kernels) stride: usize,
}

impl Codes {
    pub(in crate::kernels) const NONE: Self = Self {
        scale: core::ptr::null(),
        bias: core::ptr::null(),
        at: core::ptr::null_mut(),
        stride: 0,
    };

    /// Those of the rows from `r` on and the panel of channels `n`, if it is plain.
    pub(in crate::kernels) fn of(end: &End, r: usize, n: usize) -> Self {
        match &end.sink {
            Sink::Codes(out) if is_plain(end, n) => Self {
                scale: end.q.scale[n..].as_ptr(),
                bias: end.q.bias[n..].as_ptr(),
                at: out.at(r * end.stride_out + n),
                stride: end.stride_out,
            },
            _ => Self::NONE,
        }
    }

    /// Those of the rows after the first `count`.
    pub(in crate::kernels) fn from(self, count: usize) -> Self {
        let at =
            if self.at.is_null() { self.at } else { self.at.wrapping_add(count * self.stride) };
        Self { at, ..self }
    }
}

/// Four registers of sums to the codes of a row at `at`: by the scales in `s` and the biases at `bias`, through the
/// registers from `e` on, which follow each other.
macro_rules! codes {
    (
        $a:literal $b:literal $c:literal $d:literal, $s:literal $t:literal $u:literal $v:literal,
        $e:literal $f:literal $g:literal $h:literal
    ) => {
        concat!(
            "ld1 {{v", $e, ".4s, v", $f, ".4s, v", $g, ".4s, v", $h, ".4s}}, [{bias}]\n",
            codes!(each "scvtf" $a $b $c $d),
            "fmla v", $e, ".4s, v", $a, ".4s, v", $s, ".4s\n",
            "fmla v", $f, ".4s, v", $b, ".4s, v", $t, ".4s\n",
            "fmla v", $g, ".4s, v", $c, ".4s, v", $u, ".4s\n",
            "fmla v", $h, ".4s, v", $d, ".4s, v", $v, ".4s\n",
            codes!(round $e $f $g $h),
            "st1 {{v", $e, ".16b}}, [{at}], {stride}\n",
        )
    };
    // To whole numbers of no sign, then to fewer bits: what lies outside becomes the nearest code.
    (round $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            codes!(each "fcvtnu" $e $f $g $h),
            "uqxtn v", $e, ".4h, v", $e, ".4s\n",
            "uqxtn v", $g, ".4h, v", $g, ".4s\n",
            "uqxtn2 v", $e, ".8h, v", $f, ".4s\n",
            "uqxtn2 v", $g, ".8h, v", $h, ".4s\n",
            "uqxtn v", $e, ".8b, v", $e, ".8h\n",
            "uqxtn2 v", $e, ".16b, v", $g, ".8h\n",
        )
    };
    (each $name:literal $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            $name, " v", $a, ".4s, v", $a, ".4s\n",
            $name, " v", $b, ".4s, v", $b, ".4s\n",
            $name, " v", $c, ".4s, v", $c, ".4s\n",
            $name, " v", $d, ".4s, v", $d, ".4s\n",
        )
    };
}
pub(in crate::kernels) use codes;

/// As [`Lanes::store_sums`](crate::kernels::lanes::Lanes::store_sums), two rows at once.
///
/// # Safety
/// As there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn store_sums(sums: &[[i32; LANES]], plain: &Plain<F32x16>) {
    // SAFETY: as many rows of sums are read and of codes written as the caller has.
    unsafe {
        asm!(
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{scale}]",
            "tbz {rows}, #0, 2f",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{sums}], #64",
            codes!(0 1 2 3, 16 17 18 19, 4 5 6 7),
            "2:",
            "lsr {rows}, {rows}, #1",
            "cbz {rows}, 4f",
            "3:",
            "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{sums}], #64",
            "ld1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{sums}], #64",
            codes!(0 1 2 3, 16 17 18 19, 4 5 6 7),
            codes!(20 21 22 23, 16 17 18 19, 24 25 26 27),
            "subs {rows}, {rows}, #1",
            "b.ne 3b",
            "4:",
            rows = inout(reg) sums.len() => _,
            sums = inout(reg) sums.as_ptr() => _,
            scale = in(reg) &raw const plain.scale,
            bias = in(reg) &raw const plain.bias,
            at = inout(reg) plain.at => _,
            stride = in(reg) plain.stride,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            options(nostack),
        );
    }
}

/// As [`Lanes::store_scaled`](crate::kernels::lanes::Lanes::store_scaled), with the factor of all lanes.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store_scaled(
    x: F32x16,
    factor: float32x4_t,
    summand: *const f32,
    at: *mut u8,
) {
    let [a, b, c, d] = x.0;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{summand}]",
            "fmla v4.4s, {a:v}.4s, {factor:v}.4s",
            "fmla v5.4s, {b:v}.4s, {factor:v}.4s",
            "fmla v6.4s, {c:v}.4s, {factor:v}.4s",
            "fmla v7.4s, {d:v}.4s, {factor:v}.4s",
            codes!(round 4 5 6 7),
            "str q4, [{at}]",
            a = in(vreg) a,
            b = in(vreg) b,
            c = in(vreg) c,
            d = in(vreg) d,
            factor = in(vreg) factor,
            summand = in(reg) summand,
            at = in(reg) at,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack, preserves_flags),
        );
    }
}
