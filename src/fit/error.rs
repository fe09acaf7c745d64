use crate::asset::AssetError;
use crate::head::HeadError;

/// Why a head cannot be made, changed or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The asset lacks a section, is damaged, or a limit is exceeded.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// The head refused a feature or cannot be made.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// There is nothing to recognise.
    #[error("there are no classes: name some, or give folders with photographs")]
    NoClasses,
    /// A class has neither text nor shots.
    #[error(
        "class \"{0}\" has no photographs and its name is not in the text vocabulary: give it \
         photographs, or name it by a common word"
    )]
    EmptyClass(String),
    /// Two classes have one name.
    #[error("class \"{0}\" is named twice: give every class its own label")]
    DuplicateClass(String),
    /// A shot belongs to a class that is not in the list.
    #[error("shot {shot} belongs to class number {class}, there are {classes} classes")]
    ClassOutOfRange {
        /// The shot's name.
        shot: String,
        /// The class that it names.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A feature cannot be compared with others.
    #[error(
        "the feature of {shot} {problem}: the picture gave the encoder nothing to see, or another \
         encoder made it; leave it out"
    )]
    Feature {
        /// The shot's name.
        shot: String,
        /// What is wrong.
        problem: String,
    },
    /// The text of a class has another length than that of the others.
    #[error("the text vector of class \"{class}\" has {found} values instead of {expected}")]
    TextLength {
        /// The class.
        class: String,
        /// Values of the other classes.
        expected: usize,
        /// Values of this one.
        found: usize,
    },
    /// Nothing in the asset has that name.
    #[error("the asset has no class \"{0}\": `tipcam inspect` lists its classes")]
    UnknownClass(String),
    /// Nothing in the asset has that number.
    #[error("the asset has no key {0}: `tipcam classify` names the nearest keys of a picture")]
    UnknownKey(u64),
    /// Nothing would be left.
    #[error("class \"{0}\" is the last one: an asset without classes recognises nothing")]
    LastClass(String),
    /// Too few shots can be held out to compare heads.
    #[error(
        "heads cannot be compared on {held} held-out shots: it takes {needed}, from classes with two \
         shots or more; add shots, or choose with --head"
    )]
    TooFewShots {
        /// Shots that can be held out.
        held: usize,
        /// Shots that it takes.
        needed: usize,
    },
    /// Too few validation photographs.
    #[error(
        "hyper-parameters cannot be chosen on {found} validation photographs: it takes {needed}"
    )]
    TooFewPictures {
        /// Photographs that there are.
        found: usize,
        /// Photographs that it takes.
        needed: usize,
    },
    /// A file of cached features cannot be used.
    #[error("{path}: {problem}")]
    FeatureFile {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
}
