//! The kernels of every instruction set that this machine has.
//!
//! `cargo bench --bench kernels --no-default-features --features std [-- gemm|depthwise|affinity]`
//!
//! Rounds are interleaved (each one times every candidate once), so that a busy moment of the machine
//! falls on all of them; the figures are medians over the rounds.

use std::hint::black_box;
use std::time::Instant;

use tipcam::kernels::{self, Depthwise, Kernels, LANES, PackedMatrix, Query, Requant};

const ROUNDS: usize = 7;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let names: Vec<_> = kernels::available().map(Kernels::name).collect();
    println!("{}, one thread; kernels: {}", std::env::consts::ARCH, names.join(" "));
    if is_wanted("gemm") {
        gemm();
    }
    if is_wanted("depthwise") {
        depthwise();
    }
    if is_wanted("affinity") {
        affinity();
    }
}

/// Median seconds of each candidate, over interleaved rounds.
fn measure(candidates: &mut [Box<dyn FnMut() + '_>]) -> Vec<f64> {
    let repeats: Vec<usize> = candidates
        .iter_mut()
        .map(|run| {
            run();
            let start = Instant::now();
            run();
            (0.004 / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 100_000.0) as usize
        })
        .collect();
    let mut times = vec![Vec::new(); candidates.len()];
    for _ in 0..ROUNDS {
        for ((run, times), repeats) in candidates.iter_mut().zip(&mut times).zip(&repeats) {
            let start = Instant::now();
            (0..*repeats).for_each(|_| run());
            times.push(start.elapsed().as_secs_f64() / *repeats as f64);
        }
    }
    times.iter_mut().for_each(|t| t.sort_by(f64::total_cmp));
    times.iter().map(|t| t[ROUNDS / 2]).collect()
}

fn heading(title: &str, first: &str, columns: &[&str]) {
    print!("\n{title}\n{first:<34}");
    columns.iter().for_each(|c| print!("{c:>10}"));
    println!();
}

fn line(first: &str, figures: impl Iterator<Item = f64>) {
    print!("{first:<34}");
    figures.for_each(|f| print!("{f:>10.1}"));
    println!();
}

fn isa_names() -> Vec<&'static str> {
    kernels::available().map(Kernels::name).collect()
}

/// Bytes without a pattern.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn weights(len: usize) -> Vec<i8> {
    bytes(len).into_iter().map(|b| (b as i8).max(-127)).collect()
}

/// EfficientNet-Lite0's dense convolutions as products: rows (pixels), k, n.
const PRODUCTS: [(usize, usize, usize); 19] = [
    (12544, 28, 32),
    (12544, 32, 16),
    (12544, 16, 96),
    (3136, 96, 24),
    (3136, 24, 144),
    (3136, 144, 24),
    (784, 144, 40),
    (784, 40, 240),
    (784, 240, 40),
    (196, 240, 80),
    (196, 80, 480),
    (196, 480, 80),
    (196, 480, 112),
    (196, 112, 672),
    (196, 672, 112),
    (49, 672, 192),
    (49, 192, 1152),
    (49, 1152, 320),
    (49, 320, 1280),
];

fn gemm() {
    heading("Matrix product, GMAC/s", "rows x k x n", &isa_names());
    let mut total = vec![0.0; isa_names().len()];
    let (scale, bias) = (vec![1e-3; 1280], vec![10.0; 1280]);
    let q = Requant { scale: &scale, bias: &bias, lo: 0.0, hi: 255.0 };
    for (rows, k, n) in PRODUCTS {
        let (a, packed) = (bytes(rows * k), weights(kernels::packed_len(k, n)));
        let w = PackedMatrix { k, n, data: &packed };
        let mut outs = vec![vec![0; rows * n]; total.len()];
        let mut candidates: Vec<Box<dyn FnMut() + '_>> = Vec::new();
        for (kernels, out) in kernels::available().zip(&mut outs) {
            let a = &a;
            candidates.push(Box::new(move || {
                kernels.gemm(black_box(a), k, rows, w, q, None, black_box(out));
            }));
        }
        let seconds = measure(&mut candidates);
        total.iter_mut().zip(&seconds).for_each(|(total, s)| *total += s);
        let macs = (rows * k * n) as f64;
        line(&format!("{rows} x {k} x {n}"), seconds.iter().map(|s| macs / s / 1e9));
    }
    line("all of them, ms", total.iter().map(|s| s * 1e3));
}

