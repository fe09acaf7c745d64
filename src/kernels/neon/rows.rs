//! Rows of reals that become codes. The loops over whole registers are assembly: the compiler copies what a fused
//! multiply-add overwrites, loads registers in pairs, and adds up addresses that a load can go on from by itself. Rows that
//! are no whole number of registers are `vector`'s where their sums have to end early.

use core::arch::aarch64::*;
use core::arch::asm;

use super::lanes::F32x16;
use super::results::{codes, four, quad};
use crate::kernels::lanes::Lanes;
use crate::kernels::{HALF, LANES, Quantize, clear, scalar, vector};

/// As [`vector::quantize`].
#[target_feature(enable = "neon")]
pub(super) fn quantize(q: &Quantize, row: &[f32], codes: &mut [u8]) -> (f32, u8) {
    let is_whole = row.len().is_multiple_of(LANES);
    if row.len() < LANES || (q.epsilon.is_some() && !(is_whole && q.factors.is_empty())) {
        return vector::quantize::<F32x16>(q, row, codes);
    }
    let (mut mean, mut over) = (0.0, 1.0);
    let [least, greatest] = match q.epsilon {
        Some(epsilon) => {
            mean = sum(row).tree() / row.len() as f32;
            let middle = F32x16::splat(mean);
            let [squares, least, greatest] = spread(row, middle);
            over = scalar::over_deviation(squares.tree(), row.len(), epsilon);
            [least.sub(middle), greatest.sub(middle)]
        }
        None => bounds(row, q.factors),
    };
    let Some(steps) = vector::steps(least, greatest, over) else {
        codes.fill(0);
        return (1.0, 0);
    };
    let (codes, rest) = codes.split_at_mut(row.len());
    clear(rest);
    let units = Units {
        mean: q.epsilon.map(|_| mean),
        per_unit: steps.per_unit * over,
        zero: [steps.zero + HALF; LANES],
    };
    // The last registers cover a part of those before: what is done twice gives the same twice.
    let last = row.len() - LANES;
    let (from, factors, to) = (row.as_ptr(), q.factors.as_ptr(), codes.as_mut_ptr());
    // SAFETY: so many values are in the row and the codes, and in the factors if there are any.
    unsafe {
        let has_factors = !q.factors.is_empty();
        cut(from, has_factors.then_some(factors), &units, to, row.len() / LANES);
        if !is_whole {
            let factors = has_factors.then(|| factors.add(last));
            cut(from.add(last), factors, &units, to.add(last), 1);
        }
    }
    (steps.step, steps.zero as u8)
}

/// What is done with each value on its way to a code.
struct Units {
    /// Taken off.
    mean: Option<f32>,
    /// Codes per unit.
    per_unit: f32,
    /// The code of zero, with [`HALF`] added.
    zero: [f32; LANES],
}

/// Sums by lanes of a row of whole registers.
#[inline]
#[target_feature(enable = "neon")]
fn sum(row: &[f32]) -> F32x16 {
    let [mut a, mut b, mut c, mut d] = F32x16::splat(0.0).0;
    // SAFETY: as many registers as the row has, at least one group.
    unsafe {
        asm!(
            "2:",
            quad!("ld1" 0 1 2 3, "[{row}], #64"),
            four!("fadd": [16 16 0] [17 17 1] [18 18 2] [19 19 3]),
            "subs {count}, {count}, #1",
            "b.ne 2b",
            row = inout(reg) row.as_ptr() => _,
            count = inout(reg) row.len() / LANES => _,
            inout("v16") a, inout("v17") b, inout("v18") c, inout("v19") d,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(readonly, nostack),
        );
    }
    F32x16([a, b, c, d])
}

/// Squares of the distances to the mean, and least and greatest values, by lanes, of a row of whole registers.
#[inline]
#[target_feature(enable = "neon")]
fn spread(row: &[f32], mean: F32x16) -> [F32x16; 3] {
    let [mut s0, mut s1, mut s2, mut s3] = F32x16::splat(0.0).0;
    let [mut l0, mut l1, mut l2, mut l3] = mean.0;
    let [mut g0, mut g1, mut g2, mut g3] = mean.0;
    // SAFETY: as many registers as the row has, at least one group.
    unsafe {
        asm!(
            "2:",
            quad!("ld1" 0 1 2 3, "[{row}], #64"),
            four!("fminnm": [20 20 0] [21 21 1] [22 22 2] [23 23 3]),
            four!("fmaxnm": [24 24 0] [25 25 1] [26 26 2] [27 27 3]),
            four!("fsub": [0 0 4] [1 1 4] [2 2 4] [3 3 4]),
            four!("fmla": [16 0 0] [17 1 1] [18 2 2] [19 3 3]),
            "subs {count}, {count}, #1",
            "b.ne 2b",
            row = inout(reg) row.as_ptr() => _,
            count = inout(reg) row.len() / LANES => _,
            in("v4") mean.0[0],
            inout("v16") s0, inout("v17") s1, inout("v18") s2, inout("v19") s3,
            inout("v20") l0, inout("v21") l1, inout("v22") l2, inout("v23") l3,
            inout("v24") g0, inout("v25") g1, inout("v26") g2, inout("v27") g3,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(readonly, nostack),
        );
    }
    [F32x16([s0, s1, s2, s3]), F32x16([l0, l1, l2, l3]), F32x16([g0, g1, g2, g3])]
}

