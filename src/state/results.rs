//! What a [`Store`](super::Store) takes and gives.

use crate::fit::Duplicate;

/// How much of what is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Operations in the journal from which on it is shortened.
    pub journal_records: usize,
    /// Bytes of the journal likewise.
    pub journal_bytes: u64,
    /// Operations that can be undone at least.
    pub undo: usize,
    /// Bytes of a shot's picture; larger ones are not kept.
    pub thumbnail_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { journal_records: 256, journal_bytes: 4 << 20, undo: 32, thumbnail_bytes: 64 << 10 }
    }
}

/// A shot to learn.
#[derive(Clone, Debug, PartialEq)]
pub struct NewShot {
    /// Its feature of [`Store::space`](super::Store::space), of unit norm.
    pub feature: Vec<f32>,
    /// Its name for people.
    pub name: String,
    /// A small picture of it, a JPEG.
    pub thumbnail: Option<Vec<u8>>,
}

/// What [`Store::learn`](super::Store::learn) did.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Ids of the new keys, in the order of the shots.
    pub keys: Vec<u64>,
    /// New shots that show nothing new.
    pub duplicates: Vec<Duplicate>,
    /// Whether the class was not there before.
    pub new_class: bool,
    /// Whether the head was trained with other shots and should be made again.
    pub stale: bool,
}

/// What [`Store::forget_key`](super::Store::forget_key) and [`Store::forget_class`](super::Store::forget_class) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Ids of the keys that went.
    pub keys: Vec<u64>,
    /// The class that went, if one did.
    pub class: Option<String>,
    /// Whether the head was trained with other shots and should be made again.
    pub stale: bool,
}

/// What [`Store::move_key`](super::Store::move_key) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whether the key's new class was not there before.
    pub new_class: bool,
    /// The class that went because it had nothing else, if one did.
    pub class: Option<String>,
    /// Whether the head was trained with other shots and should be made again.
    pub stale: bool,
}

/// What [`Store::undo`](super::Store::undo) took back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The operation in words, as `3 shots of "mug" learned`.
    pub what: String,
    /// How many more can be undone.
    pub left: usize,
}
