//! What an evaluation counts.

use serde::Serialize;
use serde_json::json;

use super::confusion::Confusion;
use crate::cli::table::Table;
use crate::report::SCHEMA;

/// Bins of the reliability table.
const BINS: usize = 10;

/// Confused pairs that the table shows.
const PAIRS: usize = 15;

/// Counts over the photographs of an evaluation.
pub(super) struct Tally {
    pub(super) confusion: Confusion,
    top5: Vec<u32>,
    bins: [Bin; BINS],
}

/// Photographs whose answer had a probability in one tenth.
#[derive(Clone, Copy, Default)]
struct Bin {
    count: u32,
    right: u32,
    score: f64,
}

/// The last line of an evaluation: a contract with users' scripts.
#[derive(Serialize)]
pub(super) struct Summary {
    pub(super) v: u8,
    pub(super) head: &'static str,
    /// Percent to 0.01, as `top5`.
    pub(super) top1: f64,
    pub(super) top5: f64,
    pub(super) n: u32,
    pub(super) classes: usize,
    /// Shots of each class: their mean where they differ.
    #[serde(serialize_with = "whole_if_possible")]
    pub(super) shots: f64,
    pub(super) alpha: f32,
    pub(super) beta: f32,
    /// Expected calibration error, 0 to 1.
    pub(super) ece: f64,
}

impl Tally {
    pub(super) fn new(labels: Vec<String>) -> Self {
        Self {
            top5: vec![0; labels.len()],
            confusion: Confusion::new(labels),
            bins: [Bin::default(); BINS],
        }
    }

    /// Counts one photograph of class `truth` and its answers, best first (five or more of them).
    pub(super) fn add(&mut self, truth: usize, answers: &[usize], score: f32) {
        let Some(&answer) = answers.first() else { return };
        self.confusion.add(truth, answer);
        self.top5[truth] += u32::from(answers.iter().take(5).any(|&class| class == truth));
        // a probability of 1 belongs to the last bin
        let bin = ((f64::from(score) * BINS as f64) as usize).min(BINS - 1);
        let bin = &mut self.bins[bin];
        bin.count += 1;
        bin.right += u32::from(answer == truth);
        bin.score += f64::from(score);
    }

    pub(super) fn n(&self) -> u32 {
        self.confusion.total()
    }

    pub(super) fn top1(&self) -> f64 {
        percent(self.confusion.right(), self.n())
    }

    pub(super) fn top5(&self) -> f64 {
        percent(self.top5.iter().sum(), self.n())
    }

    /// Expected calibration error (Guo et al. 2017): the mean distance between probability and
    /// accuracy over ten bins of equal width, each weighted by its photographs.
    pub(super) fn ece(&self) -> f64 {
        let n = f64::from(self.n().max(1));
        let gap = |bin: &Bin| (f64::from(bin.right) - bin.score).abs();
        let ece = self.bins.iter().map(gap).sum::<f64>() / n;
        (ece * 1e4).round() / 1e4
    }

    /// A line for each class, each confused pair and each bin of probabilities.
    pub(super) fn json_lines(&self) -> Vec<String> {
        let labels = self.confusion.labels();
        let classes = labels.iter().enumerate().map(|(class, label)| {
            let n = self.confusion.row_sum(class);
            json!({"v": SCHEMA, "class": label, "n": n,
                   "top1": percent(self.confusion.count(class, class), n),
                   "top5": percent(self.top5[class], n)})
        });
        let pairs = self.confusion.pairs().into_iter().map(|pair| {
            json!({"v": SCHEMA, "class": labels[pair.truth], "taken_for": labels[pair.answer],
                   "n": pair.count, "of": self.confusion.row_sum(pair.truth)})
        });
        let bins = self.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0).map(|(i, bin)| {
            let bound = |i: usize| i as f64 / BINS as f64;
            json!({"v": SCHEMA, "score_from": bound(i), "score_to": bound(i + 1), "n": bin.count,
                   "score": round4(bin.score / f64::from(bin.count)),
                   "top1": percent(bin.right, bin.count)})
        });
        classes.chain(pairs).chain(bins).map(|line| format!("{line}\n")).collect()
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let labels = self.confusion.labels();
        let mut classes = Table::new(&[1, 2, 3, 4]);
        classes.row(["class", "photographs", "top-1 %", "top-5 %", "wrongly answered"]);
        for (class, label) in labels.iter().enumerate() {
            let (n, right) = (self.confusion.row_sum(class), self.confusion.count(class, class));
            classes.row([
                label,
                &n.to_string(),
                &format!("{:.1}", percent(right, n)),
                &format!("{:.1}", percent(self.top5[class], n)),
                &(self.confusion.column_sum(class) - right).to_string(),
            ]);
        }
        let mut bins = Table::new(&[1, 2, 3]);
        bins.row(["probability", "photographs", "said %", "right %"]);
        for (i, bin) in self.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            let mean = 100.0 * bin.score / f64::from(bin.count);
            bins.row([
                &*format!("{} to {} %", i * 100 / BINS, (i + 1) * 100 / BINS),
                &bin.count.to_string(),
                &format!("{mean:.1}"),
                &format!("{:.1}", percent(bin.right, bin.count)),
            ]);
        }
        format!("{}\n{}\n{}\n", classes.text(), self.confusion.text(PAIRS), bins.text())
    }
}

