//! Heads of an asset that has its shots already: made again from them, or kept up when shots and classes
//! come and go.

use half::f16;

use super::heads::{self, Classifier, LinearTerm, Setting, Task};
use super::matrix::{Matrix, Workers};
use super::search::Search;
use super::train::incremental;
use super::train::meta_adapter::MetaWeights;
use super::{Built, Change, ClassSpec, FitError, Method, Projector, Recipe, Shot, keys, sections};
use crate::asset::{
    Adapter, Asset, Bank, CacheBuilder, EncoderId, HeadKind, HeadParams, Linear, Meta, Space, Tag,
    TextWeights,
};

/// Sections that a head has besides text weights and cache.
const PARTS: [Tag; 4] = [Tag::LINEAR, Tag::ADAPTER, Tag::BANK, Tag::META];

/// Classes and shots of an asset, for a [`Recipe`].
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// The encoder that made the keys.
    pub encoder: EncoderId,
    /// The feature that the keys are.
    pub space: Space,
    /// Classes with their text vectors.
    pub classes: Vec<ClassSpec>,
    /// The features that the keys stand for.
    pub shots: Vec<Shot>,
}

impl Ingredients {
    /// Those of an asset.
    ///
    /// # Errors
    /// The asset has no labels.
    pub fn of(asset: &Asset<'_>) -> Result<Self, FitError> {
        let labels = asset.labels.ok_or(Tag::LABELS.missing())?;
        let text = |class: usize| asset.text.and_then(|text| text_vector(&text, class));
        let classes = labels.iter().enumerate();
        let classes = classes
            .map(|(class, label)| ClassSpec { label: label.to_owned(), text: text(class) })
            .collect();
        let mut shots = Vec::new();
        for index in 0..asset.cache.map_or(0, |cache| cache.len) {
            let Some(cache) = &asset.cache else { break };
            let mut feature = keys::decode(cache, index);
            keys::normalize(&mut feature);
            let name = asset.key_names.and_then(|names| names.get(index)).unwrap_or_default();
            let class = cache.class[index] as usize;
            shots.push(Shot { class, feature, name: name.to_owned() });
        }
        let space = asset.cache.map_or(Space::Projected, |cache| cache.space);
        Ok(Self { encoder: asset.container.encoder_id(), space, classes, shots })
    }

    /// A recipe of these.
    #[must_use]
    pub fn recipe<'r>(
        &'r self,
        method: Method<'r>,
        project: Option<&'r (dyn Projector + 'r)>,
        Workers { kernels, threads }: Workers,
    ) -> Recipe<'r> {
        Recipe {
            encoder: self.encoder,
            space: self.space,
            classes: &self.classes,
            shots: &self.shots,
            project,
            method,
            search: Search::LeaveOneOut,
            threads,
            kernels,
        }
    }
}

/// The text vector of a class; none where the row is drawn from shots or empty.
fn text_vector(text: &TextWeights<'_>, class: usize) -> Option<Vec<f32>> {
    let row = text.row(class).filter(|_| text.has(class))?;
    let values =
        row.iter().zip(text.mean).map(|(&bits, mean)| f16::from_bits(bits).to_f32() + mean);
    let mut vector: Vec<f32> = values.collect();
    keys::normalize(&mut vector);
    Some(vector)
}

/// Puts a head that was made of an asset's own shots into the asset. The shots stay as they are.
///
/// # Errors
/// A limit is exceeded.
pub fn refit(asset: &Asset<'_>, built: &Built) -> Result<Change, FitError> {
    let all_text = asset.text.is_none_or(|text| (0..text.classes).all(|class| text.has(class)));
    let own = |tag: Tag| {
        tag == Tag::HEAD
            || tag == Tag::CALIBRATION
            || PARTS.contains(&tag)
            || tag == Tag::TEXT && !all_text
    };
    let mut replaced: Vec<_> =
        built.sections.iter().filter(|(tag, _)| own(*tag)).cloned().collect();
    if let Some(cache) = &asset.cache {
        let class_of = |index: usize| Some(cache.class[index]);
        let mut cache = CacheBuilder::from_cache(cache, cache.classes(), class_of)?;
        super::draft::weigh(&mut cache, built.reference_shots)?;
        replaced.push((Tag::CACHE, cache.finish(0)?.to_vec()));
    }
    let gone = PARTS.into_iter().filter(|tag| !replaced.iter().any(|(other, _)| other == tag));
    let removed = gone.chain([Tag::METRICS]).collect();
    Ok(Change { replaced, removed, ..Change::default() })
}

/// What becomes of a head's parts when shots or classes have come or gone.
#[derive(Debug, Default)]
pub(super) struct Refreshed {
    pub(super) replaced: Vec<(Tag, Vec<u8>)>,
    /// Whether the head still is the one that was trained with other shots.
    pub(super) stale: bool,
}

