//! How the codes that enter a layer vary together, in integers: exact, so the same everywhere.

use rayon::prelude::*;

use super::layer::Data;
use crate::encoder::ops::{Window, unfold};

/// Rows that the covariance is taken from: enough for the deepest layer.
const SAMPLE: usize = 32_768;
/// Rows whose products still fit 32 bits when added up: 255 x 255 x this.
const BLOCK: usize = 1024;

/// Mean of each input of a dense layer over all positions of all pictures.
pub(super) fn means(g: &Window, pad: &[u8], pictures: &[Data]) -> Vec<f64> {
    let sums = pictures.par_iter().map(|picture| {
        let mut sums = vec![0u64; g.columns];
        for first in (0..g.positions()).step_by(g.width_out) {
            for row in rows(g, pad, picture, first, g.width_out).chunks_exact(g.columns) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += u64::from(*x));
            }
        }
        sums
    });
    let total = sums.reduce(
        || vec![0; g.columns],
        |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        },
    );
    let count = (pictures.len() * g.positions()) as f64;
    total.iter().map(|sum| *sum as f64 / count).collect()
}

/// Mean of each tap of a depthwise layer, `[channels][taps]`.
pub(super) fn tap_means(g: &Window, pad: &[u8], pictures: &[Data]) -> Vec<f64> {
    let taps = g.kernel * g.kernel;
    // Unfolded, the channels of a tap lie side by side: the same sums in another order.
    let unfolded = Window { columns: taps * g.channels_in, pointwise: false, ..*g };
    let means = means(&unfolded, pad, pictures);
    (0..taps * g.channels_in).map(|at| means[at % taps * g.channels_in + at / taps]).collect()
}

/// Covariance of the inputs of a dense layer, `[columns][columns]`, over a sample of the positions.
pub(super) fn covariance(g: &Window, pad: &[u8], pictures: &[Data]) -> Vec<f64> {
    let k = g.columns;
    let step = (pictures.len() * g.positions()).div_ceil(SAMPLE);
    let sample: Vec<u8> = pictures
        .par_iter()
        .enumerate()
        .flat_map_iter(|(i, picture)| {
            // A different phase in every picture, so that no column of the image is preferred.
            let positions = (i * 7 % step..g.positions()).step_by(step);
            positions.flat_map(|at| rows(g, pad, picture, at, 1))
        })
        .collect();
    let count = sample.len() / k;
    // Transposed in blocks: a product of two inputs is then a product of two rows.
    let blocks: Vec<Vec<i16>> = sample
        .par_chunks(BLOCK * k)
        .map(|block| {
            let rows = block.len() / k;
            (0..k * rows).map(|at| i16::from(block[at % rows * k + at / rows])).collect()
        })
        .collect();
    let sums: Vec<i64> = sample
        .par_chunks_exact(k)
        .fold(
            || vec![0; k],
            |mut sums, row| {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += i64::from(*x));
                sums
            },
        )
        .reduce(
            || vec![0; k],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            },
        );
    let mut covariance = vec![0.0; k * k];
    covariance.par_chunks_exact_mut(k).enumerate().for_each(|(i, row)| {
        for (j, out) in row.iter_mut().enumerate().take(i + 1) {
            let products: i64 = blocks
                .iter()
                .map(|block| {
                    let rows = block.len() / k;
                    let (a, b) = (&block[i * rows..][..rows], &block[j * rows..][..rows]);
                    let dot: i32 =
                        a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                    i64::from(dot)
                })
                .sum();
            // n·Σxy - Σx·Σy, exact
            let n = count as i128;
            let scaled = n * i128::from(products) - i128::from(sums[i]) * i128::from(sums[j]);
            *out = scaled as f64 / (n * n).max(1) as f64;
        }
    });
    for i in 0..k {
        for j in i + 1..k {
            covariance[i * k + j] = covariance[j * k + i];
        }
    }
    covariance
}

/// The rows of the matrix product for `count` positions from `first` on.
fn rows(g: &Window, pad: &[u8], picture: &Data, first: usize, count: usize) -> Vec<u8> {
    if g.pointwise {
        return picture.codes()[first * g.columns..(first + count) * g.columns].to_vec();
    }
    let mut rows = vec![0; count * g.columns];
    unfold(g, picture.codes(), pad, first, &mut rows);
    rows
}
