use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::desk::{Job, Reply};
use super::watched::Watched;
use super::{Captured, Desk, DeskError, Event, Health, Labels, Seen, Sink, View};
use crate::asset::{AssetFile, Space};
use crate::decide::{ClassRule, Rules, Thresholds};
use crate::frame::MotionRules;
use crate::frame::{Frame, Region};
use crate::pipeline::{Answer, Classifier, PipelineError};

/// How the engine answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How many classes an answer lists.
    pub top: usize,
    /// What is looked at, each with an answer of its own; the whole frame where there is none.
    pub regions: Vec<Region>,
    /// When a frame without motion is not encoded; none encodes every frame.
    pub motion: Option<MotionRules>,
    /// In place of the asset's lowest probability that is believed.
    pub unknown_score: Option<f32>,
    /// In place of the asset's lowest cosine that is believed.
    pub unknown_cosine: Option<f32>,
    /// How far the best answer must be ahead of the next one.
    pub margin: f32,
    /// Rules of single classes, by their labels.
    pub classes: Vec<(String, ClassRule)>,
    /// How calm the stable answer is.
    pub rules: Rules,
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
    class_rules: Vec<ClassRule>,
    options: Options,
    watched: Vec<Watched>,
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
        let mut engine = Self {
            classifier,
            labels,
            class_rules: Vec::new(),
            options: Options::default(),
            watched: Vec::new(),
            desk,
            sinks,
            health,
            waiting: Vec::new(),
        };
        engine.set_options(options)?;
        Ok(engine)
    }

    /// Answers a frame into `event`, or, without a frame, does what was asked at the desk.
    ///
    /// # Errors
    /// A failure inside of the encoder.
    pub fn answer(
        &mut self,
        captured: Option<&Captured<Shot>>,
        event: &mut Event,
    ) -> Result<(), PipelineError> {
        self.listen();
        let Some(captured) = captured else {
            self.sinks.iter_mut().for_each(|sink| sink.idle());
            return Ok(());
        };
        let shot = &captured.frame;
        event.number = captured.number;
        event.since_start = captured.since_start;
        event.unix_ms = captured.unix_ms;
        event.arrived = captured.at;
        event.source.clone_from(&shot.source);
        event.decode = shot.decode;
        event.labels.clone_from(&self.labels);
        event.views.resize_with(self.watched.len(), View::default);
        let mut all_still = true;
        for (i, (watched, view)) in self.watched.iter_mut().zip(&mut event.views).enumerate() {
            let asked = self.waiting.iter().any(|(region, _)| *region == i);
            let top = self.options.top;
            watched.look(captured.since_start, &shot.frame, asked, top, &mut self.classifier)?;
            watched.tell(captured.since_start, &self.labels, view);
            all_still &= view.still;
            while let Some(at) = self.waiting.iter().position(|(region, _)| *region == i) {
                let (_, reply) = self.waiting.swap_remove(at);
                let picture = watched.picture(&shot.frame).clone();
                let seen = seen(&self.classifier, &self.labels, picture, view.answer.clone());
                // whoever asked may have gone
                let _ = reply.try_send(Ok(seen));
            }
        }
        self.health.frame_answered(captured.since_start, all_still);
        for sink in &mut self.sinks {
            sink.frame(&shot.frame, event);
        }
        Ok(())
    }

    /// Does what was asked at the desk since the frame before.
    fn listen(&mut self) {
        if let Some(file) = self.desk.take_head() {
            // The store made and checked it: should it not fit all the same, the old one goes on.
            let _ = self.set_head(file);
        }
        if let Some(options) = self.desk.take_options() {
            let _ = self.set_options(options);
        }
        while let Some(job) = self.desk.take_job() {
            match job {
                Job::Next(region, reply) if region < self.watched.len() => {
                    self.waiting.push((region, reply));
                }
                Job::Next(_, reply) => {
                    let _ = reply.try_send(Err(DeskError::NoRegion));
                }
                Job::Picture(frame, reply) => {
                    let mut answer = Answer::default();
                    let result = self.classifier.answer(&frame, self.options.top, &mut answer);
                    let seen = result
                        .map(|()| seen(&self.classifier, &self.labels, frame, answer))
                        .map_err(|error| DeskError::Answer(error.to_string()));
                    let _ = reply.try_send(seen);
                }
            }
        }
        // those who have stopped waiting would pile up while no frame comes
        let gone = self.waiting.len().saturating_sub(Desk::MAX_WAITING);
        self.waiting.drain(..gone);
    }

    fn set_head(&mut self, file: AssetFile) -> Result<(), PipelineError> {
        let labels = labels_of(&file)?;
        self.classifier.set_head(file)?;
        let before = std::mem::replace(&mut self.labels, labels);
        self.set_rules()?;
        let new: Vec<_> = before.moves_to(&self.labels).collect();
        for watched in &mut self.watched {
            watched.remap(&self.class_rules, |class| new.get(class).copied().flatten());
        }
        Ok(())
    }

    fn set_options(&mut self, options: Options) -> Result<(), PipelineError> {
        let same = self.options.regions == options.regions
            && self.options.motion == options.motion
            && !self.watched.is_empty();
        self.options = options;
        self.set_rules()?;
        let Options { regions, motion, rules, .. } = &self.options;
        if same {
            for watched in &mut self.watched {
                watched.set_rules(*rules, &self.class_rules);
            }
            return Ok(());
        }
        let whole = regions.is_empty().then_some(None);
        let all = regions.iter().map(|region| Some(region.clone())).chain(whole);
        self.watched =
            all.map(|region| Watched::new(region, *motion, *rules, &self.class_rules)).collect();
        Ok(())
    }

    /// Thresholds and rules of single classes, for the classes that there are now.
    fn set_rules(&mut self) -> Result<(), PipelineError> {
        let asset = self.classifier.head().asset()?;
        let found = asset.calibration.as_ref().map_or(Thresholds::default(), Thresholds::from);
        let options = &self.options;
        let thresholds = Thresholds {
            unknown_score: options.unknown_score.unwrap_or(found.unknown_score),
            unknown_cosine: options.unknown_cosine.unwrap_or(found.unknown_cosine),
            margin: options.margin,
        };
        let rule = |label: &Arc<str>| {
            let of_label = options.classes.iter().find(|(name, _)| **name == **label);
            of_label.map_or(ClassRule::default(), |(_, rule)| *rule)
        };
        self.class_rules = self.labels.iter().map(rule).collect();
        self.classifier.set_rules(thresholds, self.class_rules.clone());
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.desk.stop();
        // Each may take a moment for a last word: they take it at the same time.
        thread::scope(|scope| {
            for sink in self.sinks.drain(..) {
                scope.spawn(move || drop(sink));
            }
        });
    }
}

