//! The float parts of the vector kernels, written once over [`Lanes`] and compiled for every
//! instruction set (see [`stamp`]). `scalar` is what they must equal.

use super::curve::Curve;
use super::end::Units;
use super::lanes::Lanes;
use super::scalar::{self, RowSteps};
use super::{HALF, LANES, Quantize, Requant, Values, clear};

/// Makes an instruction set's functions of the generic ones.
macro_rules! stamp {
    ($features:literal, $lanes:ty) => {
        $crate::kernels::vector::stamp!(few $features, $lanes);

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn quantize(
            q: &$crate::kernels::Quantize,
            row: &[f32],
            codes: &mut [u8],
        ) -> (f32, u8) {
            $crate::kernels::vector::quantize::<$lanes>(q, row, codes)
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn pack_key(
            row: &[f32],
            packed: &mut [i8],
            lane: usize,
        ) -> (f32, i32) {
            $crate::kernels::vector::pack_key::<$lanes>(row, packed, lane)
        }
    };
    // Without those of which an instruction set has loops of its own.
    (few $features:literal, $lanes:ty) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn normalize(
            epsilon: f32,
            gain: &[f32],
            shift: &[f32],
            row: &[f32],
            out: &mut [f32],
        ) {
            $crate::kernels::vector::normalize::<$lanes>(epsilon, gain, shift, row, out)
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn softmax(row: &[f32], codes: &mut [u8]) -> f32 {
            $crate::kernels::vector::softmax::<$lanes>(row, codes)
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn scale_codes(
            q: &$crate::kernels::Requant,
            row: &[u8],
            out: &mut [u8],
        ) {
            $crate::kernels::curve::with_curve!(q.activation, |curve| {
                $crate::kernels::vector::scale_codes::<$lanes, _>(q, row, out, curve)
            })
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn pack_values(
            v: &$crate::kernels::Values,
            packed: &mut [i8],
            scale: &mut [f32; $crate::kernels::LANES],
            sums: &mut [i32; $crate::kernels::LANES],
        ) {
            $crate::kernels::vector::pack_values::<$lanes>(v, packed, scale, sums)
        }
    };
}
pub(super) use stamp;

// No closures below: a closure is a function of its own, without the instruction set of the one that
// it is written in, and what is not inlined then is slow. Every function here is.

// Rows are taken in runs of LANES values. Where each value is treated alone, the last run covers a part
// of the one before instead of ending early: what is done twice gives the same twice. Rows shorter than
// a run are left to the specification.

/// Does `$body` for the place of each run of `$len` values, which are one run at least.
macro_rules! runs {
    ($len:expr, |$at:ident| $body:block) => {{
        let len: usize = $len;
        for i in 0..len / LANES {
            let $at = i * LANES;
            $body
        }
        if !len.is_multiple_of(LANES) {
            let $at = len - LANES;
            $body
        }
    }};
}

/// Values of the run from `at` on.
#[inline(always)]
fn run(len: usize, at: usize) -> usize {
    (len - at).min(LANES)
}

/// A run of values.
///
/// # Safety
/// It is inside of the row.
#[inline(always)]
unsafe fn load<V: Lanes>(row: &[f32], at: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { V::load(row.as_ptr().add(at)) }
}

/// The values after the last whole run, then `fill`.
#[inline(always)]
fn load_rest<V: Lanes>(row: &[f32], fill: f32) -> V {
    let whole = row.len() / LANES * LANES;
    // SAFETY: as many values as the row has from there on.
    unsafe { V::load_part(row.as_ptr().add(whole), row.len() - whole, fill) }
}

/// Mean and one over the deviation of a row, and its least and greatest values by lanes, if they are wanted.
#[inline(always)]
fn moments<V: Lanes, const BOUNDS: bool>(row: &[f32], epsilon: f32) -> ([f32; 2], [V; 2]) {
    let (mut sum, mut squares) = (V::splat(0.0), V::splat(0.0));
    let (whole, rest) = row.as_chunks::<LANES>();
    for run in whole {
        // SAFETY: LANES values.
        sum = sum.add(unsafe { V::load(run.as_ptr()) });
    }
    if !rest.is_empty() {
        sum = sum.add(load_rest(row, 0.0));
    }
    let mean = sum.tree() / row.len() as f32;
    let middle = V::splat(mean);
    let [mut least, mut greatest] = [middle; 2];
    for run in whole {
        // SAFETY: LANES values.
        let x = unsafe { V::load(run.as_ptr()) };
        if BOUNDS {
            (least, greatest) = (x.min(least), x.max(greatest));
        }
        let x = x.sub(middle);
        squares = x.mul_add(x, squares);
    }
    if !rest.is_empty() {
        let x = load_rest::<V>(row, mean);
        if BOUNDS {
            (least, greatest) = (x.min(least), x.max(greatest));
        }
        let x = x.sub(middle);
        squares = x.mul_add(x, squares);
    }
    ([mean, scalar::over_deviation(squares.tree(), row.len(), epsilon)], [least, greatest])
}

/// A row before it becomes codes, see [`Quantize`].
#[derive(Clone, Copy)]
struct Source<'a, V> {
    row: &'a [f32],
    factors: &'a [f32],
    mean: V,
}

impl<V: Lanes> Source<'_, V> {
    /// A run of values, which have a mean and factors or not.
    ///
    /// # Safety
    /// It is inside of the row.
    #[inline(always)]
    unsafe fn load<const NORM: bool, const FACTORS: bool>(&self, at: usize) -> V {
        // SAFETY: the caller's promise; there are as many factors as values.
        unsafe {
            let mut x = load::<V>(self.row, at);
            if NORM {
                x = x.sub(self.mean);
            }
            if FACTORS {
                x = x.mul(load(self.factors, at));
            }
            x
        }
    }
}

#[inline(always)]
pub(super) fn quantize<V: Lanes>(q: &Quantize, row: &[f32], codes: &mut [u8]) -> (f32, u8) {
    match (q.epsilon, q.factors.is_empty()) {
        _ if row.len() < LANES => scalar::quantize(q, row, codes),
        (None, true) => quantize_as::<V, false, false>(q, row, codes),
        (None, false) => quantize_as::<V, false, true>(q, row, codes),
        (Some(_), true) => quantize_as::<V, true, false>(q, row, codes),
        (Some(_), false) => quantize_as::<V, true, true>(q, row, codes),
    }
}

#[inline(always)]
fn quantize_as<V: Lanes, const NORM: bool, const FACTORS: bool>(
    q: &Quantize,
    row: &[f32],
    codes: &mut [u8],
) -> (f32, u8) {
    let ([mean, over], [mut least, mut greatest]) = match q.epsilon {
        // Without factors the bounds are those of the row itself: what follows keeps the order.
        Some(epsilon) if NORM && FACTORS => moments::<V, false>(row, epsilon),
        Some(epsilon) if NORM => moments::<V, true>(row, epsilon),
        _ => ([0.0, 1.0], [V::splat(0.0); 2]),
    };
    let source = Source { row, factors: q.factors, mean: V::splat(mean) };
    if NORM && !FACTORS {
        (least, greatest) = (least.sub(source.mean), greatest.sub(source.mean));
    } else {
        [least, greatest] = [V::splat(0.0); 2];
        runs!(row.len(), |at| {
            // SAFETY: the run is inside of the row.
            let x = unsafe { source.load::<NORM, FACTORS>(at) };
            (least, greatest) = (x.min(least), x.max(greatest));
        });
    }
    let Some(steps) = steps(least, greatest, over) else {
        codes.fill(0);
        return (1.0, 0);
    };
    let (codes, rest) = codes.split_at_mut(row.len());
    clear(rest);
    let (per_unit, zero) = (V::splat(steps.per_unit * over), [steps.zero + HALF; LANES]);
    runs!(row.len(), |at| {
        // SAFETY: the run is inside of the row, and the codes are as long.
        unsafe {
            let x = source.load::<NORM, FACTORS>(at);
            x.store_scaled(per_unit, zero.as_ptr(), codes.as_mut_ptr().add(at));
        }
    });
    (steps.step, steps.zero as u8)
}

/// Steps for a row with these bounds by lanes, before it is divided by its deviation; nothing for an empty range.
#[inline(always)]
pub(super) fn steps<V: Lanes>(least: V, greatest: V, over: f32) -> Option<RowSteps> {
    let (least, greatest) = (-least.neg().greatest(0.0), greatest.greatest(0.0));
    scalar::row_steps(least * over, greatest * over)
}

#[inline(always)]
pub(super) fn normalize<V: Lanes>(
    epsilon: f32,
    gain: &[f32],
    shift: &[f32],
    row: &[f32],
    out: &mut [f32],
) {
    if row.len() < LANES {
        return scalar::normalize(epsilon, gain, shift, row, out);
    }
    let ([mean, over], _) = moments::<V, false>(row, epsilon);
    let (mean, over) = (V::splat(mean), V::splat(over));
    runs!(row.len(), |at| {
        // SAFETY: the run is inside of the row, and all are as long.
        unsafe {
            let x = load::<V>(row, at).sub(mean).mul(over);
            x.mul_add(load(gain, at), load(shift, at)).store(out.as_mut_ptr().add(at));
        }
    });
}

#[inline(always)]
pub(super) fn softmax<V: Lanes>(row: &[f32], codes: &mut [u8]) -> f32 {
    if row.len() < LANES {
        return scalar::softmax(row, codes);
    }
    let mut greatest = V::splat(f32::MIN);
    runs!(row.len(), |at| {
        // SAFETY: the run is inside of the row.
        greatest = unsafe { load::<V>(row, at) }.max(greatest);
    });
    let greatest = V::splat(greatest.greatest(f32::MIN));
    let (codes, rest) = codes.split_at_mut(row.len());
    clear(rest);
    runs!(row.len(), |at| {
        // SAFETY: the run is inside of the row, and the codes are as long.
        unsafe {
            load::<V>(row, at).store_probability(greatest, codes.as_mut_ptr().add(at));
        }
    });
    scalar::over_total(V::total(codes))
}

#[inline(always)]
pub(super) fn scale_codes<V: Lanes, C: Curve>(q: &Requant, row: &[u8], out: &mut [u8], curve: C) {
    for at in (0..row.len()).step_by(LANES) {
        let count = run(row.len(), at);
        // SAFETY: `count` codes from `at` are inside of both rows; channels are padded to whole
        // panels.
        unsafe {
            let units = Units::<V, C>::load(q, at, curve, true);
            let x = V::load_codes_part(row.as_ptr().add(at), count);
            let [y] = units.activated([x], None);
            units.clamped(y).store_cut_part(out.as_mut_ptr().add(at), count);
        }
    }
}

/// The greatest absolute value of each lane.
#[inline(always)]
fn widest<V: Lanes>(least: V, greatest: V) -> V {
    greatest.max(least.neg())
}

/// Values as codes in -127..=127, not yet rounded.
#[inline(always)]
pub(super) fn symmetric<V: Lanes>(x: V, per_unit: V) -> V {
    x.mul(per_unit).max(V::splat(-127.0)).min(V::splat(127.0))
}

#[inline(always)]
pub(super) fn pack_key<V: Lanes>(row: &[f32], packed: &mut [i8], lane: usize) -> (f32, i32) {
    if row.len() < LANES {
        return scalar::pack_key(row, packed, lane);
    }
    let (mut least, mut greatest) = (V::splat(0.0), V::splat(0.0));
    runs!(row.len(), |at| {
        // SAFETY: the run is inside of the row.
        let x = unsafe { load::<V>(row, at) };
        (least, greatest) = (x.min(least), x.max(greatest));
    });
    let [per_unit, step] = scalar::symmetric_steps(widest(least, greatest).greatest(0.0));
    let per_unit = V::splat(per_unit);
    let mut total = V::splat(0.0);
    let (groups, _) = packed.as_chunks_mut::<{ 4 * LANES }>();
    let (whole, rest) = row.as_chunks::<LANES>();
    let (quads, last) = groups.as_chunks_mut::<{ LANES / 4 }>();
    for (run, groups) in whole.iter().zip(quads) {
        // SAFETY: LANES values.
        let y = symmetric(unsafe { V::load(run.as_ptr()) }, per_unit).round();
        total = total.add(y);
        spread(y, groups, lane);
    }
    if !rest.is_empty() {
        let y = symmetric(load_rest::<V>(row, 0.0), per_unit).round();
        total = total.add(y);
        spread(y, last, lane);
    }
    // A sum of whole numbers far below 2^24: exact.
    (step, total.tree() as i32)
}

/// Writes codes into the lane of up to four groups of four inputs.
#[inline(always)]
fn spread<V: Lanes>(y: V, groups: &mut [[i8; 4 * LANES]], lane: usize) {
    let codes = y.to_signed();
    for (group, four) in groups.iter_mut().zip(codes.as_chunks::<4>().0) {
        group[4 * lane..][..4].copy_from_slice(four);
    }
}

#[inline(always)]
pub(super) fn pack_values<V: Lanes>(
    v: &Values,
    packed: &mut [i8],
    scale: &mut [f32; LANES],
    sums: &mut [i32; LANES],
) {
    if v.columns < LANES {
        return scalar::pack_values(v, packed, scale, sums);
    }
    let (mut least, mut greatest) = (V::splat(0.0), V::splat(0.0));
    for row in 0..v.rows {
        // SAFETY: the row has LANES columns.
        let x = unsafe { load::<V>(v.data, row * v.stride) };
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    let mut per_unit = [0.0; LANES];
    for (l, widest) in widest(least, greatest).to_array().into_iter().enumerate() {
        [per_unit[l], scale[l]] = scalar::symmetric_steps(widest);
    }
    // SAFETY: LANES values.
    let per_unit = unsafe { load::<V>(&per_unit, 0) };
    let mut total = V::splat(0.0);
    for (i, group) in packed.chunks_exact_mut(4 * LANES).enumerate() {
        let mut fours = [V::splat(0.0); 4];
        for (j, four) in fours.iter_mut().enumerate() {
            let row = 4 * i + j;
            if row < v.rows {
                // SAFETY: the row has LANES columns.
                let x = unsafe { load(v.data, row * v.stride) };
                *four = symmetric(x, per_unit).round();
                total = total.add(*four);
            }
        }
        // SAFETY: 4 * LANES bytes.
        unsafe { V::store_fours(fours, group.as_mut_ptr()) };
    }
    // Sums of whole numbers far below 2^24: exact.
    for (sum, total) in sums.iter_mut().zip(total.to_array()) {
        *sum = total as i32;
    }
}
