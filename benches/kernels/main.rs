//! The kernels of every vector instruction set that this machine has, on one thread.
//!
//! `cargo bench --bench kernels --no-default-features --features std [-- dense|depthwise|affinity]`
//!
//! Rounds are interleaved (each one times every candidate once), so that a busy moment of the machine
//! falls on all of them. The figures are those of the fastest rounds, of the thread's own time where the
//! system tells it: what disturbs only ever adds. Beside a rate stands its share of the peak, which a
//! loop of the instruction set's multiply-add on registers reaches in the same rounds.

use std::hint::black_box;

use tipcam::asset::AlignedBytes;
use tipcam::kernels::{
    self, Activation, Added, Depthwise, Isa, Kernels, LANES, Out, PackedMatrix, Pool, Query,
    Requant, Rows,
};
use tipcam::math::QUICK_GELU;
use tipcam::random::Random;
use zerocopy::FromBytes;

mod shapes;

use shapes::{Convolution, DEPTHWISE, FAMILIES, Family, Product};

const ROUNDS: usize = 25;
/// Seconds that a candidate runs in each round, at least.
const ROUND: f64 = 0.001;
/// Steps of the loop that shows an instruction set's peak.
const PEAK_STEPS: usize = 10_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    println!("{}, one thread", std::env::consts::ARCH);
    if is_wanted("dense") {
        FAMILIES.iter().for_each(dense);
    }
    if is_wanted("depthwise") {
        depthwise();
    }
    if is_wanted("affinity") {
        affinity();
    }
}

type Candidates<'a> = Vec<Box<dyn FnMut() + 'a>>;

fn sets() -> impl Iterator<Item = &'static Kernels> {
    kernels::available().filter(|kernels| kernels.isa() != Isa::Scalar)
}

fn names() -> Vec<&'static str> {
    sets().map(Kernels::name).collect()
}

/// Seconds of this thread.
#[cfg(unix)]
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds.
#[cfg(not(unix))]
fn now() -> f64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Seconds of each candidate, the least of interleaved rounds.
fn measure(candidates: &mut Candidates) -> Vec<f64> {
    let repeats: Vec<usize> = candidates
        .iter_mut()
        .map(|run| {
            run();
            let start = now();
            run();
            (ROUND / (now() - start)).ceil().clamp(1.0, 100_000.0) as usize
        })
        .collect();
    let mut times = vec![f64::INFINITY; candidates.len()];
    for _ in 0..ROUNDS {
        for ((run, time), repeats) in candidates.iter_mut().zip(&mut times).zip(&repeats) {
            let start = now();
            (0..*repeats).for_each(|_| run());
            *time = time.min((now() - start) / *repeats as f64);
        }
    }
    times
}

fn line(first: &str, figures: impl IntoIterator<Item = impl std::fmt::Display>) {
    print!("{first:<34}");
    figures.into_iter().for_each(|f| print!("{f:>14}"));
    println!();
}

/// Times one candidate for each instruction set and its peak; prints the rates and adds up the
/// seconds.
fn rates(first: &str, products: usize, mut candidates: Candidates, total: &mut [f64]) {
    for kernels in sets() {
        candidates.push(Box::new(move || {
            black_box(kernels.peak(PEAK_STEPS));
        }));
    }
    let seconds = measure(&mut candidates);
    let (seconds, peaks) = seconds.split_at(total.len());
    line(
        first,
        sets().zip(seconds.iter().zip(peaks)).map(|(kernels, (seconds, peak))| {
            let rate = products as f64 / seconds;
            let peak = kernels.peak(PEAK_STEPS) as f64 / peak;
            format!("{:.1} {:>3.0} %", rate / 1e9, rate / peak * 100.0)
        }),
    );
    total.iter_mut().zip(seconds).for_each(|(total, s)| *total += s);
}

fn all_of_them(total: &[f64]) {
    line("all of them, ms", total.iter().map(|s| format!("{:.2}      ", s * 1e3)));
}

/// Bytes without a pattern, where an asset has them: at a multiple of 64.
fn bytes(len: usize) -> AlignedBytes {
    let mut bytes = AlignedBytes::zeroed(len);
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
    bytes
}

/// Weights as a network has them: about normal, the greatest of a channel 3 to 4 deviations from 0.
fn weights(bytes: &mut AlignedBytes) -> &[i8] {
    let mut random = Random::new(1);
    for byte in bytes.iter_mut() {
        let sum: i32 = random.draw().to_be_bytes()[..6].iter().map(|b| i32::from(*b)).sum();
        *byte = ((sum - 765) / 5).clamp(-127, 127) as u8;
    }
    <[i8]>::ref_from_bytes(bytes).expect("bytes have no alignment")
}

