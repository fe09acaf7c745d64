//! From a picture to its answer: frame, encoder, head and decision put together, with the buffers
//! between them.

use std::time::{Duration, Instant};

use crate::asset::{Asset, AssetError, AssetFile, FileError, HeadKind, HeadParams};
use crate::decide::{ClassRule, Decision, Thresholds};
use crate::encoder::{Embedding, Encoder, EncoderError};
use crate::frame::{Frame, Preprocessor};
use crate::head::{Buffers, Head, HeadError, Nearests, Temperature, probabilities};
use crate::kernels::Kernels;

/// The best classes that an [`Answer`] holds at most.
pub const MAX_TOP: usize = 32;

/// Why a picture could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The asset.
    #[error(transparent)]
    File(#[from] FileError),
    /// The encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The head.
    #[error(transparent)]
    Head(#[from] HeadError),
}

/// Time spent on the steps of a picture's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Resize and crop.
    pub preprocess: Duration,
    /// The encoder.
    pub encode: Duration,
    /// Text weights, cache and decision.
    pub head: Duration,
}

/// Turns pictures into features. Its buffers are made once.
pub struct Embedder {
    encoder: Encoder,
    preprocessor: Preprocessor,
    pixels: Vec<u8>,
    embedding: Embedding,
}

impl Embedder {
    /// With the encoder of an asset, and the preprocessing that it wants.
    ///
    /// # Errors
    /// The asset has no encoder, or a damaged one.
    pub fn new(
        file: &AssetFile,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Self, EncoderError> {
        let encoder = Encoder::new(file.clone(), kernels, threads)?;
        let preprocessor = Preprocessor::new(encoder.preprocess());
        let pixels = vec![0; preprocessor.output_len()];
        Ok(Self { encoder, preprocessor, pixels, embedding: Embedding::default() })
    }

    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The features of `frame`; they stay until the next call.
    ///
    /// # Errors
    /// A failure inside of the encoder.
    pub fn embed(&mut self, frame: &Frame) -> Result<(&Embedding, Times), EncoderError> {
        let begun = Instant::now();
        self.preprocessor.run(frame, &mut self.pixels);
        let preprocess = begun.elapsed();
        self.encoder.encode(&self.pixels, &mut self.embedding)?;
        let encode = begun.elapsed() - preprocess;
        Ok((&self.embedding, Times { preprocess, encode, head: Duration::ZERO }))
    }
}

/// A class of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The class.
    pub class: usize,
    /// Its calibrated probability.
    pub score: f32,
    /// Text term of its logit; none where the asset has no text weights or the head leaves them out.
    pub zero_shot: Option<f32>,
    /// Cache term of its logit; none where the asset has no shots or the head leaves them out.
    pub cache: Option<f32>,
}

/// The answer for one picture, in a fixed size.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The class and whether to believe it.
    pub decision: Decision,
    /// The best classes, best first.
    pub top: heapless::Vec<Scored, MAX_TOP>,
    /// The nearest shots, nearest first.
    pub nearest: Nearests,
    /// Where the time went.
    pub times: Times,
}

impl Default for Answer {
    fn default() -> Self {
        let (top, nearest) = (heapless::Vec::new(), Nearests::new());
        Self { decision: Decision::default(), top, nearest, times: Times::default() }
    }
}

/// Turns pictures into answers. Its buffers are made once.
pub struct Classifier {
    embedder: Embedder,
    /// Where the head's sections are. The views are made anew for each picture, which takes
    /// microseconds, so that another head can take its place at any moment.
    head: AssetFile,
    kernels: &'static Kernels,
    kind: Option<HeadKind>,
    params: HeadParams,
    temperature: Temperature,
    thresholds: Thresholds,
    class_rules: Vec<ClassRule>,
    buffers: Buffers,
    probabilities: Vec<f32>,
}

