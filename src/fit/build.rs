use super::calibration::{expected_error, temperature};
use super::folds::{self, Compared, Held};
use super::heads::{self, Setting};
use super::keys;
use super::leave_one_out::{LeaveOneOut, Shots};
use super::rows::{ClassShots, Rows};
use super::search::{self, Choice, Search};
use super::train::Progress;
use super::unknown::{Seen, Unknown, thresholds};
use super::{FitError, Method, Recipe, sections};
use crate::asset::{
    AlignedBytes, AssetError, Builder, CacheBuilder, Calibration, EncoderId, HeadKind, HeadParams,
    Key, KeyNames, Labels, Tag,
};

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
    /// How held-out shots were answered.
    pub held: Held,
    /// The head.
    pub kind: HeadKind,
    /// What the thresholds look at, for every held-out shot.
    pub known: Vec<Seen>,
    pub(super) reference_shots: f32,
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
    let ground = Ground::new(recipe)?;
    let found = ground.leave_one_out(recipe, |run| match recipe.method.kind.is_plain() {
        true => Ok(plain(recipe, run)),
        false => made(recipe, run),
    })?;
    let found = found.unwrap_or_else(|| Found::without_shots(recipe));
    let Found { choice, calibration, unknown, held, sections: made, gamma, known } = found;
    let params = HeadParams {
        kind: recipe.method.kind,
        logit_scale: heads::LOGIT_SCALE,
        alpha: choice.alpha,
        beta: choice.beta,
        reference_shots: ground.reference_shots,
        text_gain: choice.text_gain,
        row_gain: choice.row_gain,
        gamma,
    };
    let labels: Vec<&str> = recipe.classes.iter().map(|class| &class.label[..]).collect();
    let names: Vec<&str> = recipe.shots.iter().map(|shot| &shot.name[..]).collect();
    let mut sections = vec![
        (Tag::LABELS, Labels::encode(&labels)?),
        (Tag::HEAD, params.encode()),
        (Tag::CALIBRATION, calibration.encode()),
    ];
    sections.extend(made);
    if let Some(mut rows) = ground.rows {
        if let Some(shots) = &ground.class_shots {
            rows.fill(shots, choice.row_gain);
        }
        sections.push((Tag::TEXT, rows.encode()?));
    }
    if let Some(cache) = ground.cache {
        sections.push((Tag::CACHE, cache.finish(0)?.to_vec()));
        sections.push((Tag::KEY_NAMES, KeyNames::encode(&names)?));
    }
    let (kind, reference_shots) = (recipe.method.kind, ground.reference_shots);
    Ok(Built { sections, choice, calibration, unknown, held, kind, known, reference_shots })
}

/// Compares heads on the same folds over the recipe's shots.
///
/// # Errors
/// What [`build`] refuses; too few shots can be held out.
pub fn compare(
    recipe: &Recipe<'_>,
    kinds: &[HeadKind],
    report: &dyn Fn(HeadKind, Progress),
) -> Result<Vec<Compared>, FitError> {
    let ground = Ground::new(recipe)?;
    let all_have_text = recipe.classes.iter().all(|class| class.text.is_some());
    let row_gain = match all_have_text {
        true => None,
        false => ground.leave_one_out(recipe, |run| Ok(run.row_gain()))?,
    };
    folds::compare(kinds, &recipe.task(row_gain.unwrap_or(0.0)), report)
}

/// What every head stands on.
pub(super) struct Ground {
    /// Text rows; no rows from shots yet.
    rows: Option<Rows>,
    cache: Option<CacheBuilder>,
    class_shots: Option<ClassShots>,
    reference_shots: f32,
}

impl Ground {
    pub(super) fn new(recipe: &Recipe<'_>) -> Result<Self, FitError> {
        let counts = recipe.check()?;
        let text_dim = recipe.classes.iter().find_map(|class| Some(class.text.as_ref()?.len()));
        let texts: Vec<_> = recipe.classes.iter().map(|class| class.text.clone()).collect();
        let rows = text_dim.map(|dim| Rows::from_text(&texts, dim));
        let reference_shots = counts.iter().copied().max().unwrap_or(0) as f32;
        let cache = cache(recipe, &counts, reference_shots)?;
        let view = cache.as_ref().map(CacheBuilder::view).transpose()?;
        let class_shots = match &view {
            Some(view) if rows.is_some() => ClassShots::new(view, recipe.project),
            _ => None,
        };
        Ok(Self { rows, cache, class_shots, reference_shots })
    }

