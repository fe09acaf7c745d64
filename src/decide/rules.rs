use core::time::Duration;

use super::RuleError;
use super::error::range;

/// Pictures that [`Agree`] looks back at most.
pub const MAX_AGREE: u8 = 32;

/// The longest time of a rule: more is a slip of the unit.
pub const MAX_TIME: Duration = Duration::from_secs(3600);

/// How many of the newest pictures must show a class before it becomes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agree {
    /// Pictures that must show it; from 1 to `n`.
    pub k: u8,
    /// Pictures that are looked at, the newest included; at most [`MAX_AGREE`].
    pub n: u8,
}

impl Agree {
    /// `n` pictures in a row.
    #[must_use]
    pub const fn in_a_row(n: u8) -> Self {
        Self { k: n, n }
    }
}

/// How calm a stream's state is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Time in which a picture's weight falls to 1/e; zero looks at each picture alone.
    pub memory: Duration,
    /// A class can become the state when its smoothed probability reaches this.
    pub enter: f32,
    /// The state can go when its smoothed probability falls below this; at most `enter`, 0 never.
    pub leave: f32,
    /// How many pictures must show a class before it becomes the state.
    pub agree: Agree,
    /// The least time between two changes.
    pub dwell: Duration,
    /// How long the state must be below `leave`, without a break, before it goes and nothing comes in
    /// its place.
    pub leave_after: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            memory: Duration::from_millis(500),
            enter: 0.6,
            leave: 0.4,
            agree: Agree::in_a_row(1),
            dwell: Duration::ZERO,
            leave_after: Duration::ZERO,
        }
    }
}

impl Rules {
    /// Refuses rules that mean nothing or contradict each other.
    ///
    /// # Errors
    /// Which field it is and what to write instead.
    pub fn check(&self) -> Result<(), RuleError> {
        let &Self { memory, enter, leave, agree: Agree { k, n }, dwell, leave_after } = self;
        range("enter", enter, 0.0, 1.0)?;
        range("leave", leave, 0.0, 1.0)?;
        if leave > enter {
            return Err(RuleError::LeaveAboveEnter { enter, leave });
        }
        if k == 0 || k > n || n > MAX_AGREE {
            return Err(RuleError::Agree { k, n });
        }
        let times = [("memory", memory), ("dwell", dwell), ("leave_after", leave_after)];
        match times.into_iter().find(|&(_, time)| time > MAX_TIME) {
            Some((field, found)) => Err(RuleError::TooLong { field, found, most: MAX_TIME }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    /// What is said of the default rules after `change`.
    fn said(change: impl FnOnce(&mut Rules)) -> std::string::String {
        let mut rules = Rules::default();
        change(&mut rules);
        rules.check().expect_err("rules that cannot be used").to_string()
    }

    #[test]
    fn the_default_rules_and_their_edges_are_usable() {
        let rules = Rules::default();
        assert_eq!(rules.check(), Ok(()));
        let edge = Rules { enter: 1.0, leave: 1.0, agree: Agree::in_a_row(32), ..rules };
        assert_eq!(edge.check(), Ok(()));
        let edge = Rules { enter: 0.0, leave: 0.0, dwell: MAX_TIME, ..rules };
        assert_eq!(edge.check(), Ok(()));
    }

    #[test]
    fn what_is_refused_is_named_with_its_remedy() {
        assert_eq!(said(|r| r.enter = 60.0), "enter is 60; write a number from 0 to 1");
        assert!(said(|r| r.leave = f32::NAN).starts_with("leave is NaN; write"));
        assert!(said(|r| r.leave = 0.7).contains("leave 0.7 is above enter 0.6"));
        let slip = said(|r| r.dwell = Duration::from_secs(5000));
        assert!(slip.starts_with("dwell is 5000 seconds, the longest is 3600;"), "{slip}");
        assert!(said(|r| r.memory = Duration::MAX).starts_with("memory"));
        assert!(said(|r| r.leave_after = Duration::MAX).starts_with("leave_after"));
        for (k, n) in [(0, 1), (0, 0), (3, 2), (1, 33)] {
            let text = said(|r| r.agree = Agree { k, n });
            assert!(text.starts_with("agree is") && text.contains("at most 32"), "{text}");
        }
    }
}