impl Classifier {
    /// With the encoder and the head of a complete asset.
    ///
    /// # Errors
    /// The asset lacks a part, or has a damaged one.
    pub fn new(
        file: &AssetFile,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Self, PipelineError> {
        let asset = file.asset()?;
        let head = Head::new(&asset, kernels)?;
        Ok(Self {
            embedder: Embedder::new(file, kernels, threads)?,
            temperature: Temperature::of(&asset),
            thresholds: thresholds(&asset),
            class_rules: Vec::new(),
            params: *head.params(),
            buffers: Buffers::new(&head),
            probabilities: vec![0.0; head.classes()],
            kernels,
            kind: None,
            head: file.clone(),
        })
    }

    /// The same with other terms: text alone, shots alone or both.
    ///
    /// # Errors
    /// The asset lacks what `kind` needs.
    pub fn with_kind(mut self, kind: HeadKind) -> Result<Self, PipelineError> {
        self.kind = Some(kind);
        self.set_head(self.head.clone())?;
        Ok(self)
    }

    /// Answers by the head in `file` from now on, which was made with the same encoder, and by its
    /// thresholds. After an error everything is as it was.
    ///
    /// # Errors
    /// The file has no head, a damaged one, or one for another encoder.
    pub fn set_head(&mut self, file: AssetFile) -> Result<(), PipelineError> {
        let asset = file.asset()?;
        let (found, expected) =
            (asset.container.encoder_id(), self.head.asset()?.container.encoder_id());
        if found != expected {
            let foreign = AssetError::ForeignCache { asset: expected, cache: found };
            return Err(file.error(foreign).into());
        }
        let head = self.head_of(&asset)?;
        self.params = *head.params();
        self.temperature = Temperature::of(&asset);
        self.thresholds = thresholds(&asset);
        self.class_rules.clear();
        self.buffers = Buffers::new(&head);
        self.probabilities = vec![0.0; head.classes()];
        self.head = file;
        Ok(())
    }

    fn head_of<'a>(&self, asset: &Asset<'a>) -> Result<Head<'a>, HeadError> {
        let head = Head::new(asset, self.kernels)?;
        self.kind.map_or(Ok(head), |kind| head.with_kind(kind))
    }

    /// Where the head's sections are.
    #[must_use]
    pub fn head(&self) -> &AssetFile {
        &self.head
    }

    /// The head's hyper-parameters.
    #[must_use]
    pub fn params(&self) -> &HeadParams {
        &self.params
    }

    /// What makes an answer "unknown": the asset's thresholds, if [`Self::set_rules`] gave no others.
    #[must_use]
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Other thresholds, and rules of single classes in the order of the classes.
    pub fn set_rules(&mut self, thresholds: Thresholds, class_rules: Vec<ClassRule>) {
        self.thresholds = thresholds;
        self.class_rules = class_rules;
    }

    /// The features of the last picture.
    #[must_use]
    pub fn embedding(&self) -> &Embedding {
        &self.embedder.embedding
    }

    /// The probabilities of all classes in the last answer.
    #[must_use]
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// Answers `frame` into `answer` with at most `top` (and at most [`MAX_TOP`]) classes.
    ///
    /// # Errors
    /// A failure inside of the encoder, or a picture in which it sees nothing at all.
    pub fn answer(
        &mut self,
        frame: &Frame,
        top: usize,
        answer: &mut Answer,
    ) -> Result<(), PipelineError> {
        let (_, mut times) = self.embedder.embed(frame)?;
        let begun = Instant::now();
        // another handle to the same bytes, so that the views do not borrow from `self`
        let file = self.head.clone();
        let asset = file.asset()?;
        let head = self.head_of(&asset)?;
        let embedding = &self.embedder.embedding;
        let mut workspace = self.buffers.workspace();
        answer.nearest = head.logits(&embedding.trunk, &embedding.projected, &mut workspace)?;
        probabilities(workspace.logits, self.temperature, &mut self.probabilities);
        let cosine = answer.nearest.first().map(|nearest| nearest.cosine);
        answer.decision =
            Decision::new(&self.probabilities, cosine, &self.thresholds, &self.class_rules);
        self.rank(&asset, &head, top.min(MAX_TOP), &mut answer.top);
        times.head = begun.elapsed();
        answer.times = times;
        Ok(())
    }

    /// The `count` most probable classes that can be an answer; of equal ones the earlier class first.
    fn rank(
        &self,
        asset: &Asset<'_>,
        head: &Head<'_>,
        count: usize,
        top: &mut heapless::Vec<Scored, MAX_TOP>,
    ) {
        let kind = head.params().kind;
        let has_text = asset.text.is_some() && kind != HeadKind::CacheOnly;
        let has_cache = asset.cache.is_some() && kind != HeadKind::ZeroShot;
        top.clear();
        for (class, &score) in self.probabilities.iter().enumerate() {
            let at = top.iter().take_while(|other| other.score >= score).count();
            let negative = self.class_rules.get(class).is_some_and(|rule| rule.negative);
            if at >= count || negative || !head.is_candidate(class) {
                continue;
            }
            top.truncate(count - 1);
            let scored = Scored {
                class,
                score,
                zero_shot: has_text.then(|| self.buffers.zero_shot[class]),
                cache: has_cache.then(|| self.buffers.cache[class]),
            };
            // there is room: the list was cut to less than its capacity above
            let _ = top.insert(at, scored);
        }
    }
}

/// Without calibration nothing is "unknown".
fn thresholds(asset: &Asset<'_>) -> Thresholds {
    asset.calibration.as_ref().map_or(Thresholds::default(), Thresholds::from)
}
