use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the events that a sink lost because it was too slow or its consumer was away. Clones are
/// the same counter.
#[derive(Clone, Debug)]
pub struct Lost {
    sink: &'static str,
    count: Arc<AtomicU64>,
}

impl Lost {
    /// None lost yet, of the sink of this name.
    #[must_use]
    pub fn new(sink: &'static str) -> Self {
        Self { sink, count: Arc::default() }
    }

    /// The sink's name.
    #[must_use]
    pub fn sink(&self) -> &'static str {
        self.sink
    }

    /// Counts one more.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Events lost so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
