//! Figures for Prometheus (`docs/metrics.md`).

mod histogram;
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::histogram::Histogram;
use self::text::Text;
use super::change::{News, State, Tracker};
use super::{Lost, UNKNOWN, WHOLE};
use crate::frame::Frame;
use crate::watch::{Event, Health, Sink};

/// What is measured, to be rendered from any thread. Clones are the same figures.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

struct Figures {
    begun: Instant,
    health: Arc<Health>,
    lost: Vec<Lost>,
    dropped: AtomicU64,
    changes: AtomicU64,
    classes: AtomicU64,
    /// Shots of the head, plus one; 0 while nobody said.
    keys: AtomicU64,
    decode: Histogram,
    preprocess: Histogram,
    encode: Histogram,
    head: Histogram,
    latency: Histogram,
    /// Taken by the answering thread only when something changes, and never for long.
    states: Mutex<Vec<State>>,
}

impl Metrics {
    /// Figures of the loop whose health this is, and of the sinks that count in `lost`.
    #[must_use]
    pub fn new(health: Arc<Health>, lost: Vec<Lost>) -> Self {
        Self(Arc::new(Figures {
            begun: Instant::now(),
            health,
            lost,
            dropped: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            classes: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            decode: Histogram::default(),
            preprocess: Histogram::default(),
            encode: Histogram::default(),
            head: Histogram::default(),
            latency: Histogram::default(),
            states: Mutex::default(),
        }))
    }

    /// The sink that measures.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter { figures: Arc::clone(&self.0), tracker: Tracker::default() }
    }

    /// The head has this many shots now.
    pub fn set_keys(&self, keys: u64) {
        self.0.keys.store(keys.saturating_add(1), Ordering::Relaxed);
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let figures = &*self.0;
        let health = &figures.health;
        let mut text = Text::default();

        text.counter("tipcam_frames_total", "Frames that came in.", health.captured());
        text.counter(
            "tipcam_frames_answered_total",
            "Frames that were answered.",
            health.answered(),
        );
        text.counter(
            "tipcam_frames_dropped_total",
            "Frames that gave way to newer ones before they were answered.",
            figures.dropped.load(Ordering::Relaxed),
        );
        text.counter(
            "tipcam_frames_still_total",
            "Answered frames that were not encoded because nothing had moved.",
            health.still(),
        );
        let up = health.captured() > 0 && health.input_trouble().is_none();
        text.gauge("tipcam_input_up", "Whether frames come: 1 or 0.", u64::from(up));

        text.family("tipcam_stage_seconds", "histogram", "Time for a step of a frame's way.");
        let stages = [
            ("decode", &figures.decode),
            ("preprocess", &figures.preprocess),
            ("encode", &figures.encode),
            ("head", &figures.head),
        ];
        for (stage, histogram) in stages {
            text.histogram("tipcam_stage_seconds", &[("stage", stage)], &histogram.read());
        }
        text.family(
            "tipcam_latency_seconds",
            "histogram",
            "Time from a frame's arrival to its answer.",
        );
        text.histogram("tipcam_latency_seconds", &[], &figures.latency.read());

        text.family("tipcam_state", "gauge", "1 for the label that is settled in a region.");
        for state in figures.states().iter() {
            let region = state.region.as_deref().unwrap_or(WHOLE);
            let label = state.label.as_deref().unwrap_or(UNKNOWN);
            text.sample("tipcam_state", &[("region", region), ("label", label)], 1);
        }
        text.counter(
            "tipcam_state_changes_total",
            "Changes of a settled label.",
            figures.changes.load(Ordering::Relaxed),
        );
        let classes = figures.classes.load(Ordering::Relaxed);
        text.gauge("tipcam_classes", "Classes that are told apart.", classes);
        if let Some(keys) = figures.keys.load(Ordering::Relaxed).checked_sub(1) {
            text.gauge("tipcam_cache_keys", "Shots in the cache.", keys);
        }

        text.family("tipcam_sink_events_lost_total", "counter", "Events that a sink lost.");
        for lost in &figures.lost {
            text.sample("tipcam_sink_events_lost_total", &[("sink", lost.sink())], lost.count());
        }
        process::render(&mut text, figures.begun);
        text.family("tipcam_build_info", "gauge", "1, with the program's version.");
        text.sample("tipcam_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.done()
    }
}

impl Figures {
    // one assignment a change: whoever panicked left whole values
    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures every frame; see [`Metrics::meter`].
pub struct Meter {
    figures: Arc<Figures>,
    tracker: Tracker,
}

impl Sink for Meter {
    fn frame(&mut self, _: &Frame, event: &Event) {
        let figures = &*self.figures;
        figures.decode.observe(event.decode);
        self.tracker.follow(event, |region, view, state, news| {
            if !view.still {
                let times = &view.answer.times;
                figures.preprocess.observe(times.preprocess);
                figures.encode.observe(times.encode);
                figures.head.observe(times.head);
            }
            if news == News::Changed {
                figures.changes.fetch_add(1, Ordering::Relaxed);
            }
            if matches!(news, News::Changed | News::First) {
                let mut states = figures.states();
                states.resize_with(event.views.len(), State::default);
                states[region].clone_from(state);
            }
        });
        figures.dropped.store(self.tracker.dropped(event), Ordering::Relaxed);
        figures.classes.store(event.labels.iter().len() as u64, Ordering::Relaxed);
        if let Some(arrived) = event.arrived {
            figures.latency.observe(arrived.elapsed());
        }
    }
}
