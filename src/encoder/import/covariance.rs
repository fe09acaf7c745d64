//! How the codes that enter a layer vary together, in integers: exact, so the same everywhere.

use rayon::prelude::*;

use super::layer::Data;
use crate::encoder::ops::{Window, unfold};

/// Rows that the covariance is taken from: enough for the deepest layer.
const SAMPLE: usize = 32_768;
/// Positions that the covariances of a depthwise layer's taps are taken from: a few dozen taps need no more.
const TAP_SAMPLE: usize = 4096;
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

/// Covariances of the taps of each channel of a depthwise layer, `[channels][taps][taps]`, over a sample of
/// the positions.
pub(super) fn tap_covariances(g: &Window, pad: &[u8], pictures: &[Data]) -> Vec<f64> {
    let (taps, channels) = (g.kernel * g.kernel, g.channels_in);
    let unfolded = Window { columns: taps * channels, pointwise: false, ..*g };
    let sample = sample(&unfolded, pad, pictures, TAP_SAMPLE);
    let count = sample.len() / unfolded.columns;
    let own = |c: usize| {
        // Each tap's values side by side: a product of two taps is then one of two rows.
        let values: Vec<i16> = (0..taps)
            .flat_map(|tap| sample[tap * channels + c..].iter().step_by(unfolded.columns))
            .map(|x| i16::from(*x))
            .collect();
        let rows: Vec<&[i16]> = values.chunks_exact(count).collect();
        let sums: Vec<i64> =
            rows.iter().map(|row| row.iter().map(|x| i64::from(*x)).sum()).collect();
        let mut own = vec![0.0; taps * taps];
        for i in 0..taps {
            for j in 0..=i {
                let products = rows[i]
                    .chunks(BLOCK)
                    .zip(rows[j].chunks(BLOCK))
                    .map(|(a, b)| i64::from(dot(a, b)));
                own[i * taps + j] = scaled(count as i64, products.sum(), sums[i], sums[j]);
                own[j * taps + i] = own[i * taps + j];
            }
        }
        own
    };
    (0..channels).into_par_iter().flat_map_iter(own).collect()
}

/// The sum of up to [`BLOCK`] products.
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Covariance of two inputs from the sums of `n` of their products and of their values:
/// `(n·Σxy - Σx·Σy) / n²`, whose upper side is exact.
fn scaled(n: i64, products: i64, x: i64, y: i64) -> f64 {
    let n = i128::from(n);
    let above = n * i128::from(products) - i128::from(x) * i128::from(y);
    above as f64 / (n * n).max(1) as f64
}

/// The rows of up to `most` positions.
fn sample(g: &Window, pad: &[u8], pictures: &[Data], most: usize) -> Vec<u8> {
    let step = (pictures.len() * g.positions()).div_ceil(most);
    let each = pictures.par_iter().enumerate().flat_map_iter(|(i, picture)| {
        // A different phase in every picture, so that no column of the image is preferred.
        let positions = (i * 7 % step..g.positions()).step_by(step);
        positions.flat_map(|at| rows(g, pad, picture, at, 1))
    });
    each.collect()
}

/// Covariance of the inputs of a dense layer, `[columns][columns]`, over a sample of the positions.
pub(super) fn covariance(g: &Window, pad: &[u8], pictures: &[Data]) -> Vec<f64> {
    let k = g.columns;
    let sample = sample(g, pad, pictures, SAMPLE);
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
                    i64::from(dot(a, b))
                })
                .sum();
            *out = scaled(count as i64, products, sums[i], sums[j]);
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
