//! When an answer is believed, and when it counts as the state.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::values::{Invalid, parse_class_share, parse_cosine, parse_seconds, parse_share};
use crate::decide::{Agree, ClassRule, MAX_AGREE, Rules};
use crate::frame::MotionRules;
use crate::watch::Labels;

#[derive(Args)]
#[command(next_help_heading = "Decision")]
pub(super) struct Decision {
    /// Below this probability a frame is "unknown" [default: what the asset was calibrated to]
    #[arg(long, value_name = "P", value_parser = parse_share)]
    pub(super) unknown_score: Option<f32>,

    /// Below this similarity to the nearest shot a frame is "unknown" [default: what the asset was
    /// calibrated to]
    #[arg(long, value_name = "COSINE", value_parser = parse_cosine, allow_negative_numbers = true)]
    pub(super) unknown_cosine: Option<f32>,

    /// A frame is "unknown" when the next best answer is less than this behind
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = parse_share)]
    pub(super) margin: f32,

    /// A class that takes part and is never an answer, as "empty desk"; may be given several times
    #[arg(long, value_name = "CLASS")]
    negative: Vec<String>,

    /// The lowest probability for one class, in place of --unknown-score; may be given several times
    #[arg(long, value_name = "CLASS=P", value_parser = parse_class_share)]
    class_score: Vec<(String, f32)>,

    /// --enter for one class; may be given several times
    #[arg(long, value_name = "CLASS=P", value_parser = parse_class_share)]
    class_enter: Vec<(String, f32)>,

    /// Seconds over which the stable label is smoothed; 0 takes each frame alone
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = parse_seconds)]
    smoothing: f64,

    /// Smoothed probability at which a class becomes the stable label
    #[arg(long, value_name = "P", default_value_t = 0.6, value_parser = parse_share)]
    enter: f32,

    /// Smoothed probability below which the stable label goes
    #[arg(long, value_name = "P", default_value_t = 0.4, value_parser = parse_share)]
    leave: f32,

    /// How many of the newest frames must show a class before it becomes the stable label: 3 in a row,
    /// or 3/5
    #[arg(long, value_name = "K[/N]", default_value = "1", value_parser = parse_agree)]
    agree: Agree,

    /// Least seconds between two changes of the stable label
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = parse_seconds)]
    dwell: f64,

    /// Seconds for which the stable label must be below --leave before it goes
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = parse_seconds)]
    leave_after: f64,

    /// Skip frames without motion: levels of brightness (of 255) by which a part of the picture must
    /// change; 0 looks at every frame
    #[arg(long, value_name = "LEVELS", default_value_t = 0.0)]
    motion: f32,

    /// With --motion: the share by which the brightness of the whole picture must change
    #[arg(long, value_name = "SHARE", default_value_t = 0.15, value_parser = parse_share)]
    motion_light: f32,

    /// With --motion: seconds after which a frame is looked at although nothing moves
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = parse_seconds)]
    motion_max_still: f64,
}

impl Decision {
    pub(super) fn rules(&self) -> Result<Rules> {
        let rules = Rules {
            memory: Duration::from_secs_f64(self.smoothing),
            enter: self.enter,
            leave: self.leave,
            agree: self.agree,
            dwell: Duration::from_secs_f64(self.dwell),
            leave_after: Duration::from_secs_f64(self.leave_after),
        };
        rules.check()?;
        Ok(rules)
    }

    /// Rules of single classes.
    pub(super) fn classes(&self, rules: &Rules) -> Result<Vec<(String, ClassRule)>> {
        let mut classes: Vec<(String, ClassRule)> = Vec::new();
        let mut of = |label: &str, set: &dyn Fn(&mut ClassRule)| {
            let at = classes.iter().position(|(other, _)| other == label).unwrap_or_else(|| {
                classes.push((label.to_owned(), ClassRule::default()));
                classes.len() - 1
            });
            set(&mut classes[at].1);
        };
        for label in &self.negative {
            of(label, &|rule| rule.negative = true);
        }
        for (label, score) in &self.class_score {
            of(label, &|rule| rule.score = Some(*score));
        }
        for (label, enter) in &self.class_enter {
            of(label, &|rule| rule.enter = Some(*enter));
        }
        for (label, rule) in &classes {
            rule.check(rules).with_context(|| format!("--class-enter {label}"))?;
        }
        Ok(classes)
    }

    pub(super) fn motion(&self) -> Result<Option<MotionRules>> {
        if self.motion == 0.0 {
            return Ok(None);
        }
        let rules = MotionRules {
            change: self.motion,
            light: self.motion_light,
            max_still: Duration::from_secs_f64(self.motion_max_still),
        };
        rules.check()?;
        Ok(Some(rules))
    }

    /// Classes with rules of their own that the asset does not have: not an error, they may be taught
    /// later.
    pub(super) fn missing(&self, labels: &Labels) -> Vec<String> {
        let of_one = self.class_score.iter().chain(&self.class_enter).map(|(label, _)| label);
        let mut missing: Vec<_> = self.negative.iter().chain(of_one).cloned().collect();
        missing.retain(|label| labels.find(label).is_none());
        missing.dedup();
        missing
    }
}

fn parse_agree(text: &str) -> Result<Agree, Invalid> {
    let invalid = Invalid("write frames from 1 to 32, as 3, or as 3/5: three of the last five");
    let (k, n) = text.split_once('/').unwrap_or((text, text));
    let (Ok(k), Ok(n)) = (k.trim().parse(), n.trim().parse()) else { return Err(invalid) };
    if (1..=n).contains(&k) && n <= MAX_AGREE { Ok(Agree { k, n }) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_agree_are_written_as_one_number_or_two() {
        assert_eq!(parse_agree("3").unwrap(), Agree { k: 3, n: 3 });
        assert_eq!(parse_agree("3/5").unwrap(), Agree { k: 3, n: 5 });
        for bad in ["0", "5/3", "33", "1/33", "-1", "a", "3/"] {
            assert!(parse_agree(bad).is_err(), "{bad}");
        }
    }
}