impl Summary {
    pub(super) fn text(&self) -> String {
        format!(
            "{:.2} % top-1, {:.2} % top-5 of {} photographs, {} classes, {} shots\n\
             head {}, alpha {}, beta {}; expected calibration error {:.4}\n",
            self.top1,
            self.top5,
            self.n,
            self.classes,
            self.shots,
            self.head,
            self.alpha,
            self.beta,
            self.ece
        )
    }
}

/// Percent to 0.01; 0 of nothing.
fn percent(part: u32, of: u32) -> f64 {
    if of == 0 { 0.0 } else { (f64::from(part) * 1e4 / f64::from(of)).round() / 100.0 }
}

/// 16 rather than 16.0, but 12.5.
// serde's attribute hands over a reference
#[allow(clippy::trivially_copy_pass_by_ref)]
fn whole_if_possible<S: serde::Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 { to.serialize_u64(*value as u64) } else { to.serialize_f64(*value) }
}

fn round4(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::new((0..7).map(|c| format!("c{c}")).collect());
        tally.add(0, &[0, 1, 2, 3, 4], 1.0);
        tally.add(0, &[1, 2, 3, 4, 0], 0.95);
        tally.add(1, &[2, 3, 4, 5, 6, 1], 0.35);
        tally
    }

    #[test]
    fn accuracies_are_percent_to_two_digits() {
        let tally = tally();
        assert_eq!((tally.n(), tally.top1(), tally.top5()), (3, 33.33, 66.67));
    }

    #[test]
    fn the_calibration_error_is_that_of_its_definition() {
        // bin 0.9..1.0: 2 photographs, said 0.975, right 0.5; bin 0.3..0.4: 1, said 0.35, right 0
        let expected: f64 = (2.0 * (0.975 - 0.5) + 0.35) / 3.0;
        assert!((tally().ece() - expected).abs() < 1e-4);
    }

    #[test]
    fn every_line_is_one_json_object() {
        let lines = tally().json_lines();
        assert_eq!(lines.len(), 7 + 2 + 2, "classes, pairs, bins");
        for line in &lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["v"], SCHEMA);
            assert_eq!(line.matches('\n').count(), 1);
        }
    }

    #[test]
    fn the_summary_has_exactly_the_fields_of_the_contract() {
        let mut summary = Summary {
            v: SCHEMA,
            head: "tip",
            top1: 90.5,
            top5: 99.01,
            n: 2465,
            classes: 100,
            shots: 16.0,
            alpha: 1.17,
            beta: 5.5,
            ece: 0.0123,
        };
        let expected = r#"{"v":1,"head":"tip","top1":90.5,"top5":99.01,"n":2465,"classes":100,"shots":16,"alpha":1.17,"beta":5.5,"ece":0.0123}"#;
        assert_eq!(serde_json::to_string(&summary).unwrap(), expected);
        summary.shots = 15.5;
        assert!(serde_json::to_string(&summary).unwrap().contains(r#""shots":15.5,"#));
    }

    #[test]
    fn nothing_evaluated_is_no_division_by_zero() {
        let tally = Tally::new(vec!["a".into()]);
        assert_eq!((tally.top1(), tally.ece()), (0.0, 0.0));
    }
}
