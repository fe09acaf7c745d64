//! The heads: one file for each way to make the parameters of the formula in [`crate::head`]. Closed
//! forms are here, trained ones in [`super::train`]; all take a [`Task`] and give a [`Model`].

pub mod ape;
pub mod gda;
pub mod ss_text;

mod classifier;
mod model;

pub use classifier::Classifier;
pub(crate) use model::LOGIT_SCALE;
pub use model::{
    AdapterWeights, BranchWeights, Features, Keys, LinearTerm, Model, Task, Terms, Validation,
};

use super::search;
use super::train::{self, Progress};
use crate::asset::HeadKind;

/// Heads in the order in which they are preferred when they do equally well: first those that learn
/// new shots at once, then those that are made again in a moment, then the trained ones.
pub const BY_SIMPLICITY: [HeadKind; 11] = [
    HeadKind::ZeroShot,
    HeadKind::Tip,
    HeadKind::SsText,
    HeadKind::Gda,
    HeadKind::Ape,
    HeadKind::MetaAdapter,
    HeadKind::ProLip,
    HeadKind::ClipAdapter,
    HeadKind::TipF,
    HeadKind::ApeT,
    HeadKind::Incremental,
];

/// Shares of the text term that GDA's own term is tried with.
const GDA_ALPHAS: [f32; 7] = [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];
/// Exponents of APE's key weights.
const APE_GAMMAS: [f32; 2] = [0.0, 2.0];
/// Shares of CLIP-Adapter's branch.
const RATIOS: [f32; 2] = [0.2, 0.6];
/// Classes of a task of the incremental head.
pub const CLASSES_PER_TASK: usize = 10;
/// Shots that the spacing of alpha is measured on.
const SPACING_SHOTS: usize = 512;

/// Hyper-parameters; a head ignores those that it has no use for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Weight of the shots.
    pub alpha: f32,
    /// Sharpness of the affinity.
    pub beta: f32,
    /// Exponent of APE's key weights.
    pub gamma: f32,
    /// Share of CLIP-Adapter's branch.
    pub ratio: f32,
}

impl Setting {
    /// What is taken where the shots are too few to choose by: GDA's term counts as its log of 4 shots
    /// says, Tip-Adapter has its own defaults.
    #[must_use]
    pub fn default_for(kind: HeadKind, shared: bool) -> Self {
        let space =
            if shared { crate::asset::Space::Projected } else { crate::asset::Space::Trunk };
        let search::Defaults { alpha, beta, .. } = search::defaults(space);
        let alpha = match kind {
            HeadKind::Gda => 0.1,
            kind if kind.uses_keys() => alpha,
            _ => 1.0,
        };
        Self { alpha, beta, gamma: 0.0, ratio: RATIOS[0] }
    }

    /// Whether a model for one is a model for the other, with another alpha and beta.
    pub(crate) fn same_fit(&self, other: &Self) -> bool {
        (self.gamma, self.ratio) == (other.gamma, other.ratio)
    }
}

/// Settings that are worth a trial, in an order in which neighbours share work. Heads that are made
/// from another one's setting (Tip-Adapter-F, APE-T), or have none to choose, give nothing.
#[must_use]
pub fn grid(kind: HeadKind, task: &Task) -> Vec<Setting> {
    let default = Setting::default_for(kind, task.shared);
    match kind {
        HeadKind::Gda if task.rows.is_none() => vec![Setting { alpha: 1.0, ..default }],
        HeadKind::Gda => {
            let alphas = GDA_ALPHAS.iter();
            alphas.map(|&alpha| Setting { alpha, ..default }).collect()
        }
        HeadKind::ClipAdapter => RATIOS.iter().map(|&ratio| Setting { ratio, ..default }).collect(),
        HeadKind::Ape => {
            let gammas = APE_GAMMAS.iter();
            gammas.flat_map(|&gamma| key_grid(kind, task, Setting { gamma, ..default })).collect()
        }
        HeadKind::Tip | HeadKind::CacheOnly => key_grid(kind, task, default),
        _ => Vec::new(),
    }
}

