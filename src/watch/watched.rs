use std::sync::Arc;
use std::time::Duration;

use super::{Labels, View};
use crate::decide::{ClassRule, Rules, Stabilizer, Track};
use crate::frame::{Frame, Region};
use crate::frame::{Motion, MotionRules};
use crate::pipeline::{Answer, Classifier, PipelineError};

/// A part of the frame with all that is known of it.
pub(super) struct Watched {
    region: Option<Region>,
    name: Option<Arc<str>>,
    crop: Frame,
    motion: Option<Motion>,
    /// The last answer and the probabilities that it came from; empty before the first one, and after
    /// the classes changed.
    answer: Answer,
    probabilities: Vec<f32>,
    still: bool,
    stabilizer: Stabilizer<Vec<Track>>,
    /// What was told last.
    told: Option<Arc<str>>,
}

impl Watched {
    pub(super) fn new(
        region: Option<Region>,
        motion: Option<MotionRules>,
        rules: Rules,
        classes: &[ClassRule],
    ) -> Self {
        Self {
            name: region.as_ref().map(|region| region.label().into()),
            region,
            crop: Frame::new(),
            motion: motion.map(Motion::new),
            answer: Answer::default(),
            probabilities: Vec::new(),
            still: false,
            stabilizer: Stabilizer::new(rules, tracks(classes)),
            told: None,
        }
    }

    /// Answers what is seen in a frame of time `at`; without motion, and if nobody asked for it, the
    /// answer stays the one before.
    pub(super) fn look(
        &mut self,
        at: Duration,
        frame: &Frame,
        asked: bool,
        top: usize,
        classifier: &mut Classifier,
    ) -> Result<(), PipelineError> {
        if let Some(region) = &self.region {
            region.crop(frame, &mut self.crop);
        }
        let picture = if self.region.is_some() { &self.crop } else { frame };
        let still = self.motion.as_mut().is_some_and(|motion| motion.still(at, picture));
        self.still = still && !asked && !self.probabilities.is_empty();
        if self.still {
            return Ok(());
        }
        match classifier.answer(picture, top, &mut self.answer) {
            Ok(()) => {}
            // A picture in which the encoder sees nothing at all is no reason to stop looking.
            Err(PipelineError::Head(_)) => self.answer = Answer::default(),
            Err(error) => return Err(error),
        }
        self.probabilities.resize(classifier.probabilities().len(), 0.0);
        self.probabilities.copy_from_slice(classifier.probabilities());
        Ok(())
    }

    /// Makes the answer stable over time and writes it down.
    pub(super) fn tell(&mut self, at: Duration, labels: &Labels, view: &mut View) {
        view.region.clone_from(&self.name);
        view.answer.clone_from(&self.answer);
        view.still = self.still;
        view.stable = self.stabilizer.push(at, &self.probabilities, &self.answer.decision);
        // Compared by name: a class may have got another number, or have gone, since the last frame.
        let label = labels.get(view.stable.class);
        view.changed_from = if label == self.told.as_ref() {
            None
        } else {
            Some(std::mem::replace(&mut self.told, label.cloned()))
        };
    }

    /// The picture of the last frame.
    pub(super) fn picture<'f>(&'f self, frame: &'f Frame) -> &'f Frame {
        if self.region.is_some() { &self.crop } else { frame }
    }

    /// Goes on with other classes; `to` gives the new number of an old one.
    pub(super) fn remap(&mut self, classes: &[ClassRule], to: impl Fn(usize) -> Option<usize>) {
        self.stabilizer.remap(tracks(classes), to);
        self.probabilities.clear();
    }

    /// Goes on with other rules.
    pub(super) fn set_rules(&mut self, rules: Rules, classes: &[ClassRule]) {
        self.stabilizer.set_rules(rules);
        // a class that is never reported any more is no state either
        let reported = |class: usize| classes.get(class).is_none_or(|rule| !rule.negative);
        self.stabilizer.remap(tracks(classes), |class| reported(class).then_some(class));
        self.probabilities.clear();
    }
}

fn tracks(classes: &[ClassRule]) -> Vec<Track> {
    classes.iter().map(Track::new).collect()
}
