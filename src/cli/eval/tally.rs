//! What an evaluation counts.

use serde::Serialize;
use serde_json::json;

use super::confusion::Confusion;
use crate::asset::HeadParams;
use crate::cli::table::Table;
use crate::fit::Evaluation;
use crate::fit::calibration::BINS;
use crate::report::SCHEMA;

/// Confused pairs that the table shows.
const PAIRS: usize = 15;

/// Counts over the photographs of an evaluation.
pub(super) struct Tally {
    labels: Vec<String>,
    evaluation: Evaluation,
    bins: [Bin; BINS],
}

/// Photographs whose answer had a probability in one range.
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
    pub(super) n: usize,
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
        let evaluation = Evaluation::new(labels.len());
        Self { labels, evaluation, bins: [Bin::default(); BINS] }
    }

    /// An evaluation that was made elsewhere, with the answer's probability and whether it was
    /// right for each picture.
    pub(super) fn of(
        labels: Vec<String>,
        evaluation: Evaluation,
        answers: impl Iterator<Item = (f32, bool)>,
    ) -> Self {
        let mut tally = Self { labels, evaluation, bins: [Bin::default(); BINS] };
        answers.for_each(|(score, right)| tally.bin(score, right));
        tally
    }

    /// Counts one photograph of class `truth`.
    pub(super) fn add(&mut self, truth: usize, probabilities: &[f32]) {
        if let Some(answer) = self.evaluation.push(truth, probabilities) {
            self.bin(probabilities[answer], answer == truth);
        }
    }

    fn bin(&mut self, score: f32, right: bool) {
        // open below and closed above, as the expected calibration error has them
        let bin = (f64::from(score) * BINS as f64).ceil() as usize;
        let bin = &mut self.bins[bin.clamp(1, BINS) - 1];
        bin.count += 1;
        bin.right += u32::from(right);
        bin.score += f64::from(score);
    }

    pub(super) fn confusion(&self) -> Confusion {
        Confusion::new(self.labels.clone(), &self.evaluation)
    }

    /// Photographs counted.
    pub(super) fn n(&self) -> usize {
        self.evaluation.summary().n
    }

    /// The last line; `shots` of each class, their mean where they differ.
    pub(super) fn summary(&self, params: &HeadParams, shots: f64) -> Summary {
        let figures = self.evaluation.summary();
        Summary {
            v: SCHEMA,
            head: params.kind.name(),
            top1: round(figures.top1, 100.0),
            top5: round(figures.top5, 100.0),
            n: figures.n,
            classes: self.labels.len(),
            shots: round(shots, 100.0),
            alpha: params.alpha,
            beta: params.beta,
            ece: round(figures.ece, 1e4),
        }
    }

    /// A line for each class, each confused pair and each bin of probabilities.
    pub(super) fn json_lines(&self) -> Vec<String> {
        let (labels, confusion) = (&self.labels, self.confusion());
        let scores = self.evaluation.per_class();
        let classes = labels.iter().zip(scores).filter(|(_, s)| s.n > 0).map(|(label, score)| {
            json!({"v": SCHEMA, "class": label, "n": score.n,
                   "top1": percent(score.right, score.n),
                   "wrongly_answered": score.answered - score.right})
        });
        let pairs = confusion.pairs().into_iter().map(|pair| {
            json!({"v": SCHEMA, "class": labels[pair.truth], "taken_for": labels[pair.answer],
                   "n": pair.count, "of": confusion.row_sum(pair.truth)})
        });
        let bins = self.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0).map(|(i, bin)| {
            let bound = |i: usize| round(i as f64 / BINS as f64, 1e4);
            json!({"v": SCHEMA, "score_from": bound(i), "score_to": bound(i + 1), "n": bin.count,
                   "score": round(bin.score / f64::from(bin.count), 1e4),
                   "top1": percent(bin.right, bin.count)})
        });
        classes.chain(pairs).chain(bins).map(|line| format!("{line}\n")).collect()
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let mut classes = Table::new(&[1, 2, 3]);
        classes.row(["class", "photographs", "top-1 %", "wrongly answered"]);
        let scores = self.evaluation.per_class();
        for (label, score) in self.labels.iter().zip(scores).filter(|(_, s)| s.n > 0) {
            classes.row([
                label,
                &score.n.to_string(),
                &format!("{:.1}", percent(score.right, score.n)),
                &(score.answered - score.right).to_string(),
            ]);
        }
        let mut bins = Table::new(&[1, 2, 3]);
        bins.row(["probability", "photographs", "said %", "right %"]);
        let bound = |i: usize| 100.0 * i as f64 / BINS as f64;
        for (i, bin) in self.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            let mean = 100.0 * bin.score / f64::from(bin.count);
            bins.row([
                &*format!("{:.0} to {:.0} %", bound(i), bound(i + 1)),
                &bin.count.to_string(),
                &format!("{mean:.1}"),
                &format!("{:.1}", percent(bin.right, bin.count)),
            ]);
        }
        let confusion = self.confusion().text(PAIRS);
        format!("{}\n{confusion}\n{}\n", classes.text(), bins.text())
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
    if of == 0 { 0.0 } else { round(100.0 * f64::from(part) / f64::from(of), 100.0) }
}

/// 16 rather than 16.0, but 12.5.
// serde's attribute hands over a reference
#[allow(clippy::trivially_copy_pass_by_ref)]
fn whole_if_possible<S: serde::Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 { to.serialize_u64(*value as u64) } else { to.serialize_f64(*value) }
}

/// To a multiple of 1 / `steps`.
fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::HeadKind;

    fn tally() -> Tally {
        let mut tally = Tally::new((0..7).map(|c| format!("c{c}")).collect());
        tally.add(0, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        tally.add(0, &[0.05, 0.95, 0.0, 0.0, 0.0, 0.0, 0.0]);
        tally.add(1, &[0.15, 0.05, 0.35, 0.12, 0.11, 0.12, 0.1]);
        tally
    }

    #[test]
    fn every_line_is_one_json_object() {
        let lines = tally().json_lines();
        assert_eq!(lines.len(), 2 + 2 + 2, "classes, pairs, bins");
        for line in &lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["v"], SCHEMA);
            assert_eq!(line.matches('\n').count(), 1);
        }
        assert_eq!(
            lines[0],
            "{\"v\":1,\"class\":\"c0\",\"n\":2,\"top1\":50.0,\"wrongly_answered\":0}\n"
        );
    }

    #[test]
    fn the_ranges_of_probability_give_the_calibration_error() {
        let tally = tally();
        let gaps = tally.bins.iter().map(|bin| (f64::from(bin.right) - bin.score).abs());
        let ece = gaps.sum::<f64>() / tally.n() as f64;
        assert!((ece - tally.evaluation.summary().ece).abs() < 1e-9);
        assert!((ece - (2.0 * (0.975 - 0.5) + 0.35) / 3.0).abs() < 1e-6);
    }

    #[test]
    fn accuracies_are_percent_to_two_digits() {
        let params = HeadParams {
            kind: HeadKind::Tip,
            logit_scale: 100.0,
            alpha: 1.17,
            beta: 5.5,
            reference_shots: 16.0,
            text_gain: 0.0,
            row_gain: 0.0,
            gamma: 0.0,
        };
        let summary = tally().summary(&params, 15.999);
        assert_eq!((summary.n, summary.top1, summary.top5), (3, 33.33, 66.67));
        assert_eq!(summary.shots, 16.0);
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
}
