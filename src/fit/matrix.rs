//! Matrices in float and the one product that making heads needs. Sums run in the kernels' fixed
//! order and threads split the rows, so that a head has the same bits whoever makes it.

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::thread;

use crate::kernels::{Kernels, LANES};

/// Multiplications below which starting threads does not pay.
const SMALL: usize = 1 << 22;
/// Side of the squares that a matrix is transposed by: so many rows share the first cache, also where they
/// begin a power of two apart.
const SQUARE: usize = 16;

/// Rows one behind the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// `[rows][columns]`
    pub data: Vec<f32>,
    columns: usize,
}

/// What computes: the result depends on neither.
#[derive(Clone, Copy)]
pub struct Workers {
    /// Kernels to use.
    pub kernels: &'static Kernels,
    /// Threads to use.
    pub threads: usize,
}

impl Matrix {
    /// Zeros.
    #[must_use]
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { data: vec![0.0; rows * columns], columns }
    }

    /// Copies rows of `columns` values.
    #[must_use]
    pub fn from_rows<'r>(rows: impl Iterator<Item = &'r [f32]>, columns: usize) -> Self {
        Self { data: rows.flatten().copied().collect(), columns }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.data.len() / self.columns.max(1)
    }

    /// Length of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.columns..][..self.columns]
    }

    /// Row `i`, to change it.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.columns..][..self.columns]
    }

    /// Every row in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.columns.max(1))
    }

    /// The rows at these places.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Self {
        Self::from_rows(places.iter().map(|&i| self.row(i)), self.columns)
    }

    /// The columns at these places.
    #[must_use]
    pub fn pick_columns(&self, places: &[usize]) -> Self {
        let data = self.iter().flat_map(|row| places.iter().map(|&i| row[i])).collect();
        Self { data, columns: places.len() }
    }

    /// Rows and columns change places.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let (rows, columns) = (self.rows(), self.columns);
        let mut out = Self::zeros(columns, rows);
        for top in (0..rows).step_by(SQUARE) {
            for left in (0..columns).step_by(SQUARE) {
                for j in left..columns.min(left + SQUARE) {
                    let height = SQUARE.min(rows - top);
                    let column = self.data[top * columns + j..].iter().step_by(columns);
                    let to = &mut out.data[j * rows + top..][..height];
                    to.iter_mut().zip(column).for_each(|(to, value)| *to = *value);
                }
            }
        }
        out
    }

    /// Every row scaled to length 1; a row of zeros stays.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        for row in self.data.chunks_exact_mut(self.columns.max(1)) {
            super::keys::normalize(row);
        }
        self
    }

    /// `self * factor + other`, value by value.
    #[must_use]
    pub fn scaled_plus(mut self, factor: f32, other: &Self) -> Self {
        self.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a = factor * *a + b);
        self
    }

    /// `self * factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        self.data.iter_mut().for_each(|value| *value *= factor);
        self
    }

    /// Adds `values * factor` to every row.
    pub fn add_to_rows(&mut self, factor: f32, values: &[f32]) {
        for row in self.data.chunks_exact_mut(self.columns.max(1)) {
            row.iter_mut().zip(values).for_each(|(out, value)| *out += factor * value);
        }
    }

    /// `self · otherᵀ`: the product of every row with every row of `other`.
    #[must_use]
    pub fn times_transposed(&self, other: &Self, workers: Workers) -> Self {
        assert_eq!(self.columns, other.columns, "rows of one length");
        let columns = other.rows();
        let mut out = Self::zeros(self.rows(), columns);
        if out.data.is_empty() {
            return out;
        }
        let small = out.data.len() * self.columns < SMALL;
        let threads = if small { 1 } else { workers.threads.max(1) };
        let part = self.rows().div_ceil(threads);
        let (left, right) = (self.in_whole_lanes(), other.in_whole_lanes());
        let length = left.columns;
        let parts = out.data.chunks_mut(part * columns).zip(left.data.chunks(part * length));
        in_parallel(parts.map(|(out, rows)| {
            let right = &right.data;
            move || workers.kernels.dots_f32(rows, right, length, out)
        }));
        out
    }

    /// With zeros behind each row up to whole [`LANES`]: what is left over there takes the kernels as long as
    /// several lanes.
    fn in_whole_lanes(&self) -> Cow<'_, Self> {
        let columns = self.columns.next_multiple_of(LANES);
        if columns == self.columns {
            return Cow::Borrowed(self);
        }
        let mut out = Self::zeros(self.rows(), columns);
        for (i, row) in self.iter().enumerate() {
            out.row_mut(i)[..self.columns].copy_from_slice(row);
        }
        Cow::Owned(out)
    }
}

