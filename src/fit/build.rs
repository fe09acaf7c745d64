use super::calibration::{expected_error, temperature};
use super::keys;
use super::leave_one_out::{LeaveOneOut, Shots, Unknown};
use super::rows::{ClassShots, Rows};
use super::search::{Choice, Search, choose};
use super::{FitError, Project};
use crate::asset::{
    AlignedBytes, AssetError, Builder, CacheBuilder, Calibration, EncoderId, HeadKind, HeadParams,
    Key, KeyNames, Labels, Space, Tag,
};
use crate::kernels::Kernels;

/// CLIP's factor of the text term.
const LOGIT_SCALE: f32 = 100.0;

/// A class to recognise.
#[derive(Clone, Debug)]
pub struct ClassSpec {
    /// Its label.
    pub label: String,
    /// Its text vector, of unit norm, if there is one.
    pub text: Option<Vec<f32>>,
}

/// A photograph that shows a class.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Place of its class in the list.
    pub class: usize,
    /// Its feature in the keys' space, of unit norm.
    pub feature: Vec<f32>,
    /// Its name for people, as "Faces/image_0274.jpg".
    pub name: String,
}

/// What a head is made of.
pub struct Recipe<'r> {
    /// The encoder that made the features.
    pub encoder: EncoderId,
    /// The feature that the shots bring.
    pub space: Space,
    /// Classes, in the order of the logits; each has text or shots or both.
    pub classes: &'r [ClassSpec],
    /// Shots in the order of the keys.
    pub shots: &'r [Shot],
    /// From a trunk feature to the text's space; none without text or if the keys live there already.
    pub project: Option<&'r Project<'r>>,
    /// Where alpha and beta come from.
    pub search: Search,
    /// Threads to use; the result does not depend on them.
    pub threads: usize,
    /// Kernels to use; the result does not depend on them either.
    pub kernels: &'static Kernels,
}

/// A head as sections of an asset.
#[derive(Clone, Debug)]
pub struct Built {
    /// Labels, text weights, cache, names of keys, head parameters, calibration.
    pub sections: Vec<(Tag, Vec<u8>)>,
    /// The hyper-parameters.
    pub choice: Choice,
    /// Temperature and thresholds.
    pub calibration: Calibration,
    /// What the thresholds do to held-out shots; none without any.
    pub unknown: Option<Unknown>,
}

impl Built {
    /// An asset of these sections alone, without an encoder.
    ///
    /// # Errors
    /// A limit is exceeded.
    pub fn to_bytes(&self, encoder: EncoderId) -> Result<AlignedBytes, AssetError> {
        let sections = self.sections.iter();
        let empty = Builder::new(encoder);
        sections.fold(empty, |file, (tag, bytes)| file.section(*tag, &bytes[..])).to_bytes()
    }
}