/// Keeps up the parts of the head of `before` for `after`, which has other labels, text or shots and no
/// parts. Closed forms are made again, exactly; Meta-Adapter's weights make the rows of new classes;
/// the incremental head learns new classes as a task. What was trained otherwise stays as it is, and is
/// stale. `class_of` gives a class of `before` its place in `after`.
pub(super) fn refresh(
    before: &Asset<'_>,
    after: &Asset<'_>,
    class_of: impl Fn(usize) -> Option<usize>,
    project: Option<&dyn Projector>,
    workers: Workers,
) -> Result<Refreshed, FitError> {
    let params = after.head.ok_or(Tag::HEAD.missing())?;
    if params.kind.is_plain() {
        return Ok(Refreshed::default());
    }
    let ingredients = Ingredients::of(after)?;
    let recipe = ingredients.recipe(params.kind.into(), project, workers);
    let reference_shots = params.reference_shots;
    let task = Task { reference_shots, ..recipe.task(params.row_gain) };
    let (space, classes) = (ingredients.space, ingredients.classes.len());
    let HeadParams { alpha, beta, gamma, .. } = params;
    let setting = Setting { alpha, beta, gamma, ratio: 0.0 };
    let linear = |term: LinearTerm| -> Result<_, FitError> {
        let term = term.centred();
        let section = Linear::encode(space, &term.has, &term.bias, &term.weights.data)?;
        Ok((Tag::LINEAR, section))
    };
    let mut out = Refreshed::default();
    match params.kind {
        HeadKind::Gda | HeadKind::SsText | HeadKind::Ape => {
            let model = heads::fit(params.kind, &task, setting, &|_| {});
            out.replaced = sections::encode(&model, recipe.encoder, space, classes)?;
        }
        HeadKind::MetaAdapter => {
            let meta = before.meta.ok_or(Tag::META.missing())?;
            out.replaced.push(linear(heads::meta_rows(&task, &meta_weights(&meta)))?);
        }
        HeadKind::ClipAdapter | HeadKind::ProLip | HeadKind::Incremental => {
            let known = before.labels.map_or(0, |labels| labels.count());
            let adapter = match before.adapter.ok_or(Tag::ADAPTER.missing())? {
                Adapter::Branch(adapter) => Some(adapter),
                // A projection is read by text alone.
                Adapter::Projection(_) if task.labels.iter().all(|&label| task.has_text(label)) => {
                    return Ok(Refreshed { stale: true, ..out });
                }
                Adapter::Projection(_) => None,
            };
            out.replaced.extend(Classifier::new(&task).linear().map(linear).transpose()?);
            let Some(adapter) = adapter else {
                // A class without text has come: the linear form, as it is before its training. Rows of text
                // drawn from the shots would be taken for the answer to much that is known.
                let dim = task.shots.keys.columns();
                let up = vec![0.0; dim * dim];
                let section = Adapter::encode_branch(space, dim, [1.0, 1.0], &[], &up)?;
                out.replaced.push((Tag::ADAPTER, section));
                return Ok(Refreshed { stale: true, ..out });
            };
            if params.kind == HeadKind::Incremental && classes > known {
                let old = floats(adapter.up, adapter.dim);
                let up = incremental::next(&task, known..classes, &old, &|_| {});
                let section = Adapter::encode_branch(space, up.rows(), [1.0, 1.0], &[], &up.data)?;
                out.replaced.push((Tag::ADAPTER, section));
            } else {
                out.stale = true;
            }
        }
        HeadKind::TipF | HeadKind::ApeT => {
            out.replaced = renumbered(before, classes, class_of)?;
            out.stale = true;
        }
        HeadKind::ZeroShot | HeadKind::Tip | HeadKind::CacheOnly => {}
    }
    Ok(out)
}

/// Trained keys and rows under the classes' new numbers.
fn renumbered(
    asset: &Asset<'_>,
    classes: usize,
    class_of: impl Fn(usize) -> Option<usize>,
) -> Result<Vec<(Tag, Vec<u8>)>, FitError> {
    let mut sections = Vec::new();
    if let Some(Bank { channels, feature_dim, keys }) = &asset.bank {
        let class = |key: usize| Some(class_of(keys.class[key] as usize)? as u32);
        let keys = CacheBuilder::from_cache(keys, classes, class)?.finish(0)?;
        sections.push((Tag::BANK, Bank::encode(channels, *feature_dim, &keys)?));
    }
    if let Some(linear) = &asset.linear {
        let mut rows = Matrix::zeros(classes, linear.dim);
        let (mut has, mut bias) = (vec![false; classes], vec![0.0; classes]);
        for (old, row) in linear.weights.chunks_exact(linear.dim.max(1)).enumerate() {
            let Some(new) = class_of(old) else { continue };
            let values = row.iter().map(|&bits| f16::from_bits(bits).to_f32());
            rows.row_mut(new).iter_mut().zip(values).for_each(|(out, value)| *out = value);
            (has[new], bias[new]) = (linear.has(old), linear.bias[old]);
        }
        sections.push((Tag::LINEAR, Linear::encode(linear.space, &has, &bias, &rows.data)?));
    }
    Ok(sections)
}

fn floats(bits: &[u16], columns: usize) -> Matrix {
    let values: Vec<f32> = bits.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect();
    Matrix::from_rows(values.chunks_exact(columns.max(1)), columns)
}

fn meta_weights(meta: &Meta<'_>) -> MetaWeights {
    MetaWeights {
        query: floats(meta.query, meta.dim),
        key: floats(meta.key, meta.dim),
        gate: meta.gate.to_vec(),
        bias: meta.bias,
    }
}

/// The asset without what a head has besides text weights and cache.
#[must_use]
pub(super) fn without_parts(change: &Change) -> Change {
    let removed = change.removed.iter().copied().chain(PARTS).collect();
    Change { removed, ..change.clone() }
}

/// Whether hyper-parameters and thresholds should be chosen again: a quarter more shots, or less, than
/// there were when they were.
#[must_use]
pub fn refit_pays(asset: &Asset<'_>) -> bool {
    let shots = asset.cache.map_or(0, |cache| cache.len) as f64;
    let then = asset.calibration.map_or(0, |calibration| calibration.samples);
    (shots - f64::from(then)).abs() > 0.25 * f64::from(then)
        && shots >= super::search::MIN_SHOTS as f64
}
