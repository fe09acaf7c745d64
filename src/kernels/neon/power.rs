//! Powers of 2, of which gates and probabilities are made. As in [`results`](super::results), a fused
//! multiply-add overwrites what it adds to: one instruction loads four registers of a coefficient, where the
//! compiler copies them one by one.

use core::arch::aarch64::vdupq_n_f32;
use core::arch::asm;

use super::lanes::F32x16;
use super::results::{four, quad};
use crate::kernels::{End, LANES, Sink};
use crate::math::{self, LOG2_E, POWER_255, POWER_BIAS, POWER_P};

/// What is added to in turn, for all lanes.
type Summands<const N: usize> = [[f32; LANES]; N];

/// Of the powers, and then one.
static COEFFICIENTS: Summands<4> =
    [[POWER_P[1]; LANES], [POWER_P[2]; LANES], [POWER_P[3]; LANES], [1.0; LANES]];
/// What the exponent begins with, and those of the powers.
static OF_PROBABILITIES: Summands<4> =
    [[POWER_BIAS; LANES], [POWER_255[1]; LANES], [POWER_255[2]; LANES], [POWER_255[3]; LANES]];

/// Powers of 2 of registers 0 to 3: their fractions' in 16 to 19, and those of their whole parts in 4 to 7, zero for
/// exponents that there are none of. The first coefficient is in the register given.
macro_rules! powers {
    ($first:literal) => {
        concat!(
            four!("frintn": [4 0] [5 1] [6 2] [7 3]),
            four!("fsub": [0 0 4] [1 1 5] [2 2 6] [3 3 7]),
            quad!("ld1" 16 17 18 19, "[{c}], #64"),
            four!("fmla": [16 $first 0] [17 $first 1] [18 $first 2] [19 $first 3]),
            four!("fcvtnu": [4 4] [5 5] [6 6] [7 7]),
            quad!("ld1" 20 21 22 23, "[{c}], #64"),
            four!("fmla": [20 16 0] [21 17 1] [22 18 2] [23 19 3]),
            "shl v4.4s, v4.4s, #23\n",
            "shl v5.4s, v5.4s, #23\n",
            "shl v6.4s, v6.4s, #23\n",
            "shl v7.4s, v7.4s, #23\n",
            quad!("ld1" 16 17 18 19, "[{c}], #64"),
            four!("fmla": [16 20 0] [17 21 1] [18 22 2] [19 23 3]),
        )
    };
}

