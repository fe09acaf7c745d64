//! The float parts of the vector kernels, written once over [`Lanes`] and compiled for every
//! instruction set (see [`stamp`]). `scalar` is what they must equal.

use super::end::{Curve, Units};
use super::lanes::Lanes;
use super::{LANES, Quantize, Requant, Values, scalar};

/// Makes an instruction set's functions of the generic ones.
macro_rules! stamp {
    ($features:literal, $lanes:ty) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn quantize(
            q: &$crate::kernels::Quantize,
            row: &[f32],
            codes: &mut [u8],
        ) -> (f32, u8) {
            $crate::kernels::vector::quantize::<$lanes>(q, row, codes)
        }

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
            $crate::kernels::end::with_curve!(q.activation, |curve| {
                $crate::kernels::vector::scale_codes::<$lanes, _>(q, row, out, curve)
            })
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn pack_key(
            row: &[f32],
            packed: &mut [i8],
            lane: usize,
        ) -> (f32, i32) {
            $crate::kernels::vector::pack_key::<$lanes>(row, packed, lane)
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

/// Values of the run from `at` on.
#[inline(always)]
fn run(len: usize, at: usize) -> usize {
    (len - at).min(LANES)
}

/// The values of `row` from `at` on, then `fill`.
#[inline(always)]
fn load<V: Lanes>(row: &[f32], at: usize, fill: f32) -> V {
    // SAFETY: as many values as the row has from `at` on.
    unsafe { V::load_part(row.as_ptr().add(at), row.len() - at, fill) }
}

/// Mean and one over the deviation of a row.
#[inline(always)]
fn moments<V: Lanes>(row: &[f32], epsilon: f32) -> [f32; 2] {
    let (mut sum, mut squares) = (V::splat(0.0), V::splat(0.0));
    for at in (0..row.len()).step_by(LANES) {
        sum = sum.add(load(row, at, 0.0));
    }
    let mean = scalar::tree(sum.to_array()) / row.len() as f32;
    for at in (0..row.len()).step_by(LANES) {
        let x = load::<V>(row, at, mean).sub(V::splat(mean));
        squares = x.mul_add(x, squares);
    }
    [mean, scalar::over_deviation(scalar::tree(squares.to_array()), row.len(), epsilon)]
}

/// A row before it becomes codes, see [`Quantize`].
#[derive(Clone, Copy)]
struct Source<'a> {
    row: &'a [f32],
    factors: &'a [f32],
    moments: Option<[f32; 2]>,
}

impl Source<'_> {
    #[inline(always)]
    fn load<V: Lanes>(&self, at: usize) -> V {
        let mut x = load::<V>(self.row, at, 0.0);
        if let Some([mean, over]) = self.moments {
            x = x.sub(V::splat(mean)).mul(V::splat(over));
        }
        if !self.factors.is_empty() {
            x = x.mul(load(self.factors, at, 0.0));
        }
        x
    }
}

#[inline(always)]
pub(super) fn quantize<V: Lanes>(q: &Quantize, row: &[f32], codes: &mut [u8]) -> (f32, u8) {
    let moments = match q.epsilon {
        Some(epsilon) => Some(moments::<V>(row, epsilon)),
        None => None,
    };
    let source = Source { row, factors: q.factors, moments };
    let (mut least, mut greatest) = (V::splat(0.0), V::splat(0.0));
    let whole = row.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let x = source.load::<V>(at);
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    let (mut least, mut greatest) = (least.to_array(), greatest.to_array());
    if whole < row.len() {
        // What fills the last run is not part of the row.
        let rest = source.load::<V>(whole).to_array();
        for (l, x) in rest.into_iter().enumerate().take(row.len() - whole) {
            (least[l], greatest[l]) = (x.min(least[l]), x.max(greatest[l]));
        }
    }
    let least = least.into_iter().fold(0.0, f32::min);
    let greatest = greatest.into_iter().fold(0.0, f32::max);
    let Some(steps) = scalar::row_steps(least, greatest) else {
        codes.fill(0);
        return (1.0, 0);
    };
    let (codes, rest) = codes.split_at_mut(row.len());
    rest.fill(0);
    let (per_unit, zero) = (V::splat(steps.per_unit), V::splat(steps.zero));
    for at in (0..row.len()).step_by(LANES) {
        let y = source.load::<V>(at).mul_add(per_unit, zero);
        let y = y.max(V::splat(0.0)).min(V::splat(255.0));
        // SAFETY: the codes are as long as the row.
        unsafe { y.store_codes_part(codes.as_mut_ptr().add(at), run(row.len(), at)) };
    }
    (steps.step, steps.zero as u8)
}

#[inline(always)]
pub(super) fn normalize<V: Lanes>(
    epsilon: f32,
    gain: &[f32],
    shift: &[f32],
    row: &[f32],
    out: &mut [f32],
) {
    let [mean, over] = moments::<V>(row, epsilon);
    for at in (0..row.len()).step_by(LANES) {
        let x = load::<V>(row, at, 0.0).sub(V::splat(mean)).mul(V::splat(over));
        let y = x.mul_add(load(gain, at, 0.0), load(shift, at, 0.0));
        // SAFETY: the output is as long as the row.
        unsafe { y.store_part(out.as_mut_ptr().add(at), run(row.len(), at)) };
    }
}