/// The dense products of a network, each as often as it occurs and with weights of its own.
fn dense(family: &Family) {
    println!("\n{}, products: GMAC/s and share of the peak", family.name);
    line("times: rows x k x n", names());
    let mut total = vec![0.0; names().len()];
    for &Product { times, rows: count, k, n } in family.products {
        let codes = bytes(count * k);
        let mut packed = bytes(kernels::packed_len(k, n) * times);
        let packed = weights(&mut packed);
        let padded = n.next_multiple_of(LANES);
        let (sums, scale, bias) = (vec![5; padded], vec![1e-4; padded], vec![10.0; padded]);
        let (row_scale, row_zero) = (vec![0.1; count], vec![128; count]);
        let mut candidates = Candidates::new();
        for kernels in sets() {
            let pool = Pool::new(1, kernels.scratch(k)).expect("no thread is started");
            let (mut out_codes, mut out_reals) = (bytes(count * n), vec![0.0; count * n]);
            let (codes, sums, scale, bias) = (&codes, &sums, &scale, &bias);
            let (row_scale, row_zero) = (&row_scale, &row_zero);
            candidates.push(Box::new(move || {
                for data in packed.chunks_exact(kernels::packed_len(k, n)) {
                    let w = PackedMatrix { k, n, data, sums };
                    let mut rows = Rows::of_codes(black_box(codes), k, count);
                    let (mut q, mut out) =
                        (Requant::to_codes(scale, bias), Out::Codes(&mut out_codes));
                    if family.tokens {
                        (rows.scale, rows.zero) = (row_scale, row_zero);
                        (q, out) = (Requant::to_real(scale, bias), Out::Real(&mut out_reals));
                        if n == 4 * k {
                            q.activation = Activation::Gated(QUICK_GELU);
                        }
                    }
                    kernels.gemm(&pool, rows, w, q, Added::Nothing, out, n);
                }
            }));
        }
        let first = format!("{times}: {count} x {k} x {n}");
        rates(&first, times * count * k * n, candidates, &mut total);
    }
    all_of_them(&total);
}

fn depthwise() {
    println!("\nDepthwise convolutions: GMAC/s and share of the products' peak");
    line("side x channels, kernel / stride", names());
    let mut total = vec![0.0; names().len()];
    for &Convolution { side, channels, kernel, stride } in DEPTHWISE {
        let padded = channels.next_multiple_of(LANES);
        let input = bytes(side * side * channels);
        let weights: Vec<i16> = bytes((kernel * kernel).div_ceil(2) * padded * 2)
            .iter()
            .map(|w| i16::from(*w as i8))
            .collect();
        let (scale, bias) = (vec![1e-5; padded], vec![100.0; padded]);
        let (side_out, before) = (side.div_ceil(stride), (kernel - 1) / 2);
        let d = Depthwise {
            channels,
            kernel,
            stride,
            pad_top: before,
            pad_left: before,
            height_in: side,
            width_in: side,
            height_out: side_out,
            width_out: side_out,
            stride_out: channels,
            weights: &weights,
            are_bytes: true,
            requant: Requant::to_codes(&scale, &bias),
            pad: &input[..channels],
        };
        let mut candidates = Candidates::new();
        for kernels in sets() {
            let pool = Pool::new(1, 0).expect("no thread is started");
            let (d, input) = (&d, &input);
            let mut out = vec![0; side_out * side_out * channels];
            candidates.push(Box::new(move || {
                kernels.depthwise(&pool, black_box(d), input, black_box(&mut out));
            }));
        }
        let first = format!("{side} x {channels}, {kernel} / {stride}");
        let products = side_out * side_out * channels * kernel * kernel;
        rates(&first, products, candidates, &mut total);
    }
    all_of_them(&total);
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
    println!("\nAffinity: GB/s of keys and share of what is read without doing anything");
    line("keys x dimensions", ["read"].into_iter().chain(names()));
    for dim in [512, 1280] {
        for count in [1_600, 16_000, 100_000, 1_000_000] {
            let (mut keys, mut codes) = (bytes(count * dim), bytes(dim));
            let (keys, codes) = (weights(&mut keys), weights(&mut codes));
            let units = [[1e-3; LANES], [0.0; LANES]];
            let q = Query { codes, scale: 1e-4, base: 0.0, beta: 5.5, keys: keys.len() };
            let mut candidates = Candidates::new();
            candidates.push(Box::new(|| {
                black_box(read(black_box(keys)));
            }));
            for kernels in sets() {
                let (q, units) = (&q, &units);
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
            line(
                &format!("{count} x {dim}"),
                seconds
                    .iter()
                    .map(|s| format!("{:.1} {:>3.0} %", size / s / 1e9, seconds[0] / s * 100.0)),
            );
        }
    }
}
