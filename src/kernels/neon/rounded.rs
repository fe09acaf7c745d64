//! Codes of rows of sums or of values that lie in memory. A fused multiply-add puts its result where the bias was, which
//! the compiler copies there, register by register, for every row; one instruction loads all four.

use core::arch::aarch64::float32x4_t;
use core::arch::asm;

use super::lanes::F32x16;
use super::results::codes;
use crate::kernels::LANES;
use crate::kernels::end::Plain;

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
            codes!(cut 4 5 6 7),
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