/// EfficientNet-Lite0's depthwise convolutions: input side, channels, kernel side, stride.
const DEPTHWISE: [(usize, usize, usize, usize); 10] = [
    (112, 32, 3, 1),
    (112, 96, 3, 2),
    (56, 144, 3, 1),
    (56, 144, 5, 2),
    (28, 240, 5, 1),
    (28, 240, 3, 2),
    (14, 480, 3, 1),
    (14, 480, 5, 1),
    (14, 672, 5, 2),
    (7, 1152, 5, 1),
];

fn depthwise() {
    heading("Depthwise, GMAC/s", "input x channels, kernel / stride", &isa_names());
    let mut total = vec![0.0; isa_names().len()];
    let (scale, bias) = (vec![1e-5; 1152], vec![100.0; 1152]);
    for (side, channels, kernel, stride) in DEPTHWISE {
        let taps = kernel * kernel;
        let input = bytes(side * side * channels);
        let weights: Vec<i16> = weights(taps.div_ceil(2) * channels.next_multiple_of(LANES) * 2)
            .into_iter()
            .map(|w| w as i16 * 200)
            .collect();
        let out_side = side.div_ceil(stride);
        let pad_left = (kernel - 1) / 2;
        let d = Depthwise {
            channels,
            kernel,
            stride,
            pad_left,
            width_in: side,
            width_out: out_side,
            weights: &weights,
            requant: Requant { scale: &scale, bias: &bias, lo: 0.0, hi: 255.0 },
            pad: &input[..channels],
        };
        let row = |y: Option<usize>| match y.filter(|y| *y < side) {
            Some(y) => &input[y * side * channels..][..side * channels],
            None => &[],
        };
        let mut outs = vec![vec![0; out_side * out_side * channels]; total.len()];
        let mut candidates: Vec<Box<dyn FnMut() + '_>> = Vec::new();
        for (kernels, out) in kernels::available().zip(&mut outs) {
            let (d, row) = (&d, &row);
            candidates.push(Box::new(move || {
                for (y, out) in out.chunks_exact_mut(out_side * channels).enumerate() {
                    let mut rows: [&[u8]; kernels::MAX_SIDE] = [&[]; kernels::MAX_SIDE];
                    for (i, at) in rows.iter_mut().enumerate().take(kernel) {
                        *at = row((y * stride + i).checked_sub(pad_left));
                    }
                    kernels.depthwise(black_box(d), &rows[..kernel], black_box(out));
                }
            }));
        }
        let seconds = measure(&mut candidates);
        total.iter_mut().zip(&seconds).for_each(|(total, s)| *total += s);
        let macs = (out_side * out_side * channels * taps) as f64;
        let first = format!("{side} x {channels}, {kernel} / {stride}");
        line(&first, seconds.iter().map(|s| macs / s / 1e9));
    }
    line("all of them, ms", total.iter().map(|s| s * 1e3));
}

/// Reads all of `keys` and does next to nothing with it: the machine's read bandwidth.
fn read(keys: &[i8]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in keys.chunks_exact(256) {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(word.map(|b| b as u8)));
        }
    }
    sums.iter().fold(0, |a, b| a ^ b)
}

fn affinity() {
    let mut columns = vec!["read"];
    columns.extend(isa_names());
    heading("Affinity, GB/s of keys", "keys x dimensions", &columns);
    for dim in [512, 1280] {
        for count in [1_600, 16_000, 100_000, 1_000_000] {
            let keys = weights(count * dim);
            let codes = weights(dim);
            let units = [[1e-3; LANES], [0.0; LANES]];
            let q = Query { codes: &codes, scale: 1e-4, base: 0.0, beta: 5.5 };
            let mut candidates: Vec<Box<dyn FnMut() + '_>> = Vec::new();
            candidates.push(Box::new(|| {
                black_box(read(black_box(&keys)));
            }));
            for kernels in kernels::available() {
                let (keys, q, units) = (&keys, &q, &units);
                candidates.push(Box::new(move || {
                    let (mut cos, mut aff) = ([0.0; LANES], [0.0; LANES]);
                    for panel in keys.chunks_exact(LANES * dim) {
                        kernels.affinity(panel, q, &units[0], &units[1], &mut cos, &mut aff);
                        black_box(&mut aff);
                    }
                }));
            }
            let seconds = measure(&mut candidates);
            let size = (count * dim) as f64;
            line(&format!("{count} x {dim}"), seconds.iter().map(|s| size / s / 1e9));
        }
    }
}
