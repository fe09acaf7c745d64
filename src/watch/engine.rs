use std::sync::Arc;
use std::time::Duration;

use super::desk::{Job, Reply};
use super::{Captured, Desk, DeskError, Event, Health, Labels, Seen, Sink, View};
use crate::asset::{AssetFile, Space};
use crate::decide::{Rules, Stabilizer};
use crate::frame::Frame;
use crate::pipeline::{Answer, Classifier, PipelineError};

/// How the engine answers.
#[derive(Clone, Debug)]
pub struct Options {
    /// How calm the stable answer is.
    pub rules: Rules,
    /// How many classes an answer lists.
    pub top: usize,
}

/// A frame's buffer, with what is known of it besides its picture.
#[derive(Clone, Debug, Default)]
pub struct Shot {
    /// The picture.
    pub frame: Frame,
    /// The picture's path, or the stream's name.
    pub source: Arc<str>,
    /// Time to read and decode it.
    pub decode: Duration,
}

/// What runs on the answering thread.
pub struct Engine {
    classifier: Classifier,
    labels: Arc<Labels>,
    options: Options,
    stabilizer: Stabilizer<Vec<f32>>,
    last: Option<usize>,
    desk: Desk,
    sinks: Vec<Box<dyn Sink>>,
    health: Arc<Health>,
    /// Who waits for the next frame, by region.
    waiting: Vec<(usize, Reply)>,
}

impl Engine {
    /// An engine that answers by `classifier`, listens at `desk` and tells `sinks`.
    ///
    /// # Errors
    /// The head has no labels.
    pub fn new(
        classifier: Classifier,
        options: Options,
        desk: Desk,
        sinks: Vec<Box<dyn Sink>>,
        health: Arc<Health>,
    ) -> Result<Self, PipelineError> {
        let labels = labels_of(classifier.head())?;
        let stabilizer =
            Stabilizer::new(options.rules, vec![0.0; classifier.probabilities().len()]);
        let waiting = Vec::new();
        Ok(Self {
            classifier,
            labels,
            options,
            stabilizer,
            last: None,
            desk,
            sinks,
            health,
            waiting,
        })
    }

    /// Answers a frame into `event`, or, without a frame, does what was asked at the desk.
    ///
    /// # Errors
    /// A failure inside of the encoder or the head.
    pub fn answer(
        &mut self,
        captured: Option<&Captured<Shot>>,
        event: &mut Event,
    ) -> Result<(), PipelineError> {
        self.take_head();
        self.take_jobs();
        let Some(captured) = captured else { return Ok(()) };
        let shot = &captured.frame;
        event.number = captured.number;
        event.since_start = captured.since_start;
        event.unix_ms = captured.unix_ms;
        event.arrived = captured.at;
        event.source.clone_from(&shot.source);
        event.decode = shot.decode;
        event.labels.clone_from(&self.labels);
        event.views.resize_with(1, View::default);
        let view = &mut event.views[0];
        self.classifier.answer(&shot.frame, self.options.top, &mut view.answer)?;
        let (probabilities, decision) = (self.classifier.probabilities(), &view.answer.decision);
        view.stable = self.stabilizer.push(captured.since_start, probabilities, decision);
        let before = std::mem::replace(&mut self.last, view.stable.class);
        view.changed_from = (before != self.last).then(|| self.labels.get(before).cloned());
        self.reply_next(0, &shot.frame, &event.views[0].answer);
        self.health.frame_answered(captured.since_start, false);
        for sink in &mut self.sinks {
            sink.frame(&shot.frame, event);
        }
        Ok(())
    }

    fn take_head(&mut self) {
        let Some(file) = self.desk.take_head() else { return };
        // the store made and checked it: should it not fit all the same, the old one goes on
        if let (Ok(labels), Ok(())) = (labels_of(&file), self.classifier.set_head(file)) {
            self.labels = labels;
            self.stabilizer = Stabilizer::new(
                self.options.rules,
                vec![0.0; self.classifier.probabilities().len()],
            );
            self.last = None;
        }
    }

    fn take_jobs(&mut self) {
        while let Some(job) = self.desk.take_job() {
            match job {
                Job::Next(region, reply) => self.waiting.push((region, reply)),
                Job::Picture(frame, reply) => {
                    let mut answer = Answer::default();
                    let result = self.classifier.answer(&frame, self.options.top, &mut answer);
                    let seen = result.map(|()| self.seen(frame, answer));
                    // whoever asked may have gone
                    let _ = reply.try_send(seen.map_err(|e| DeskError::Answer(e.to_string())));
                }
            }
        }
    }

    fn reply_next(&mut self, region: usize, frame: &Frame, answer: &Answer) {
        while let Some(at) = self.waiting.iter().position(|(asked, _)| *asked == region) {
            let (_, reply) = self.waiting.swap_remove(at);
            let _ = reply.try_send(Ok(self.seen(frame.clone(), answer.clone())));
        }
    }

    fn seen(&self, frame: Frame, answer: Answer) -> Seen {
        let cache = self.classifier.head().asset().ok().and_then(|asset| asset.cache);
        let embedding = self.classifier.embedding();
        let feature = match cache.map_or(Space::Projected, |cache| cache.space) {
            Space::Trunk => embedding.trunk.clone(),
            Space::Projected => embedding.projected.clone(),
        };
        Seen { frame, feature, answer, labels: Arc::clone(&self.labels) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.desk.stop();
    }
}

fn labels_of(file: &AssetFile) -> Result<Arc<Labels>, PipelineError> {
    let labels = Labels::new(&file.asset()?).map_err(|error| file.error(error))?;
    Ok(Arc::new(labels))
}
