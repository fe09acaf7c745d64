//! Times of rounds, and the fastest that a product can be.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::kernels::{
    self, Added, Kernels, LANES, Out, PackedMatrix, Pool, PoolError, Requant, Rows,
};

/// The times of one stage in all rounds.
#[derive(Clone, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Median and ninetieth percentile in milliseconds.
    pub(super) fn figures(mut self) -> [f64; 2] {
        self.0.sort();
        let last = self.0.len().saturating_sub(1);
        let at = |share: f64| {
            let index = (share * last as f64).round() as usize;
            self.0.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        [at(0.5), at(0.9)]
    }
}

/// Rows, inputs and outputs of a product that stays in a small first cache.
const PEAK: [usize; 3] = [48, 256, 32];
/// Products of one measurement.
const REPEATS: usize = 200;
const MEASUREMENTS: usize = 9;

/// Billions of multiply-accumulates a second of a small product on all threads, best of several.
pub(super) fn peak(kernels: &'static Kernels, threads: usize) -> Result<f64, PoolError> {
    let [rows, k, n] = PEAK;
    let pool = Pool::new(threads, kernels.scratch(k))?;
    let (codes, weights) = (vec![100; rows * k], vec![1; kernels::packed_len(k, n)]);
    let (sums, units) = (vec![0; n], vec![0.0; n.next_multiple_of(LANES)]);
    let w = PackedMatrix { k, n, data: &weights, sums: &sums };
    let run = || {
        pool.run(threads, &|_, worker| {
            let mut out = [0; PEAK[0] * PEAK[2]];
            for _ in 0..REPEATS {
                let a = Rows::of_codes(black_box(&codes), k, rows);
                let (q, out) = (Requant::to_codes(&units, &units), Out::Codes(&mut out));
                kernels.gemm_here(worker.scratch, a, w, q, Added::Nothing, out, n);
            }
            black_box(&out);
        });
    };
    let times = (0..MEASUREMENTS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    });
    let best = times.fold(f64::INFINITY, f64::min);
    Ok((rows * k * n * REPEATS * threads) as f64 / best / 1e9)
}
