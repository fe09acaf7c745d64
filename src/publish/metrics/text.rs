use std::fmt::{Display, Write};

use super::histogram::{EDGES, Reading};

/// Writes Prometheus' text format. Writing to a `String` cannot fail.
#[derive(Default)]
pub(super) struct Text(String);

type Labels<'a> = [(&'a str, &'a str)];

impl Text {
    /// The head of a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// The samples of one histogram of a family.
    pub(super) fn histogram(&mut self, name: &str, labels: &Labels<'_>, reading: &Reading) {
        let edges = EDGES.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (edge, count) in edges.zip(reading.up_to) {
            let all: Vec<_> = labels.iter().copied().chain([("le", edge.as_str())]).collect();
            self.sample(&format!("{name}_bucket"), &all, count);
        }
        self.sample(&format!("{name}_sum"), labels, reading.seconds);
        self.sample(&format!("{name}_count"), labels, reading.up_to[EDGES.len()]);
    }

    pub(super) fn done(self) -> String {
        self.0
    }
}
