//! How heads are made from shots and text, changed, and measured.
//!
//! [`build`](build()) turns classes and shots into an asset's sections and chooses the head's
//! hyper-parameters by leave-one-out over the shots alone ([`search`]); [`learn`] and [`forget`]
//! change an asset; [`Evaluation`] measures one; [`features`] does all of it on cached features.
//! Everything is deterministic: results do not depend on the number of threads.

pub mod advice;
pub mod calibration;
pub mod features;
pub mod folds;
pub mod heads;
pub mod keys;
pub mod matrix;
pub mod reference;
pub mod rows;
pub mod search;
pub mod text;
pub mod train;
pub mod unknown;

mod build;
mod draft;
mod edit;
mod error;
mod evaluate;
mod leave_one_out;
mod projector;
mod recipe;
mod refit;
mod review;
mod sections;
mod text_file;

pub use build::{Built, build, compare};
pub use draft::{Draft, Forgotten, Learned, Moved};
pub use edit::{Change, DUPLICATE, Duplicate, Forget, forget, learn};
pub use error::FitError;
pub use evaluate::{ClassScore, Evaluation, Summary};
pub use projector::{
    AssetProjector, OwnedProjector, ProjectionWeights, Projector, owned_projector, projector,
};
pub use recipe::{ClassSpec, Method, Recipe, Shot};
pub use refit::{Ingredients, refit, refit_pays};
pub use review::{Review, review};
pub use text_file::TextFile;
pub use unknown::Unknown;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_heads;
