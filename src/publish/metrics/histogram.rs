use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper edges of the buckets in seconds; one more is above the last.
pub(super) const EDGES: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Counts durations by their length. One thread observes, any thread reads.
#[derive(Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; EDGES.len() + 1],
    nanoseconds: AtomicU64,
}

/// A histogram as it was at one moment.
pub(super) struct Reading {
    /// Durations up to each edge, and all of them.
    pub(super) up_to: [u64; EDGES.len() + 1],
    pub(super) seconds: f64,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = EDGES.iter().position(|&edge| seconds <= edge).unwrap_or(EDGES.len());
        // the sum wraps after five centuries
        self.nanoseconds.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Reading {
        let mut sum = 0;
        let up_to = std::array::from_fn(|bucket| {
            sum += self.buckets[bucket].load(Ordering::Relaxed);
            sum
        });
        Reading { up_to, seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9 }
    }
}
