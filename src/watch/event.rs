use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::asset::{Asset, AssetError, Tag};
use crate::decide::Settled;
use crate::frame::Frame;
use crate::pipeline::Answer;

/// The names of an asset's classes. They outlive it: an answer may still be on its way to a reader
/// when a class is taught or forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Arc<str>>);

impl Labels {
    /// Of an asset.
    ///
    /// # Errors
    /// The asset has no labels.
    pub fn new(asset: &Asset<'_>) -> Result<Self, AssetError> {
        let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
        Ok(labels.iter().collect())
    }

    /// The name of a class.
    #[must_use]
    pub fn get(&self, class: Option<usize>) -> Option<&Arc<str>> {
        self.0.get(class?)
    }

    /// The class of a name.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|other| **other == *label)
    }

    /// Where each class is among the classes that come after: the one of its name, or the one in its place
    /// where nothing but its name was changed.
    pub fn moves_to<'l>(&'l self, after: &'l Self) -> impl Iterator<Item = Option<usize>> + 'l {
        let same_length = self.0.len() == after.0.len();
        self.0.iter().enumerate().map(move |(class, label)| {
            let renamed = || same_length && self.find(&after.0[class]).is_none();
            after.find(label).or_else(|| renamed().then_some(class))
        })
    }

    /// All names, in the order of the classes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.iter()
    }
}

impl<'a> FromIterator<&'a str> for Labels {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self(names.into_iter().map(Arc::from).collect())
    }
}

/// What is known of a frame once it is answered. Buffers of this kind go round: see
/// [`Relay`](super::Relay).
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// The frame's number, from 0.
    pub number: u64,
    /// Time from the start of the watch to the frame's arrival.
    pub since_start: Duration,
    /// Milliseconds since 1970-01-01T00:00:00Z at its arrival.
    pub unix_ms: u64,
    /// The moment of its arrival, to measure from; none where it did not arrive live.
    pub arrived: Option<Instant>,
    /// The picture's path, or the stream's name.
    pub source: Arc<str>,
    /// Time to read and decode it.
    pub decode: Duration,
    /// Names of the classes that `views` speak of.
    pub labels: Arc<Labels>,
    /// One answer for each region; one in all where there are no regions.
    pub views: Vec<View>,
}

/// What is seen in one region of a frame.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The region's name; none where the whole frame is looked at.
    pub region: Option<Arc<str>>,
    /// The answer for this frame alone.
    pub answer: Answer,
    /// The answer that is stable over time.
    pub stable: Settled,
    /// The stable class before, where this frame changed it (none in it: nothing was settled).
    pub changed_from: Option<Option<Arc<str>>>,
    /// Nothing moved since the frame that `answer` is from: it was not encoded again.
    pub still: bool,
}

/// Somebody who hears of every answered frame.
pub trait Sink: Send {
    /// Takes note of a frame and its answer. It is called on the thread that answers: it must not
    /// wait for anything, and not allocate for a frame that changes nothing.
    fn frame(&mut self, frame: &Frame, event: &Event);

    /// The loop was woken although no frame came.
    fn idle(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_move_with_their_names_and_keep_their_place_when_they_are_renamed() {
        let labels = |names: &[&str]| names.iter().copied().collect::<Labels>();
        let moves = |before: &[&str], after: &[&str]| -> Vec<_> {
            labels(before).moves_to(&labels(after)).collect()
        };
        assert_eq!(moves(&["a", "b", "c"], &["a", "c"]), [Some(0), None, Some(1)]);
        assert_eq!(moves(&["a", "b"], &["a", "b", "c"]), [Some(0), Some(1)]);
        assert_eq!(moves(&["a", "b"], &["a", "new"]), [Some(0), Some(1)]);
        assert_eq!(moves(&["a", "b"], &["b", "a"]), [Some(1), Some(0)]);
        assert_eq!(moves(&["a", "b"], &["b", "new"]), [None, Some(0)]);
    }
}
