use core::fmt;
use core::time::Duration;

use super::rules::MAX_AGREE;

/// Why thresholds or rules cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RuleError {
    /// A number is outside of what it can mean, or not a number.
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        found: f32,
        /// The least that it can be.
        least: f32,
        /// The most that it can be.
        most: f32,
    },
    /// A time is longer than anybody waits.
    TooLong {
        /// The field.
        field: &'static str,
        /// Its value.
        found: Duration,
        /// The longest that it can be.
        most: Duration,
    },
    /// A class would go as soon as it came.
    LeaveAboveEnter {
        /// `enter` of the rules or of a class.
        enter: f32,
        /// `leave` of the rules.
        leave: f32,
    },
    /// `agree` asks for what cannot happen.
    Agree {
        /// Pictures that must agree.
        k: u8,
        /// Pictures that are looked at.
        n: u8,
    },
}

/// Refuses what is not between `least` and `most`, and what is not a number.
pub(super) fn range(
    field: &'static str,
    found: f32,
    least: f32,
    most: f32,
) -> Result<(), RuleError> {
    match (least..=most).contains(&found) {
        true => Ok(()),
        false => Err(RuleError::Range { field, found, least, most }),
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Range { field, found, least, most } => {
                write!(f, "{field} is {found}; write a number from {least} to {most}")
            }
            Self::TooLong { field, found, most } => write!(
                f,
                "{field} is {} seconds, the longest is {}; times are in seconds, write a shorter one",
                found.as_secs_f32(),
                most.as_secs_f32()
            ),
            Self::LeaveAboveEnter { enter, leave } => write!(
                f,
                "leave {leave} is above enter {enter}: a class would go as soon as it came; lower \
                 leave or raise enter"
            ),
            Self::Agree { k, n } => write!(
                f,
                "agree is {k} of {n} pictures; write k of n with k from 1 to n and n at most \
                 {MAX_AGREE}"
            ),
        }
    }
}

impl core::error::Error for RuleError {}
