//! Answers as lines of a table.

use super::table::printable;
use crate::lines::known;
use crate::pipeline::Answer;
use crate::watch::{Event, Labels, View};

/// The line of `classify` for people.
pub(super) fn picture(source: &str, labels: &Labels, answer: &Answer) -> String {
    let label = printable(known(labels, answer).unwrap_or("unknown"));
    let skip = usize::from(!answer.decision.unknown);
    let others: Vec<String> = answer
        .top
        .iter()
        .skip(skip)
        .filter(|scored| scored.score >= 0.001)
        .map(|scored| {
            let label = labels.get(Some(scored.class)).map_or("", |label| label);
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
    let pad = pad(labels, &label);
    format!("{label}{pad}  {score:>7}  {}{others}\n", printable(source))
}

/// The line of `watch` for people.
pub(super) fn frame(event: &Event, view: &View, dropped: u64) -> String {
    let labels = &event.labels;
    let stable = printable(labels.get(view.stable.class).map_or("-", |label| label));
    let pad = pad(labels, &stable);
    let seconds = event.since_start.as_secs_f32();
    let times = &view.answer.times;
    let ms = if view.still {
        "still".to_owned()
    } else {
        format!("{:2.0} ms", (times.preprocess + times.encode + times.head).as_secs_f32() * 1000.0)
    };
    let region =
        view.region.as_deref().map_or(String::new(), |name| format!("{}  ", printable(name)));
    format!(
        "{seconds:9.2} s  frame {:<6} {region}{stable}{pad}  {ms:>5}  {dropped} dropped  {}",
        event.number,
        picture(&event.source, labels, &view.answer)
    )
}

/// What `label` lacks to be as wide as the widest one.
fn pad(labels: &Labels, label: &str) -> String {
    let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    " ".repeat(widest.max("unknown".len()).saturating_sub(label.chars().count()))
}

fn percent(share: f32) -> String {
    format!("{:.1} %", share * 100.0)
}