/// Makes a head.
///
/// # Errors
/// A class without text and shots or named twice, a feature or text that cannot be used, a limit
/// that is exceeded.
pub fn build(recipe: &Recipe<'_>) -> Result<Built, FitError> {
    let counts = check(recipe)?;
    let text_dim = recipe.classes.iter().find_map(|class| Some(class.text.as_ref()?.len()));
    let texts: Vec<_> = recipe.classes.iter().map(|class| class.text.clone()).collect();
    let mut rows = text_dim.map(|dim| Rows::from_text(&texts, dim));
    let reference_shots = counts.iter().copied().max().unwrap_or(0) as f32;

    let cache = cache(recipe, &counts, reference_shots)?;
    let view = cache.as_ref().map(|cache| cache.view()).transpose()?;
    let class_shots = match &view {
        Some(view) if rows.is_some() => ClassShots::new(view, recipe.project),
        _ => None,
    };
    let defaults = super::search::defaults(recipe.space);
    let mut calibration = Calibration {
        temperature: defaults.temperature,
        unknown_score: 0.0,
        unknown_cosine: -1.0,
        ece: 0.0,
        samples: 0,
    };
    let mut choice = Choice {
        alpha: defaults.alpha,
        beta: defaults.beta,
        text_gain: 0.0,
        row_gain: 0.0,
        held_out: 0,
        accuracy: None,
    };
    let mut unknown = None;
    if let Some(view) = view {
        let features: Vec<&[f32]> = recipe.shots.iter().map(|shot| &shot.feature[..]).collect();
        let projected = rows.is_some().then(|| projected(recipe)).flatten();
        let run = LeaveOneOut::new(Shots {
            kernels: recipe.kernels,
            cache: view,
            features: &features,
            rows: rows.as_ref(),
            projected: projected.as_deref(),
            class_shots: class_shots.as_ref(),
            logit_scale: LOGIT_SCALE,
            threads: recipe.threads,
        });
        choice = choose(&run, recipe.space, recipe.search);
        if run.len() > 0 {
            let classes = recipe.classes.len();
            let slope = if choice.alpha > 0.0 { choice.text_gain / choice.alpha } else { 0.0 };
            let answers = run.answers(choice.alpha, choice.beta, slope);
            let temperature = temperature(&answers.logits, &answers.labels, classes).temperature;
            let thresholds = answers.unknown(classes, temperature);
            calibration = Calibration {
                temperature,
                unknown_score: thresholds.score,
                unknown_cosine: thresholds.cosine,
                ece: expected_error(answers.confidences(classes, temperature).into_iter()) as f32,
                samples: run.len() as u32,
            };
            unknown = Some(thresholds);
        }
    }
    let params = HeadParams {
        kind: HeadKind::Tip,
        logit_scale: LOGIT_SCALE,
        alpha: choice.alpha,
        beta: choice.beta,
        reference_shots,
        text_gain: choice.text_gain,
        row_gain: choice.row_gain,
    };
    if let (Some(rows), Some(shots)) = (&mut rows, &class_shots) {
        rows.fill(shots, choice.row_gain);
    }

    let labels: Vec<&str> = recipe.classes.iter().map(|class| &class.label[..]).collect();
    let names: Vec<&str> = recipe.shots.iter().map(|shot| &shot.name[..]).collect();
    let mut sections = vec![
        (Tag::LABELS, Labels::encode(&labels)?),
        (Tag::HEAD, params.encode()),
        (Tag::CALIBRATION, calibration.encode()),
    ];
    if let Some(rows) = rows {
        sections.push((Tag::TEXT, rows.encode()?));
    }
    if let Some(cache) = cache {
        sections.push((Tag::CACHE, cache.finish(0)?.to_vec()));
        sections.push((Tag::KEY_NAMES, KeyNames::encode(&names)?));
    }
    Ok(Built { sections, choice, calibration, unknown })
}

/// Number of shots of each class.
fn check(recipe: &Recipe<'_>) -> Result<Vec<u32>, FitError> {
    let classes = recipe.classes;
    if classes.is_empty() {
        return Err(FitError::NoClasses);
    }
    let mut counts = vec![0; classes.len()];
    let dim = recipe.shots.first().map_or(0, |shot| shot.feature.len());
    for shot in recipe.shots {
        let Some(count) = counts.get_mut(shot.class) else {
            let (shot, class) = (shot.name.clone(), shot.class);
            return Err(FitError::ClassOutOfRange { shot, class, classes: classes.len() });
        };
        *count += 1;
        keys::check(&shot.name, &shot.feature, dim)?;
    }
    let mut labels = std::collections::BTreeSet::new();
    let expected = classes.iter().find_map(|class| Some(class.text.as_ref()?.len())).unwrap_or(0);
    for (class, &shots) in classes.iter().zip(&counts) {
        if !labels.insert(&class.label) {
            return Err(FitError::DuplicateClass(class.label.clone()));
        }
        match &class.text {
            None if shots == 0 => return Err(FitError::EmptyClass(class.label.clone())),
            Some(text) if text.len() != expected => {
                let (class, found) = (class.label.clone(), text.len());
                return Err(FitError::TextLength { class, expected, found });
            }
            Some(text) => keys::check(&format!("the text of {}", class.label), text, expected)?,
            None => {}
        }
    }
    Ok(counts)
}

fn cache(
    recipe: &Recipe<'_>,
    counts: &[u32],
    reference_shots: f32,
) -> Result<Option<CacheBuilder>, FitError> {
    let Some(first) = recipe.shots.first() else { return Ok(None) };
    let features = recipe.shots.iter().map(|shot| &shot.feature[..]);
    let mean = keys::mean(features, first.feature.len());
    let mut cache = CacheBuilder::new(recipe.encoder, recipe.space, &mean, recipe.classes.len())?;
    for shot in recipe.shots {
        let coded = keys::code(&shot.feature, &mean);
        cache.push(&Key {
            codes: &coded.codes,
            scale: coded.scale,
            bias: coded.bias,
            weight: reference_shots / counts[shot.class] as f32,
            class: shot.class as u32,
        })?;
    }
    Ok(Some(cache))
}

/// The shots in the space of the text.
fn projected(recipe: &Recipe<'_>) -> Option<Vec<Vec<f32>>> {
    let shots = recipe.shots.iter();
    match (recipe.space, recipe.project) {
        (Space::Projected, _) => Some(shots.map(|shot| shot.feature.clone()).collect()),
        (Space::Trunk, Some(project)) => Some(shots.map(|shot| project(&shot.feature)).collect()),
        (Space::Trunk, None) => None,
    }
}