    /// Hands `then` the shots, each of them held out once; none without shots.
    pub(super) fn leave_one_out<T>(
        &self,
        recipe: &Recipe<'_>,
        then: impl FnOnce(&LeaveOneOut<'_>) -> Result<T, FitError>,
    ) -> Result<Option<T>, FitError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let features: Vec<&[f32]> = recipe.shots.iter().map(|shot| &shot.feature[..]).collect();
        let projected = self.rows.is_some().then(|| recipe.projected()).flatten();
        let run = LeaveOneOut::new(Shots {
            kernels: recipe.kernels,
            cache: cache.view()?,
            features: &features,
            rows: self.rows.as_ref(),
            projected: projected.as_deref(),
            class_shots: self.class_shots.as_ref(),
            logit_scale: heads::LOGIT_SCALE,
            threads: recipe.threads,
        });
        then(&run).map(Some)
    }
}

/// The parameters of a head, and how it did on held-out shots.
struct Found {
    choice: Choice,
    calibration: Calibration,
    unknown: Option<Unknown>,
    held: Held,
    sections: Vec<(Tag, Vec<u8>)>,
    gamma: f32,
    known: Vec<Seen>,
}

impl Found {
    fn without_shots(recipe: &Recipe<'_>) -> Self {
        let search::Defaults { alpha, beta, temperature } = search::defaults(recipe.space);
        Self {
            choice: Choice {
                alpha,
                beta,
                text_gain: 0.0,
                row_gain: 0.0,
                held_out: 0,
                accuracy: None,
            },
            calibration: Calibration {
                temperature,
                temperature_slope: 0.0,
                unknown_score: 0.0,
                unknown_cosine: -1.0,
                ece: 0.0,
                samples: 0,
            },
            unknown: None,
            held: Held::default(),
            sections: Vec::new(),
            gamma: 0.0,
            known: Vec::new(),
        }
    }

    /// With temperature and thresholds from these answers, if there are any.
    fn calibrated(mut self, held: Held, run: &LeaveOneOut<'_>) -> Self {
        let classes = run.classes();
        let answers = run.answers_of(&held);
        self.held = held;
        if answers.labels.is_empty() {
            return self;
        }
        let temperature = temperature(&answers.logits, &answers.labels, classes).temperature;
        self.known = answers.seen(classes, temperature);
        let thresholds = thresholds(&self.known, &answers.foreign(classes, temperature));
        self.calibration = Calibration {
            temperature: temperature.base,
            temperature_slope: temperature.slope,
            unknown_score: thresholds.score,
            unknown_cosine: thresholds.cosine,
            ece: expected_error(answers.confidences(classes, temperature).into_iter()) as f32,
            samples: answers.labels.len() as u32,
        };
        self.unknown = Some(thresholds);
        self
    }
}

/// Tip-Adapter: alpha and beta by leaving out one shot after another, or on validation pictures.
fn plain(recipe: &Recipe<'_>, run: &LeaveOneOut<'_>) -> Found {
    let Method { kind, validation, report, .. } = recipe.method;
    let mut search = recipe.search;
    if search == Search::LeaveOneOut && !validation.is_empty() && kind != HeadKind::ZeroShot {
        let Setting { alpha, beta, .. } = folds::choose(kind, &recipe.task(run.row_gain()), report);
        search = Search::Fixed { alpha, beta };
    }
    let choice = search::choose(run, recipe.space, search);
    let slope = if choice.alpha > 0.0 { choice.text_gain / choice.alpha } else { 0.0 };
    let held = run.held(kind, choice.alpha, choice.beta, slope);
    let choice = Choice { accuracy: held.accuracy(), ..choice };
    Found { choice, ..Found::without_shots(recipe) }.calibrated(held, run)
}

/// Every other head: hyper-parameters by folds.
fn made(recipe: &Recipe<'_>, run: &LeaveOneOut<'_>) -> Result<Found, FitError> {
    let Method { kind, setting, measure, report, .. } = recipe.method;
    let task = recipe.task(run.row_gain());
    let setting = setting.unwrap_or_else(|| folds::choose(kind, &task, report));
    let held = match measure {
        true => folds::hold_out(kind, &task, setting, report),
        false => Held { classes: task.classes, ..Held::default() },
    };
    let model = heads::fit(kind, &task, setting, report);
    let sections = sections::encode(&model, recipe.encoder, recipe.space, task.classes)?;
    let choice = choice_of(setting, &held, run.row_gain());
    let found = Found { choice, sections, gamma: setting.gamma, ..Found::without_shots(recipe) };
    Ok(found.calibrated(held, run))
}

/// What is known of a head that was chosen by folds.
fn choice_of(setting: Setting, held: &Held, row_gain: f32) -> Choice {
    Choice {
        alpha: setting.alpha,
        beta: setting.beta,
        text_gain: held.text_gain,
        row_gain,
        held_out: held.labels.len(),
        accuracy: held.accuracy(),
    }
}

/// The shots as int8 keys; none without any.
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