/// Does all of it, one after the other where there is one, else each on a thread of its own.
pub(super) fn in_parallel<F: FnOnce() + Send>(mut parts: impl ExactSizeIterator<Item = F>) {
    if parts.len() < 2 {
        return parts.for_each(|part| part());
    }
    thread::scope(|scope| {
        let own = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(part)).collect();
        if let Some(own) = own {
            own();
        }
        others.into_iter().for_each(|other| other.join().unwrap_or_else(|e| resume_unwind(e)));
    });
}

/// Solves `a x = b` for each row b of `right`, in place, for a symmetric positive definite `a`
/// (`[n][n]`, its lower half; overwritten with its Cholesky factor). False if it is not positive
/// definite.
pub fn solve(a: &mut [f64], n: usize, right: &mut [f64]) -> bool {
    for i in 0..n {
        for j in 0..=i {
            let (before, row) = a.split_at_mut(i * n);
            // Rows before i are final; within row i what lies left of j is.
            let sum: f64 = match j < i {
                true => dot(&row[..j], &before[j * n..][..j]),
                false => dot(&row[..j], &row[..j]),
            };
            let rest = row[j] - sum;
            row[j] = match j < i {
                true => rest / before[j * n + j],
                false if rest > 0.0 => rest.sqrt(),
                false => return false,
            };
        }
    }
    for x in right.chunks_exact_mut(n.max(1)) {
        for i in 0..n {
            let sum = dot(&a[i * n..][..i], &x[..i]);
            x[i] = (x[i] - sum) / a[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] /= a[i * n + i];
            let (value, row) = (x[i], &a[i * n..][..i]);
            x[..i].iter_mut().zip(row).for_each(|(x, l)| *x -= value * l);
        }
    }
    true
}

/// The dot product over eight strided lanes, so that it is quick without being told of the processor.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 50.0).collect()
    }

    #[test]
    fn a_product_is_that_of_the_rows_whatever_the_threads() {
        let a = Matrix { data: numbers(120 * 130), columns: 130 };
        let b = Matrix { data: numbers(90 * 130), columns: 130 };
        let of = |threads| a.times_transposed(&b, Workers { kernels: kernels::best(), threads });
        let one = of(1);
        assert_eq!((one.rows(), one.columns()), (120, 90));
        assert_eq!(of(3), one);
        let expected: f32 = a.row(77).iter().zip(b.row(5)).map(|(a, b)| a * b).sum();
        assert!((one.row(77)[5] - expected).abs() < 1e-3);
        assert_eq!(a.transposed().row(3)[77], a.row(77)[3]);
        assert_eq!(a.pick(&[77]).pick_columns(&[3, 1]).data, [a.row(77)[3], a.row(77)[1]]);
    }

    #[test]
    fn a_solution_solves() {
        let n = 37;
        let half: Vec<f64> = numbers(n * n).into_iter().map(f64::from).collect();
        // h hᵀ + I
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = dot(&half[i * n..][..n], &half[j * n..][..n]) + f64::from(i == j);
            }
        }
        let expected: Vec<f64> = (0..n).map(|i| i as f64 - 10.0).collect();
        let mut x: Vec<f64> = (0..n).map(|i| dot(&a[i * n..][..n], &expected)).collect();
        assert!(solve(&mut a, n, &mut x));
        assert!(x.iter().zip(&expected).all(|(x, e)| (x - e).abs() < 1e-9), "{x:?}");
        assert!(!solve(&mut [1.0, 0.0, 2.0, 1.0], 2, &mut []), "not positive definite");
    }
}
