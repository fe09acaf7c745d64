//! Answers as lines of JSON or of a table.

use std::time::Duration;

use super::table::printable;
use crate::asset::{Asset, AssetError, Tag};
use crate::pipeline::{Answer, MAX_TOP, Times};
use crate::report::{self, Candidate, LINE_LEN, LineTooLong, Millis, Neighbour};

/// Nearest shots that an answer shows.
pub(super) const NEAREST: usize = 3;

/// Writes answers with the labels of an asset, into a buffer that is kept. Owns what it needs: the
/// output's thread may outlive the watch.
pub(super) struct Writer {
    labels: Labels,
    /// Letters of the longest label.
    width: usize,
    line: Vec<u8>,
}

struct Labels(Vec<String>);

/// What a line says beside the answer.
pub(super) struct About<'a> {
    pub(super) source: &'a str,
    pub(super) decode: Duration,
}

/// What a line of `watch` says beside the answer.
pub(super) struct AboutFrame {
    pub(super) number: u64,
    pub(super) since_start: Duration,
    pub(super) unix_ms: u64,
    pub(super) stable: Option<usize>,
    pub(super) dropped: u64,
}

type Top<'a> = heapless::Vec<Candidate<'a>, MAX_TOP>;
type Nearest<'a> = heapless::Vec<Neighbour<'a>, NEAREST>;

impl Labels {
    fn get(&self, class: Option<usize>) -> Option<&str> {
        self.0.get(class?).map(String::as_str)
    }

    /// The class of the answer, unless it is not to be believed.
    fn known(&self, answer: &Answer) -> Option<&str> {
        let decision = &answer.decision;
        self.get(decision.class).filter(|_| !decision.unknown)
    }

    fn top(&self, answer: &Answer) -> Top<'_> {
        let candidates = answer.top.iter().map(|scored| Candidate {
            label: self.get(Some(scored.class)).unwrap_or_default(),
            score: scored.score,
            zero_shot: scored.zero_shot,
            cache: scored.cache,
        });
        candidates.collect()
    }

    fn nearest(&self, answer: &Answer) -> Nearest<'_> {
        let neighbours = answer.nearest.iter().take(NEAREST).map(|near| Neighbour {
            key: near.id,
            label: self.get(Some(near.class as usize)).unwrap_or_default(),
            cosine: near.cosine,
        });
        neighbours.collect()
    }
}

impl Writer {
    pub(super) fn new(asset: &Asset<'_>) -> Result<Self, AssetError> {
        let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
        let labels: Vec<String> = labels.iter().map(str::to_owned).collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let width = width.max("unknown".len());
        Ok(Self { labels: Labels(labels), width, line: vec![0; LINE_LEN] })
    }

    /// The JSON line of `classify`.
    pub(super) fn json(&mut self, about: &About<'_>, answer: &Answer) -> Result<&str, LineTooLong> {
        let labels = &self.labels;
        let line = report::Answer {
            v: report::SCHEMA,
            source: about.source,
            label: labels.known(answer),
            score: answer.decision.score,
            unknown: answer.decision.unknown,
            top: &labels.top(answer),
            nearest: &labels.nearest(answer),
            ms: millis(about.decode, &answer.times),
            truncated: false,
        };
        report::write_line(&line, &mut self.line)
    }

    /// The JSON line of `watch`.
    pub(super) fn frame_json(
        &mut self,
        about: &About<'_>,
        frame: &AboutFrame,
        answer: &Answer,
    ) -> Result<&str, LineTooLong> {
        let labels = &self.labels;
        let line = report::FrameAnswer {
            v: report::SCHEMA,
            source: about.source,
            frame: frame.number,
            mono_ms: u64::try_from(frame.since_start.as_millis()).unwrap_or(u64::MAX),
            time: report::Timestamp::from_unix_ms(frame.unix_ms),
            raw: labels.known(answer),
            stable: labels.get(frame.stable),
            score: answer.decision.score,
            unknown: answer.decision.unknown,
            top: &labels.top(answer),
            nearest: &labels.nearest(answer),
            ms: millis(about.decode, &answer.times),
            dropped: frame.dropped,
            truncated: false,
        };
        report::write_line(&line, &mut self.line)
    }

    /// The line of `classify` for people.
    pub(super) fn table(&self, about: &About<'_>, answer: &Answer) -> String {
        let labels = &self.labels;
        let label = printable(labels.known(answer).unwrap_or("unknown"));
        let skip = usize::from(!answer.decision.unknown);
        let others: Vec<String> = answer
            .top
            .iter()
            .skip(skip)
            .filter(|scored| scored.score >= 0.001)
            .map(|scored| {
                let label = labels.get(Some(scored.class)).unwrap_or_default();
                format!("{} {}", printable(label), percent(scored.score))
            })
            .collect();
        let others = match (others.is_empty(), answer.decision.unknown) {
            (true, _) => String::new(),
            (false, false) => format!("   not {}", others.join(", ")),
            (false, true) => format!("   perhaps {}", others.join(", ")),
        };
        let score =
            if answer.decision.unknown { String::new() } else { percent(answer.decision.score) };
        let pad = " ".repeat(self.width.saturating_sub(label.chars().count()));
        format!("{label}{pad}  {score:>7}  {}{others}\n", printable(about.source))
    }

    /// The line of `watch` for people.
    pub(super) fn frame_table(
        &self,
        about: &About<'_>,
        frame: &AboutFrame,
        answer: &Answer,
    ) -> String {
        let labels = &self.labels;
        let stable = printable(labels.get(frame.stable).unwrap_or("-"));
        let pad = " ".repeat(self.width.saturating_sub(stable.chars().count()));
        let seconds = frame.since_start.as_secs_f32();
        let ms = (answer.times.preprocess + answer.times.encode + answer.times.head).as_secs_f32();
        format!(
            "{seconds:9.2} s  frame {:<6} {stable}{pad}  {:4.0} ms  {} dropped  {}",
            frame.number,
            ms * 1000.0,
            frame.dropped,
            self.table(about, answer)
        )
    }
}

fn percent(share: f32) -> String {
    format!("{:.1} %", share * 100.0)
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
