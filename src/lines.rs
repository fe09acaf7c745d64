//! Answers as JSON lines (the schema is in [`report`]), written into a buffer that is kept.

use std::time::Duration;

use crate::pipeline::{Answer, MAX_TOP, Times};
use crate::report::{self, Candidate, LINE_LEN, LineTooLong, Millis, Neighbour};
use crate::watch::{Event, Labels, View};

/// Nearest shots that a line shows.
pub const NEAREST: usize = 3;

/// Writes lines.
pub struct Lines {
    line: Vec<u8>,
}

type Top<'a> = heapless::Vec<Candidate<'a>, MAX_TOP>;
type Nearest<'a> = heapless::Vec<Neighbour<'a>, NEAREST>;

impl Lines {
    /// A writer with an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self { line: vec![0; LINE_LEN] }
    }

    /// The line for one picture, which took `decode` to read.
    ///
    /// # Errors
    /// The line is longer than [`LINE_LEN`].
    pub fn answer(
        &mut self,
        source: &str,
        decode: Duration,
        labels: &Labels,
        answer: &Answer,
    ) -> Result<&str, LineTooLong> {
        let line = report::Answer {
            v: report::SCHEMA,
            source,
            label: known(labels, answer),
            score: answer.decision.score,
            unknown: answer.decision.unknown,
            top: &top(labels, answer),
            nearest: &nearest(labels, answer),
            ms: millis(decode, &answer.times),
            truncated: false,
        };
        report::write_line(&line, &mut self.line)
    }

    /// The line for one view of a frame; `dropped` counts the frames that got none so far.
    ///
    /// # Errors
    /// The line is longer than [`LINE_LEN`].
    pub fn frame(&mut self, event: &Event, view: &View, dropped: u64) -> Result<&str, LineTooLong> {
        let (labels, answer) = (&*event.labels, &view.answer);
        let line = report::FrameAnswer {
            v: report::SCHEMA,
            source: &event.source,
            frame: event.number,
            mono_ms: u64::try_from(event.since_start.as_millis()).unwrap_or(u64::MAX),
            time: report::Timestamp::from_unix_ms(event.unix_ms),
            raw: known(labels, answer),
            stable: labels.get(view.stable.class).map(|label| &**label),
            score: answer.decision.score,
            unknown: answer.decision.unknown,
            top: &top(labels, answer),
            nearest: &nearest(labels, answer),
            ms: millis(event.decode, &answer.times),
            dropped,
            region: view.region.as_deref(),
            changed: view.changed_from.is_some(),
            still: view.still,
            truncated: false,
        };
        report::write_line(&line, &mut self.line)
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

/// The name of the answer's class, unless it is not to be believed.
#[must_use]
pub fn known<'a>(labels: &'a Labels, answer: &Answer) -> Option<&'a str> {
    let decision = &answer.decision;
    labels.get(decision.class).filter(|_| !decision.unknown).map(|label| &**label)
}

fn name(labels: &Labels, class: usize) -> &str {
    labels.get(Some(class)).map_or("", |label| label)
}

fn top<'a>(labels: &'a Labels, answer: &Answer) -> Top<'a> {
    let candidates = answer.top.iter().map(|scored| Candidate {
        label: name(labels, scored.class),
        score: scored.score,
        zero_shot: scored.zero_shot,
        cache: scored.cache,
    });
    candidates.collect()
}

fn nearest<'a>(labels: &'a Labels, answer: &Answer) -> Nearest<'a> {
    let neighbours = answer.nearest.iter().take(NEAREST).map(|near| Neighbour {
        key: near.id,
        label: name(labels, near.class as usize),
        cosine: near.cosine,
    });
    neighbours.collect()
}

fn millis(decode: Duration, times: &Times) -> Millis {
    let ms = |time: Duration| time.as_secs_f32() * 1000.0;
    Millis {
        decode: ms(decode),
        preprocess: ms(times.preprocess),
        encode: ms(times.encode),
        head: ms(times.head),
    }
}
