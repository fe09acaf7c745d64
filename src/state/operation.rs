use std::fmt;

/// A change of the head, as people make it and the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    /// Shots of a class, which may be new.
    Learn {
        /// The least id that the new keys may have.
        first_id: u64,
        label: String,
        /// Features and names.
        shots: Vec<(Vec<f32>, String)>,
    },
    ForgetKey(u64),
    ForgetClass(String),
    /// A key gets another class, which may be new.
    Move {
        id: u64,
        label: String,
    },
    Rename {
        label: String,
        new: String,
    },
}

/// For people, to read behind "undone: ".
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learn { label, shots, .. } => match shots.len() {
                0 => write!(f, "class \"{label}\" learned by its name"),
                1 => write!(f, "1 shot of \"{label}\" learned"),
                count => write!(f, "{count} shots of \"{label}\" learned"),
            },
            Self::ForgetKey(id) => write!(f, "shot {id} forgotten"),
            Self::ForgetClass(label) => write!(f, "class \"{label}\" forgotten"),
            Self::Move { id, label } => write!(f, "shot {id} moved to \"{label}\""),
            Self::Rename { label, new } => write!(f, "class \"{label}\" renamed to \"{new}\""),
        }
    }
}

/// An operation with its number in the order of all that ever were; an undone one leaves a gap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) operation: Operation,
}

/// What a record of the journal holds; a borrowed operation to write it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry<O = Operation> {
    Do(O),
    /// Takes back the operation of this number.
    Undo(u64),
}
