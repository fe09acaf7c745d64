//! Powers of 2, of which gates and probabilities are made. As in [`rounded`](super::rounded), a fused
//! multiply-add overwrites what it adds to: one instruction loads four registers of a coefficient, where the
//! compiler copies them one by one.

use core::arch::asm;

use super::lanes::F32x16;
use crate::kernels::LANES;
use crate::math::POWER_P;

/// The coefficients that are added to, for all lanes.
static COEFFICIENTS: [[f32; LANES]; 3] =
    [[POWER_P[1]; LANES], [POWER_P[2]; LANES], [POWER_P[3]; LANES]];

/// One instruction for each of four registers.
macro_rules! each {
    ($name:literal: $([$to:literal $($from:literal)*])*) => {
        concat!($($name, " v", $to, ".4s" $(, ", v", $from, ".4s")*, "\n",)*)
    };
}

/// [`Lanes::power_inside`](crate::kernels::lanes::Lanes::power_inside) of one value.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn power_inside(x: F32x16) -> F32x16 {
    let [mut a, mut b, mut c, mut d] = x.0;
    // SAFETY: three times 16 coefficients are read; the rest is registers.
    unsafe {
        asm!(
            each!("frintn": [4 0] [5 1] [6 2] [7 3]),
            each!("fsub": [0 0 4] [1 1 5] [2 2 6] [3 3 7]),
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{c}], #64",
            each!("fmla": [16 20 0] [17 20 1] [18 20 2] [19 20 3]),
            each!("fcvtns": [4 4] [5 5] [6 6] [7 7]),
            "ld1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{c}], #64",
            each!("fmla": [20 16 0] [21 17 1] [22 18 2] [23 19 3]),
            // Added to the exponent.
            "shl v4.4s, v4.4s, #23",
            "shl v5.4s, v5.4s, #23",
            "shl v6.4s, v6.4s, #23",
            "shl v7.4s, v7.4s, #23",
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{c}]",
            each!("fmla": [16 20 0] [17 21 1] [18 22 2] [19 23 3]),
            each!("add": [0 16 4] [1 17 5] [2 18 6] [3 19 7]),
            c = inout(reg) COEFFICIENTS.as_ptr() => _,
            inout("v0") a, inout("v1") b, inout("v2") c, inout("v3") d,
            inout("v20") core::arch::aarch64::vdupq_n_f32(POWER_P[0]) => _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v21") _, out("v22") _, out("v23") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    F32x16([a, b, c, d])
}