#[inline(always)]
pub(super) fn softmax<V: Lanes>(row: &[f32], codes: &mut [u8]) -> f32 {
    let mut greatest = V::splat(f32::MIN);
    for at in (0..row.len()).step_by(LANES) {
        greatest = load::<V>(row, at, f32::MIN).max(greatest);
    }
    let greatest = greatest.to_array().into_iter().fold(f32::MIN, f32::max);
    let (codes, rest) = codes.split_at_mut(row.len());
    rest.fill(0);
    for at in (0..row.len()).step_by(LANES) {
        let x = load::<V>(row, at, f32::MIN).sub(V::splat(greatest));
        let y = x.exp().mul(V::splat(255.0));
        // SAFETY: the codes are as long as the row.
        unsafe { y.store_codes_part(codes.as_mut_ptr().add(at), run(row.len(), at)) };
    }
    scalar::over_total(codes)
}

#[inline(always)]
pub(super) fn scale_codes<V: Lanes, C: Curve>(q: &Requant, row: &[u8], out: &mut [u8], curve: C) {
    for at in (0..row.len()).step_by(LANES) {
        let count = run(row.len(), at);
        // SAFETY: `count` codes from `at` are inside of both rows; channels are padded to whole
        // panels.
        unsafe {
            let units = Units::<V, C>::load(q, at, curve);
            let x = V::load_codes_part(row.as_ptr().add(at), count);
            let [y] = units.clamped(units.activated([x], None));
            y.store_codes_part(out.as_mut_ptr().add(at), count);
        }
    }
}

/// The greatest absolute value of each lane.
#[inline(always)]
fn widest<V: Lanes>(least: V, greatest: V) -> [f32; LANES] {
    greatest.max(V::splat(0.0).sub(least)).to_array()
}

/// Values as codes in -127..=127, not yet rounded.
#[inline(always)]
fn symmetric<V: Lanes>(x: V, per_unit: V) -> V {
    x.mul(per_unit).max(V::splat(-127.0)).min(V::splat(127.0))
}

#[inline(always)]
pub(super) fn pack_key<V: Lanes>(row: &[f32], packed: &mut [i8], lane: usize) -> (f32, i32) {
    let (mut least, mut greatest) = (V::splat(0.0), V::splat(0.0));
    for at in (0..row.len()).step_by(LANES) {
        let x = load::<V>(row, at, 0.0);
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    let widest = widest(least, greatest).into_iter().fold(0.0, f32::max);
    let [per_unit, step] = scalar::symmetric_steps(widest);
    let mut sum = 0;
    for at in (0..row.len()).step_by(LANES) {
        let y = symmetric(load::<V>(row, at, 0.0), V::splat(per_unit)).round();
        let mut codes = [0u8; LANES];
        // SAFETY: LANES codes.
        unsafe { y.add(V::splat(128.0)).store_codes(codes.as_mut_ptr()) };
        let fours = run(row.len(), at).div_ceil(4);
        for (i, four) in codes.as_chunks::<4>().0.iter().enumerate().take(fours) {
            let four = four.map(|code| (code ^ 0x80) as i8);
            sum += four.iter().map(|code| i32::from(*code)).sum::<i32>();
            let group = ((at / 4 + i) * LANES + lane) * 4;
            packed[group..group + 4].copy_from_slice(&four);
        }
    }
    (step, sum)
}

/// Row `row` of a block of values, zeros past its last row.
#[inline(always)]
fn load_row<V: Lanes>(v: &Values, row: usize) -> V {
    if row < v.rows { load(&v.data[row * v.stride..][..v.columns], 0, 0.0) } else { V::splat(0.0) }
}

#[inline(always)]
pub(super) fn pack_values<V: Lanes>(
    v: &Values,
    packed: &mut [i8],
    scale: &mut [f32; LANES],
    sums: &mut [i32; LANES],
) {
    let (mut least, mut greatest) = (V::splat(0.0), V::splat(0.0));
    for row in 0..v.rows {
        let x = load_row::<V>(v, row);
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    let mut per_unit = [0.0; LANES];
    for (l, widest) in widest(least, greatest).into_iter().enumerate() {
        [per_unit[l], scale[l]] = scalar::symmetric_steps(widest);
    }
    let per_unit = load::<V>(&per_unit, 0, 0.0);
    let mut total = V::splat(0.0);
    for (i, group) in packed.chunks_exact_mut(4 * LANES).enumerate() {
        let mut fours = [V::splat(0.0); 4];
        for (j, four) in fours.iter_mut().enumerate() {
            *four = symmetric(load_row(v, 4 * i + j), per_unit).round();
            total = total.add(*four);
        }
        // SAFETY: 4 * LANES bytes.
        unsafe { V::store_fours(fours, group.as_mut_ptr()) };
    }
    // Sums of whole numbers far below 2^24: exact.
    for (sum, total) in sums.iter_mut().zip(total.to_array()) {
        *sum = total as i32;
    }
}
