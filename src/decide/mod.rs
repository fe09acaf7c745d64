//! From probabilities to a state that people can act on.
//!
//! A [`Decision`] is the answer for one picture: a class, or "unknown" where nothing fits
//! ([`Thresholds`], [`ClassRule`]). A [`Stabilizer`] makes of many decisions the state of a stream: it
//! changes seldom, and each [`Change`] is an event ([`Rules`]). `docs/decision.md` says how to choose
//! the parameters.

mod error;
mod picture;
mod rules;
mod stabilizer;

pub use error::RuleError;
pub use picture::{ClassRule, Decision, Thresholds};
pub use rules::{Agree, MAX_AGREE, MAX_TIME, Rules};
pub use stabilizer::{Change, Settled, Stabilizer, Track};

#[cfg(test)]
mod tests;
