//! What was learned, kept safe: a journal beside the asset, and two assets to switch between.
//!
//! [`Store`] holds an asset's head and changes it; every change is on the disk before it is
//! acknowledged, and a power cut at any byte leaves the state before or after it. [`Slots`] keeps two
//! assets, of which a new one is on trial until it has proved itself; [`PublicKey`] looks whether an
//! asset is signed. `docs/state.md` describes the files byte by byte and what survives what.

mod disk;
mod error;
mod journal;
mod load;
mod lock;
mod memo;
mod operation;
mod place;
mod rebase;
mod record;
mod replay;
mod results;
mod scan;
mod signature;
mod slots;
mod store;
mod thumbnails;

#[cfg(test)]
mod tests;

pub use error::StateError;
pub use lock::{FolderLock, Lock};
pub use results::{Forgotten, Learned, Moved, NewShot, Options, Undone};
pub use signature::PublicKey;
pub use slots::{Begun, Slot, Slots};
pub use store::Store;