/// Betas in octaves and alphas by what they make of the mean affinity sum of a shot's own class, as
/// [`search`] spaces them.
fn key_grid(kind: HeadKind, task: &Task, setting: Setting) -> Vec<Setting> {
    let model = fit(kind, task, setting, &|_| {});
    let (pictures, labels) = match &task.validation {
        Some(validation) => (&validation.pictures, &validation.labels),
        None => (&task.shots, &task.labels),
    };
    let step = labels.len().div_ceil(SPACING_SHOTS).max(1);
    let places: Vec<usize> = (0..labels.len()).step_by(step).collect();
    let terms = model.terms(task, &pictures.pick(&places));
    let betas = search::betas().step_by(2);
    let scales = search::scales().step_by(2);
    let mut weights = model.keys.as_ref().map(|keys| &keys.weights[..]).unwrap_or_default();
    if task.validation.is_some() {
        // None of them is a key.
        weights = &[];
    }
    betas
        .flat_map(|beta| {
            let sums = model.sums(&terms, beta, task.classes);
            let own = places.iter().enumerate().map(|(i, &place)| {
                let sum = sums.as_ref().map_or(0.0, |sums| sums.row(i)[labels[place]]);
                // Its own key, of cosine 1, is not a finding.
                f64::from((sum - weights.get(place).unwrap_or(&0.0)).max(0.0))
            });
            let own = (own.sum::<f64>() / places.len().max(1) as f64).max(1e-30);
            scales.clone().map(move |scale| Setting {
                alpha: (f64::from(scale) / own) as f32,
                beta,
                ..setting
            })
        })
        .collect()
}

/// Makes a head. `report` is told how a training comes along.
#[must_use]
pub fn fit(kind: HeadKind, task: &Task, setting: Setting, report: &dyn Fn(Progress)) -> Model {
    let Setting { alpha, beta, gamma, ratio } = setting;
    let model = Model { alpha, beta, ..Model::default() };
    let classifier = || Classifier::new(task);
    let mut model = match kind {
        HeadKind::ZeroShot => model,
        HeadKind::Tip | HeadKind::CacheOnly => {
            let keys = Keys {
                keys: task.shots.keys.clone(),
                classes: task.labels.clone(),
                weights: task.key_weights(),
                channels: Vec::new(),
                feature_dim: task.shots.keys.columns(),
            };
            Model { keys: Some(keys), ..model }
        }
        HeadKind::TipF => {
            Model { keys: Some(train::tip_f::train(task, alpha, beta, report)), ..model }
        }
        HeadKind::Ape => Model { keys: Some(ape::fit(task, gamma)), ..model },
        HeadKind::ApeT => {
            let (linear, keys) = train::ape_t::train(task, alpha, beta, report);
            Model { linear: Some(linear), keys: Some(keys), ..model }
        }
        HeadKind::Gda => {
            let mut linear = gda::fit(task).centred();
            let alpha = alpha.min(linear.room());
            let values = linear.weights.data.iter_mut().chain(&mut linear.bias);
            values.for_each(|value| *value *= alpha);
            Model { linear: Some(linear), ..model }
        }
        HeadKind::SsText => Model { linear: Some(ss_text::fit(task)), ..model },
        HeadKind::ClipAdapter => {
            let classifier = classifier();
            let adapter = train::clip_adapter::train(task, &classifier, ratio, report);
            let adapter = AdapterWeights::Branch(adapter);
            Model { adapter: Some(adapter), linear: classifier.linear(), ..model }
        }
        HeadKind::MetaAdapter => {
            let weights = train::meta_adapter::train(task, report);
            Model { linear: Some(meta_rows(task, &weights)), meta: Some(weights), ..model }
        }
        HeadKind::ProLip => {
            let (adapter, linear) = train::prolip::train(task, report);
            Model { adapter: Some(adapter), linear, ..model }
        }
        HeadKind::Incremental => {
            let adapter = train::incremental::train(task, CLASSES_PER_TASK, report);
            let adapter = AdapterWeights::Branch(adapter);
            Model { adapter: Some(adapter), linear: classifier().linear(), ..model }
        }
    };
    model.linear = model.linear.map(LinearTerm::centred);
    model
}

/// What Meta-Adapter's rows add to the text term: `100 (w_c - t_c)`, or `100 w_c` where mean shots stand for
/// the classes.
#[must_use]
pub fn meta_rows(task: &Task, weights: &train::meta_adapter::MetaWeights) -> LinearTerm {
    let anchors = task.anchors();
    let mut rows = weights.rows(&anchors, &task.shots.keys, &task.labels, task.workers);
    let counts = task.counts();
    for (class, count) in counts.iter().enumerate() {
        let row = rows.row_mut(class);
        if *count == 0 {
            row.fill(0.0);
            continue;
        }
        // The text term is there already; where mean shots stand for the classes it is another term.
        if task.text_stands() {
            row.iter_mut().zip(anchors.row(class)).for_each(|(w, t)| *w -= t);
        }
        row.iter_mut().for_each(|w| *w *= LOGIT_SCALE);
    }
    let has = counts.into_iter().map(|count| count > 0).collect();
    LinearTerm { has, bias: vec![0.0; task.classes], weights: rows }
}
