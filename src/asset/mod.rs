//! The asset: one file with the encoder, the text weights, the cache of shots and all that belongs
//! to them, used in place from a memory map, a linked static or any other bytes.
//!
//! [`Container`] finds the sections, [`Asset`] gives a typed view of each; both copy nothing and
//! take microseconds. An encoder alone, a cache alone and a complete asset are the same kind of
//! file with fewer or more sections. `docs/asset-format.md` describes every byte.

pub mod encoder;
pub mod format;
pub mod limits;

mod adapter;
mod bank;
mod cache;
mod cache_mut;
mod calibration;
mod container;
mod encoder_id;
mod error;
mod fields;
mod head_params;
mod key_names;
mod labels;
mod linear;
mod linked;
mod meta;
mod metrics;
mod panels;
mod preprocess;
mod prompts;
mod provenance;
mod strings;
mod tag;
mod text_weights;
mod vocabulary;
mod whole;

#[cfg(feature = "std")]
mod aligned;
#[cfg(feature = "std")]
mod builder;
#[cfg(feature = "std")]
mod cache_build;
#[cfg(feature = "std")]
mod file;
#[cfg(feature = "std")]
mod inspect;
#[cfg(feature = "std")]
mod write;

#[cfg(all(test, feature = "std"))]
mod tests;

pub use adapter::{Adapter, Branch};
pub use bank::Bank;
pub use cache::{Cache, Space};
pub use cache_mut::{CacheMut, Key};
pub use calibration::Calibration;
pub use container::{BASE_ALIGN, Container};
pub use encoder_id::EncoderId;
pub use error::AssetError;
pub use head_params::{HeadKind, HeadParams};
pub use key_names::KeyNames;
pub use labels::Labels;
pub use linear::Linear;
pub use linked::linked;
pub use meta::Meta;
pub use metrics::Metrics;
pub use preprocess::{Preprocess, ResizeMode};
pub use prompts::Prompts;
pub use provenance::Provenance;
pub use strings::StringTable;
pub use tag::Tag;
pub use text_weights::{RowKind, TextWeights};
pub use vocabulary::Vocabulary;
pub use whole::{Asset, Class};

#[cfg(feature = "std")]
pub use aligned::AlignedBytes;
#[cfg(feature = "std")]
pub use builder::Builder;
#[cfg(feature = "std")]
pub use cache_build::CacheBuilder;
#[cfg(feature = "std")]
pub use file::{AssetFile, FileError};
#[cfg(feature = "std")]
pub use inspect::{
    CacheDescription, ClassDescription, Description, SectionDescription, TextDescription,
};
#[cfg(feature = "std")]
pub use write::atomic as write_atomic;