/// What the classifier saw last.
fn seen(classifier: &Classifier, labels: &Arc<Labels>, frame: Frame, answer: Answer) -> Seen {
    let cache = classifier.head().asset().ok().and_then(|asset| asset.cache);
    let embedding = classifier.embedding();
    // where there are no shots yet: as the store has it for an asset with an encoder
    let feature = match cache.map_or(Space::Trunk, |cache| cache.space) {
        Space::Trunk => embedding.trunk.clone(),
        Space::Projected => embedding.projected.clone(),
    };
    Seen { frame, feature, answer, labels: Arc::clone(labels) }
}

fn labels_of(file: &AssetFile) -> Result<Arc<Labels>, PipelineError> {
    let labels = Labels::new(&file.asset()?).map_err(|error| file.error(error))?;
    Ok(Arc::new(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::{Builder, HeadKind, HeadParams, Tag};
    use crate::frame::{DEMO_PHOTOGRAPH, decode};
    use crate::kernels;
    use crate::watch::{Policy, Relay};

    /// An engine for a desk, and the asset's own number of values of a shot.
    fn engine(
        change: impl Fn(Builder<'_>, HeadParams) -> Builder<'_>,
    ) -> Option<(Engine, Desk, usize)> {
        let whole = AssetFile::linked().unwrap()?;
        let asset = whole.asset().unwrap();
        let builder = change(Builder::from_container(&asset.container), asset.head.unwrap());
        let file: AssetFile = builder.to_bytes().unwrap().try_into().unwrap();
        let classifier = Classifier::new(&file, kernels::best(), 1).unwrap();
        let desk = Desk::new(Relay::<Shot, Event>::new(Policy::NewestWins).waker());
        let options = Options { top: 1, ..Options::default() };
        let engine = Engine::new(classifier, options, desk.clone(), Vec::new(), Arc::default());
        Some((engine.unwrap(), desk, asset.cache.unwrap().dim))
    }

    fn show(engine: &mut Engine, desk: &Desk) -> Seen {
        thread::scope(|scope| {
            let picture = decode("demo", DEMO_PHOTOGRAPH).unwrap();
            let asked = scope.spawn(|| desk.picture(picture, Duration::from_secs(300)));
            while !asked.is_finished() {
                engine.answer(None, &mut Event::default()).unwrap();
                thread::yield_now();
            }
            asked.join().unwrap().unwrap()
        })
    }

    #[test]
    fn a_picture_is_answered_between_frames_with_the_feature_that_its_shot_will_be() {
        let Some((mut whole, desk, dim)) = engine(|builder, _| builder) else { return };
        let seen = show(&mut whole, &desk);
        assert_eq!(seen.feature.len(), dim);
        assert_eq!(seen.labels.get(seen.answer.decision.class).map(|l| &**l), Some("butterfly"));

        // names alone: the first shots will be like those of any asset with an encoder
        let names = engine(|builder, head| {
            let head = HeadParams { kind: HeadKind::ZeroShot, ..head };
            builder.without(Tag::CACHE).without(Tag::KEY_NAMES).section(Tag::HEAD, head.encode())
        });
        let Some((mut names, desk, dim)) = names else { return };
        assert_eq!(show(&mut names, &desk).feature.len(), dim);
    }

    #[test]
    fn those_who_wait_in_vain_do_not_pile_up() {
        let Some((mut engine, desk, _)) = engine(|builder, _| builder) else { return };
        for _ in 0..3 * Desk::MAX_WAITING {
            assert!(matches!(desk.next(0, Duration::ZERO), Err(DeskError::NoFrame(_))));
            if desk.next(0, Duration::ZERO).is_err() {
                engine.answer(None, &mut Event::default()).unwrap();
            }
        }
        assert!(engine.waiting.len() <= Desk::MAX_WAITING, "{}", engine.waiting.len());
        assert!(matches!(
            desk.next(1, Duration::ZERO),
            Err(DeskError::NoFrame(_) | DeskError::NoRegion)
        ));
        drop(engine);
        assert!(matches!(desk.next(0, Duration::ZERO), Err(DeskError::Stopped)));
    }
}
