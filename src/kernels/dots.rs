//! Dot products of all rows of one matrix with all rows of another, written once over [`Lanes`].
//!
//! Each has the order of a single one, so that its bits do not tell which computed it. What makes many at once
//! quick is a tile of them that keeps its sums in registers and reads each value once for several.

use super::LANES;
use super::lanes::Lanes;

/// Values of the right side that all rows of the left are multiplied with before the next ones are: they
/// stay in a second-level cache.
const BLOCK: usize = 64 * 1024;

/// Makes an instruction set's function of tiles of this many rows on either side: as many as there are
/// registers for.
macro_rules! stamp {
    ($features:literal, $lanes:ty, $rows:literal, $columns:literal) => {
        #[target_feature(enable = $features)]
        pub(in crate::kernels) fn dots_f32(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
            $crate::kernels::dots::dots::<$lanes, $rows, $columns>(a, b, k, out)
        }
    };
}
pub(super) use stamp;

/// Rows of `k` values, at least one, on both sides; `out` has a row for each of `a` with a value for each of
/// `b`.
#[inline(always)]
pub(super) fn dots<V: Lanes, const R: usize, const C: usize>(
    a: &[f32],
    b: &[f32],
    k: usize,
    out: &mut [f32],
) {
    let (rows, columns) = (a.len() / k, b.len() / k);
    let block = (BLOCK / k).next_multiple_of(C).max(C);
    for first in (0..columns).step_by(block) {
        let b = &b[first * k..columns.min(first + block) * k];
        let mut row = 0;
        while row < rows {
            let (a, out) = (&a[row * k..], &mut out[row * columns + first..]);
            if rows - row >= R {
                strip::<V, R, C>(a, b, k, out, columns);
                row += R;
            } else {
                strip::<V, 1, C>(a, b, k, out, columns);
                row += 1;
            }
        }
    }
}

/// The first `R` rows of `a` by all of `b`; the rows of `out` are `stride` values apart.
#[inline(always)]
fn strip<V: Lanes, const R: usize, const C: usize>(
    a: &[f32],
    b: &[f32],
    k: usize,
    out: &mut [f32],
    stride: usize,
) {
    let columns = b.len() / k;
    let mut column = 0;
    while column < columns {
        let (b, out) = (&b[column * k..], &mut out[column..]);
        if columns - column >= C {
            tile::<V, R, C>(a, b, k, out, stride);
            column += C;
        } else {
            tile::<V, R, 1>(a, b, k, out, stride);
            column += 1;
        }
    }
}

/// The first `R` rows of `a` by the first `C` of `b`.
#[inline(always)]
fn tile<V: Lanes, const R: usize, const C: usize>(
    a: &[f32],
    b: &[f32],
    k: usize,
    out: &mut [f32],
    stride: usize,
) {
    let (a, b) = (&a[..R * k], &b[..C * k]);
    let whole = k / LANES * LANES;
    let mut sums = [[V::splat(0.0); C]; R];
    for at in (0..whole).step_by(LANES) {
        // SAFETY: LANES values of each of the rows.
        unsafe {
            let mut right = [V::splat(0.0); C];
            for (j, right) in right.iter_mut().enumerate() {
                *right = V::load(b.as_ptr().add(j * k + at));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                multiply_add(V::load(a.as_ptr().add(i * k + at)), right, sums);
            }
        }
    }
    if whole < k {
        // SAFETY: the rest of each of the rows. Where it ends, 0 times -0 changes no sum, not even one of -0.
        unsafe {
            let mut right = [V::splat(0.0); C];
            for (j, right) in right.iter_mut().enumerate() {
                *right = V::load_part(b.as_ptr().add(j * k + whole), k - whole, -0.0);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = V::load_part(a.as_ptr().add(i * k + whole), k - whole, 0.0);
                multiply_add(left, right, sums);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (out, sum) in out[i * stride..][..C].iter_mut().zip(sums) {
            *out = sum.tree();
        }
    }
}

#[inline(always)]
fn multiply_add<V: Lanes, const C: usize>(left: V, right: [V; C], sums: &mut [V; C]) {
    for (sum, right) in sums.iter_mut().zip(right) {
        *sum = left.mul_add(right, *sum);
    }
}
