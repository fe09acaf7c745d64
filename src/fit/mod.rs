//! How heads are made from shots and text, changed, and measured.
//!
//! [`build`](build()) turns classes and shots into an asset's sections and chooses the head's
//! hyper-parameters by leave-one-out over the shots alone ([`search`]); [`learn`] and [`forget`]
//! change an asset; [`Evaluation`] measures one; [`features`] does all of it on cached features.
//! Everything is deterministic: results do not depend on the number of threads.

pub mod calibration;
pub mod features;
pub mod keys;
pub mod reference;
pub mod rows;
pub mod search;
pub mod text;

mod build;
mod edit;
mod error;
mod evaluate;
mod leave_one_out;

pub use build::{Built, ClassSpec, Recipe, Shot, build};
pub use edit::{Change, DUPLICATE, Duplicate, Forget, forget, learn};
pub use error::FitError;
pub use evaluate::{ClassScore, Evaluation, Summary};
pub use leave_one_out::Unknown;

/// Maps a unit-norm trunk feature into the space of the text, as the encoder does it: with both
/// centred and of unit norm.
pub type Project<'p> = dyn Fn(&[f32]) -> Vec<f32> + Sync + 'p;

#[cfg(test)]
mod tests;