/// [`Lanes::one_and_power`](crate::kernels::lanes::Lanes::one_and_power) of one value.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn one_and_power(u: F32x16) -> F32x16 {
    let [mut a, mut b, mut c, mut d] = u.0;
    // SAFETY: all coefficients are read; the rest is registers.
    unsafe {
        asm!(
            powers!(20),
            quad!("ld1" 0 1 2 3, "[{c}]"),
            // Times a power of 2 is exact: nothing is rounded once that was rounded twice.
            four!("fmla": [0 16 4] [1 17 5] [2 18 6] [3 19 7]),
            c = inout(reg) COEFFICIENTS.as_ptr() => _,
            inout("v0") a, inout("v1") b, inout("v2") c, inout("v3") d,
            inout("v20") vdupq_n_f32(POWER_P[0]) => _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v21") _, out("v22") _, out("v23") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    F32x16([a, b, c, d])
}

/// What is added to for a gate: what the exponent begins with, coefficients, one.
static OF_GATES: Summands<5> = [
    [POWER_BIAS; LANES],
    [POWER_P[1]; LANES],
    [POWER_P[2]; LANES],
    [POWER_P[3]; LANES],
    [1.0; LANES],
];

/// As [`Lanes::swish_tokens`](crate::kernels::lanes::Lanes::swish_tokens).
///
/// # Safety
/// As there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn swish_tokens(end: &End, r: usize, n: usize, sums: &[[i32; LANES]], c: f32) {
    let Sink::Real(out) = &end.sink else { return };
    let [c, _, _] = math::minus_in_twos([c, 0.0, 0.0]);
    if sums.is_empty() {
        return;
    }
    // SAFETY: sums and units of as many rows, and a place for their values, by the caller's promise.
    unsafe {
        asm!(
            quad!("ld1" 8 9 10 11, "[{columns}]"),
            quad!("ld1" 12 13 14 15, "[{scale}]"),
            "2:",
            quad!("ld1" 16 17 18 19, "[{sums}], #64"),
            "ldr b4, [{zeros}], #1",
            four!("mls" by 4: [16 8] [17 9] [18 10] [19 11]),
            "ldr s4, [{steps}], #4",
            four!("scvtf": [16 16] [17 17] [18 18] [19 19]),
            four!("fmul" by 4: [20 12] [21 13] [22 14] [23 15]),
            quad!("ld1" 24 25 26 27, "[{bias}]"),
            four!("fmla": [24 16 20] [25 17 21] [26 18 22] [27 19 23]),
            quad!("ld1" 0 1 2 3, "[{c}], #64"),
            four!("fmla": [0 24 28] [1 25 28] [2 26 28] [3 27 28]),
            four!("fminnm": [0 0 29] [1 1 29] [2 2 29] [3 3 29]),
            powers!(30),
            quad!("ld1" 0 1 2 3, "[{c}]"),
            "sub {c}, {c}, #256",
            four!("fmla": [0 16 4] [1 17 5] [2 18 6] [3 19 7]),
            four!("fdiv": [24 24 0] [25 25 1] [26 26 2] [27 27 3]),
            quad!("st1" 24 25 26 27, "[{at}], {stride}"),
            "subs {rows}, {rows}, #1",
            "b.ne 2b",
            rows = inout(reg) sums.len() => _,
            sums = inout(reg) sums.as_ptr() => _,
            columns = in(reg) end.column_sums.as_ptr().add(n),
            scale = in(reg) end.q.scale.as_ptr().add(n),
            bias = in(reg) end.q.bias.as_ptr().add(n),
            zeros = inout(reg) end.row_zero.as_ptr().add(r) => _,
            steps = inout(reg) end.row_scale.as_ptr().add(r) => _,
            at = inout(reg) out.at(r * end.stride_out + n) => _,
            stride = in(reg) end.stride_out * size_of::<f32>(),
            c = inout(reg) OF_GATES.as_ptr() => _,
            in("v28") vdupq_n_f32(c),
            in("v29") vdupq_n_f32(math::POWER_MAX),
            in("v30") vdupq_n_f32(POWER_P[0]),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            options(nostack),
        );
    }
}

/// [`Lanes::store_probability`](crate::kernels::lanes::Lanes::store_probability): the code of what is no number is
/// zero, and so is that of what would leave the normal numbers.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store_probability(x: F32x16, greatest: F32x16, at: *mut u8) {
    let [a, b, c, d] = x.0;
    // SAFETY: all coefficients are read; for the codes the caller's promise.
    unsafe {
        asm!(
            four!("fsub": [16 16 24] [17 17 24] [18 18 24] [19 19 24]),
            quad!("ld1" 0 1 2 3, "[{c}], #64"),
            four!("fmla": [0 16 25] [1 17 25] [2 18 25] [3 19 25]),
            powers!(20),
            four!("fmul": [0 16 4] [1 17 5] [2 18 6] [3 19 7]),
            four!("fcvtnu": [0 0] [1 1] [2 2] [3 3]),
            "uzp1 v0.8h, v0.8h, v1.8h",
            "uzp1 v2.8h, v2.8h, v3.8h",
            "uzp1 v0.16b, v0.16b, v2.16b",
            "str q0, [{at}]",
            c = inout(reg) OF_PROBABILITIES.as_ptr() => _,
            at = in(reg) at,
            inout("v16") a => _, inout("v17") b => _, inout("v18") c => _, inout("v19") d => _,
            inout("v20") vdupq_n_f32(POWER_255[0]) => _,
            in("v24") greatest.0[0],
            in("v25") vdupq_n_f32(LOG2_E),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v21") _, out("v22") _, out("v23") _,
            options(nostack, preserves_flags),
        );
    }
}
