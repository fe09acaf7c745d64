use super::Split;
use crate::asset::{Asset, EncoderId, HeadKind, HeadParams, Space};
use crate::fit::matrix::Workers;
use crate::fit::search::Search;
use crate::fit::{Built, ClassSpec, Evaluation, FitError, Method, Projector, Recipe, Shot};
use crate::head::{Buffers, Head, Temperature, probabilities};
use crate::kernels::Kernels;

/// A recipe for cached features, whose keys live in the space of the text.
#[must_use]
pub fn recipe<'r>(
    (classes, shots): &'r (Vec<ClassSpec>, Vec<Shot>),
    method: Method<'r>,
    search: Search,
    workers: Workers,
) -> Recipe<'r> {
    let Workers { kernels, threads } = workers;
    let (encoder, space, project) = (ENCODER, Space::Projected, None);
    Recipe { encoder, space, classes, shots, project, method, search, threads, kernels }
}

/// Encoder of an asset that was made of cached features: unknown.
pub const ENCODER: EncoderId = EncoderId([0; 32]);

/// The measurement of a head on cached features.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Answers compared with the truth.
    pub evaluation: Evaluation,
    /// Answer and its probability for each picture, in the order of the file.
    pub answers: Vec<(usize, f32)>,
    /// The head's parameters.
    pub params: HeadParams,
}

/// Runs the head of `built` over a split.
///
/// # Errors
/// The head refuses a feature or cannot be of this kind.
pub fn evaluate(
    built: &Built,
    kind: HeadKind,
    split: &Split,
    kernels: &'static Kernels,
) -> Result<Measured, FitError> {
    let bytes = built.to_bytes(ENCODER)?;
    measure(&Asset::open(&bytes)?, Some(kind), None, split, kernels)
}

/// Runs an asset's head, or it as another plain `kind`, over a split of features of the space that its
/// keys live in; `project` maps them into the space of the text, where that is another.
///
/// # Errors
/// The head refuses a feature or cannot be of this kind.
pub fn measure(
    asset: &Asset<'_>,
    kind: Option<HeadKind>,
    project: Option<&dyn Projector>,
    split: &Split,
    kernels: &'static Kernels,
) -> Result<Measured, FitError> {
    let head = Head::new(asset, kernels)?;
    let head = kind.map_or(Ok(head), |kind| head.with_kind(kind))?;
    let temperature = Temperature::of(asset);
    let mut buffers = Buffers::new(&head);
    let mut p = vec![0.0; head.classes()];
    let mut evaluation = Evaluation::new(head.classes());
    let mut answers = Vec::with_capacity(split.labels.len());
    for (feature, &label) in split.features.iter().zip(&split.labels) {
        match project.map(|project| project.project(feature)) {
            Some(projected) => head.logits(feature, &projected, &mut buffers.workspace())?,
            None => head.logits(&[], feature, &mut buffers.workspace())?,
        };
        probabilities(&buffers.logits, temperature, &mut p);
        if let Some(answer) = evaluation.push(label, &p) {
            answers.push((answer, p[answer]));
        }
    }
    Ok(Measured { evaluation, answers, params: *head.params() })
}