/// Least and greatest values by lanes, zero among them, of a row (of one register's values at least) with factors or none.
#[inline]
#[target_feature(enable = "neon")]
fn bounds(row: &[f32], factors: &[f32]) -> [F32x16; 2] {
    let [mut l0, mut l1, mut l2, mut l3] = F32x16::splat(0.0).0;
    let [mut g0, mut g1, mut g2, mut g3] = F32x16::splat(0.0).0;
    let last = row.len() - LANES;
    macro_rules! bounds {
        ($($factors:expr),*; $from:expr, $by:expr, $count:expr) => {
            asm!(
                "2:",
                quad!("ld1" 0 1 2 3, "[{row}], #64"),
                $($factors,)*
                four!("fminnm": [20 20 0] [21 21 1] [22 22 2] [23 23 3]),
                four!("fmaxnm": [24 24 0] [25 25 1] [26 26 2] [27 27 3]),
                "subs {count}, {count}, #1",
                "b.ne 2b",
                row = inout(reg) $from => _,
                inout("x8") $by => _,
                count = inout(reg) $count => _,
                inout("v20") l0, inout("v21") l1, inout("v22") l2, inout("v23") l3,
                inout("v24") g0, inout("v25") g1, inout("v26") g2, inout("v27") g3,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                options(readonly, nostack),
            )
        };
    }
    for (from, count) in [(0, row.len() / LANES), (last, row.len() % LANES)] {
        if count == 0 {
            continue;
        }
        // Of the last values, which fill no register, the one that ends with them.
        let count = if from == 0 { count } else { 1 };
        // SAFETY: the values from there on are in the row; there are as many factors, or none.
        unsafe {
            let at = row.as_ptr().add(from);
            if factors.is_empty() {
                bounds!(; at, at, count);
            } else {
                bounds!(quad!("ld1" 4 5 6 7, "[x8], #64"),
                    four!("fmul": [0 0 4] [1 1 5] [2 2 6] [3 3 7]);
                    at, factors.as_ptr().add(from), count);
            }
        }
    }
    [F32x16([l0, l1, l2, l3]), F32x16([g0, g1, g2, g3])]
}

/// Codes of `count` registers' values, at least one.
///
/// # Safety
/// There are so many values, factors (if any) and places.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn cut(from: *const f32, factors: Option<*const f32>, u: &Units, to: *mut u8, count: usize) {
    macro_rules! cut {
        ($($before:expr),*; $by:expr) => {
            asm!(
                "2:",
                quad!("ld1" 0 1 2 3, "[{row}], #64"),
                $($before,)*
                quad!("ld1" 16 17 18 19, "[{zero}]"),
                four!("fmla": [16 0 24] [17 1 24] [18 2 24] [19 3 24]),
                codes!(cut 16 17 18 19),
                "str q16, [{to}], #16",
                "subs {count}, {count}, #1",
                "b.ne 2b",
                row = inout(reg) from => _,
                inout("x8") $by => _,
                zero = in(reg) u.zero.as_ptr(),
                to = inout(reg) to => _,
                count = inout(reg) count => _,
                in("v24") vdupq_n_f32(u.per_unit),
                in("v25") vdupq_n_f32(u.mean.unwrap_or(0.0)),
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                options(nostack),
            )
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match (u.mean, factors) {
            (None, None) => cut!(; from),
            (Some(_), _) => cut!(four!("fsub": [0 0 25] [1 1 25] [2 2 25] [3 3 25]); from),
            (None, Some(factors)) => cut!(quad!("ld1" 4 5 6 7, "[x8], #64"),
                four!("fmul": [0 0 4] [1 1 5] [2 2 6] [3 3 7]); factors),
        }
    }
}

/// As [`vector::pack_key`].
#[target_feature(enable = "neon")]
pub(super) fn pack_key(row: &[f32], packed: &mut [i8], lane: usize) -> (f32, i32) {
    if row.len() < LANES
        || !row.len().is_multiple_of(LANES)
        || packed.len() < row.len() * LANES
        || lane >= LANES
    {
        return vector::pack_key::<F32x16>(row, packed, lane);
    }
    let [least, greatest] = bounds(row, &[]);
    let widest = greatest.max(least.neg()).greatest(0.0);
    let [per_unit, step] = scalar::symmetric_steps(widest);
    let mut total = vdupq_n_s32(0);
    // SAFETY: `packed` has all groups of four inputs for each lane.
    unsafe {
        let mut to = packed.as_mut_ptr().cast::<i32>().add(lane);
        for run in row.as_chunks::<LANES>().0 {
            let codes = vector::symmetric(F32x16::load(run.as_ptr()), F32x16::splat(per_unit));
            let codes = super::lanes::signed(codes);
            total = vpadalq_s16(total, vpaddlq_s8(codes));
            let fours = vreinterpretq_s32_s8(codes);
            vst1q_lane_s32::<0>(to, fours);
            vst1q_lane_s32::<1>(to.add(LANES), fours);
            vst1q_lane_s32::<2>(to.add(2 * LANES), fours);
            vst1q_lane_s32::<3>(to.add(3 * LANES), fours);
            to = to.add(4 * LANES);
        }
    }
    (step, vaddvq_s32(total))
}
