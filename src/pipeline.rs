//! From a picture to its answer: frame, encoder, head and decision put together, with the buffers
//! between them.

use std::time::{Duration, Instant};

use crate::asset::encoder::Projection;
use crate::asset::{
    Asset, AssetError, AssetFile, Calibration, Container, FileError, HeadKind, Tag,
};
use crate::decide::Decision;
use crate::encoder::{Embedding, Encoder, EncoderError, project};
use crate::frame::{Frame, Preprocessor};
use crate::head::{Buffers, Head, HeadError, Nearests, probabilities};
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

/// The map of an asset's encoder from trunk features to the text's space, as [`Embedding`] has it;
/// none where the encoder has no projection.
///
/// # Errors
/// A damaged section.
pub fn projector<'a>(
    asset: &Asset<'a>,
    kernels: &'static Kernels,
) -> Result<Option<impl Fn(&[f32]) -> Vec<f32> + Sync + use<'a>>, AssetError> {
    let Some(section) = asset.container.section(Tag::PROJECTION) else { return Ok(None) };
    let projection = Projection::parse(section)?;
    Ok(Some(move |trunk: &[f32]| {
        let mut out = vec![0.0; projection.dim];
        project(kernels, &projection, trunk, &mut out);
        out
    }))
}

/// The same, holding the file that it reads from.
///
/// # Errors
/// A damaged section.
pub fn owned_projector(
    file: &AssetFile,
    kernels: &'static Kernels,
) -> Result<Option<impl Fn(&[f32]) -> Vec<f32> + Send + Sync + use<>>, FileError> {
    let asset = file.asset()?;
    if projector(&asset, kernels).map_err(|error| file.error(error))?.is_none() {
        return Ok(None);
    }
    let file = file.clone();
    Ok(Some(move |trunk: &[f32]| {
        // looked up anew each time, which takes no time beside the product
        let container = Container::open(file.bytes()).ok();
        let section = container.and_then(|container| container.section(Tag::PROJECTION));
        let Some(projection) = section.and_then(|section| Projection::parse(section).ok()) else {
            return Vec::new();
        };
        let mut out = vec![0.0; projection.dim];
        project(kernels, &projection, trunk, &mut out);
        out
    }))
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
        let decision = Decision { class: None, score: 0.0, unknown: true };
        let (top, nearest) = (heapless::Vec::new(), Nearests::new());
        Self { decision, top, nearest, times: Times::default() }
    }
}

/// Turns pictures into answers. Its buffers are made once.
pub struct Classifier<'a> {
    embedder: Embedder,
    head: Head<'a>,
    thresholds: Calibration,
    has_text: bool,
    has_cache: bool,
    buffers: Buffers,
    probabilities: Vec<f32>,
}

impl<'a> Classifier<'a> {
    /// With the encoder and the head of a complete asset, `file.asset()`.
    ///
    /// # Errors
    /// The asset lacks a part, or has a damaged one.
    pub fn new(
        file: &AssetFile,
        asset: &Asset<'a>,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Self, PipelineError> {
        let head = Head::new(asset, kernels)?;
        Ok(Self {
            embedder: Embedder::new(file, kernels, threads)?,
            thresholds: asset.calibration.unwrap_or(UNCALIBRATED),
            has_text: asset.text.is_some(),
            has_cache: asset.cache.is_some(),
            buffers: Buffers::new(&head),
            probabilities: vec![0.0; head.classes()],
            head,
        })
    }

    /// The same with other terms: text alone, shots alone or both.
    ///
    /// # Errors
    /// The asset lacks what `kind` needs.
    pub fn with_kind(mut self, kind: HeadKind) -> Result<Self, HeadError> {
        self.head = self.head.with_kind(kind)?;
        Ok(self)
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &Head<'a> {
        &self.head
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
        let (embedding, mut times) = self.embedder.embed(frame)?;
        let begun = Instant::now();
        let mut workspace = self.buffers.workspace();
        answer.nearest =
            self.head.logits(&embedding.trunk, &embedding.projected, &mut workspace)?;
        let logits = &*workspace.logits;
        probabilities(logits, self.thresholds.temperature, &mut self.probabilities);
        let cosine = answer.nearest.first().map(|nearest| nearest.cosine);
        answer.decision = Decision::new(&self.probabilities, cosine, &self.thresholds);
        self.rank(top.min(MAX_TOP), &mut answer.top);
        times.head = begun.elapsed();
        answer.times = times;
        Ok(())
    }

    /// The `count` most probable classes; of equal ones the earlier class first.
    fn rank(&self, count: usize, top: &mut heapless::Vec<Scored, MAX_TOP>) {
        let kind = self.head.params().kind;
        let has_text = self.has_text && kind != HeadKind::CacheOnly;
        let has_cache = self.has_cache && kind != HeadKind::ZeroShot;
        top.clear();
        for (class, &score) in self.probabilities.iter().enumerate() {
            let at = top.iter().take_while(|other| other.score >= score).count();
            if at >= count || !self.head.is_candidate(class) {
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

/// For an asset without calibration: probabilities as they come, nothing is "unknown".
const UNCALIBRATED: Calibration = Calibration {
    temperature: 1.0,
    unknown_score: 0.0,
    unknown_cosine: -1.0,
    ece: 0.0,
    samples: 0,
};
