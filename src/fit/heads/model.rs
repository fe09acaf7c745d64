use std::sync::Arc;

use super::super::ProjectionWeights;
use super::super::matrix::{Matrix, Workers};
use super::super::rows::{ClassShots, Rows};
use super::super::train::meta_adapter::MetaWeights;
use crate::asset::RowKind;
use crate::math;

/// CLIP's factor of the text term.
pub(crate) const LOGIT_SCALE: f32 = 100.0;

/// Pictures in the two spaces that a head reads.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[n][dim]`: in the space of the keys, unit norm.
    pub keys: Matrix,
    /// `[n][text dim]`: in the space of the text; none without text.
    pub text: Option<Matrix>,
}

impl Features {
    /// Those at these places.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Self {
        let text = self.text.as_ref().map(|text| text.pick(places));
        Self { keys: self.keys.pick(places), text }
    }
}

/// What a head is fitted to: classes with text, shots or both.
#[derive(Clone)]
pub struct Task {
    /// What computes.
    pub workers: Workers,
    /// Number of classes.
    pub classes: usize,
    /// The shots.
    pub shots: Features,
    /// Class of each shot.
    pub labels: Vec<usize>,
    /// Pictures that hyper-parameters are chosen on; none: the shots, in folds.
    pub validation: Option<Arc<Validation>>,
    /// Text vectors of unit norm, where there are any.
    pub texts: Vec<Option<Vec<f32>>>,
    /// Whether keys and text live in one space.
    pub shared: bool,
    /// Gain of the rows that are drawn from shots.
    pub row_gain: f32,
    /// Shots that a class is taken to have: a key weighs this over the shots of its class.
    pub reference_shots: f32,
    /// What shuffles and initial weights come from.
    pub seed: u64,
    /// Rows of text weights, the missing ones drawn from shots; none without text.
    pub rows: Option<Rows>,
    /// The encoder's map from the space of the keys to that of the text, where they are two and it can
    /// be trained.
    pub projection: Option<Arc<ProjectionWeights>>,
}

/// Labelled pictures that no head is made of.
#[derive(Debug)]
pub struct Validation {
    /// Their features.
    pub pictures: Features,
    /// Class of each.
    pub labels: Vec<usize>,
}

impl Task {
    /// The same with these shots alone.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Self {
        let labels = places.iter().map(|&place| self.labels[place]).collect();
        Self { shots: self.shots.pick(places), labels, rows: None, ..self.clone() }.with_rows()
    }

    /// Makes the rows of text weights, as an asset has them.
    #[must_use]
    pub fn with_rows(mut self) -> Self {
        let dim = self.texts.iter().flatten().map(Vec::len).next();
        self.rows = dim.map(|dim| {
            let mut rows = Rows::from_text(&self.texts, dim);
            let projected = self.shots.text.iter().flat_map(Matrix::iter).map(<[f32]>::to_vec);
            let projected: Vec<_> = projected.collect();
            if let Some(shots) = ClassShots::of(&projected, &self.labels, self.classes) {
                rows.fill(&shots, self.row_gain);
            }
            rows
        });
        self
    }

    /// Number of shots of each class.
    #[must_use]
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|&label| counts[label] += 1);
        counts
    }

    /// Weight of each key where classes have unequal numbers of shots.
    #[must_use]
    pub fn key_weights(&self) -> Vec<f32> {
        let counts = self.counts();
        self.labels.iter().map(|&label| self.reference_shots / counts[label] as f32).collect()
    }

    /// `[classes][dim]`: mean shot of each class; zeros without any.
    #[must_use]
    pub fn means(&self) -> Matrix {
        let dim = self.shots.keys.columns();
        let mut out = Matrix::zeros(self.classes, dim);
        for class in 0..self.classes {
            let own = self.shots.keys.iter().zip(&self.labels).filter(|(_, l)| **l == class);
            let mean = super::super::keys::mean(own.map(|(shot, _)| shot), dim);
            out.row_mut(class).copy_from_slice(&mean);
        }
        out
    }

    /// Whether the text weights of a class are rows in the space of the keys.
    #[must_use]
    pub fn has_row(&self, class: usize) -> bool {
        self.shared && self.rows.as_ref().is_some_and(|rows| rows.kinds[class] != RowKind::Empty)
    }

    /// Whether a class has text, in whatever space.
    #[must_use]
    pub fn has_text(&self, class: usize) -> bool {
        self.texts.get(class).is_some_and(Option::is_some)
    }

    /// Whether text can stand for the classes among the keys: it shares their space, and no class with
    /// shots lacks it. Text and photographs lie in different parts of the space, so that some of each
    /// cannot be compared.
    #[must_use]
    pub fn text_stands(&self) -> bool {
        self.shared && self.labels.iter().all(|&label| self.has_text(label)) && self.has_any_text()
    }

    fn has_any_text(&self) -> bool {
        self.texts.iter().any(Option::is_some)
    }

    /// `[classes][dim]`: what stands for a class in the space of the keys, of unit norm: its text if
    /// [`text_stands`](Self::text_stands), else its mean shot; zeros where it has none.
    #[must_use]
    pub fn anchors(&self) -> Matrix {
        if !self.text_stands() {
            return self.means().normalized();
        }
        let mut anchors = Matrix::zeros(self.classes, self.shots.keys.columns());
        for (class, text) in self.texts.iter().enumerate() {
            if let Some(text) = text {
                anchors.row_mut(class).copy_from_slice(text);
            }
        }
        anchors
    }

    /// `[n][classes]`: the text term; zeros without text.
    #[must_use]
    pub fn text_terms(&self, projected: Option<&Matrix>, n: usize) -> Matrix {
        match (&self.rows, projected) {
            (Some(rows), Some(projected)) => {
                projected.times_transposed(&rows.matrix(), self.workers).scaled(LOGIT_SCALE)
            }
            _ => Matrix::zeros(n, self.classes),
        }
    }
}

/// A linear term before it is rounded to f16.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearTerm {
    /// `[classes]`: whether a class has a row.
    pub has: Vec<bool>,
    /// `[classes][dim]`
    pub weights: Matrix,
    /// `[classes]`
    pub bias: Vec<f32>,
}

/// The largest weight that a linear term may have; f16, in which it is kept, ends at 65,504.
const MAX_WEIGHT: f32 = 60_000.0;

impl LinearTerm {
    /// The largest factor that f16 has room for. GDA's weights grow as the shots of a class come
    /// together; a term beyond this leaves the text no say anyway.
    #[must_use]
    pub fn room(&self) -> f32 {
        let most = self.weights.data.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
        if most > 0.0 { MAX_WEIGHT / most } else { f32::INFINITY }
    }

    /// Without what all its classes have in common. That moves all logits alike, and what is left can be
    /// added up in f32 and kept in f16 without loss.
    #[must_use]
    pub fn centred(mut self) -> Self {
        let there: Vec<usize> = (0..self.has.len()).filter(|&class| self.has[class]).collect();
        let rows = there.iter().map(|&class| self.weights.row(class));
        let mean = super::super::keys::mean(rows, self.weights.columns());
        let sum: f64 = there.iter().map(|&class| f64::from(self.bias[class])).sum();
        let bias_mean = sum / there.len().max(1) as f64;
        for class in there {
            let row = self.weights.row_mut(class).iter_mut().zip(&mean);
            row.for_each(|(weight, mean)| *weight -= mean);
            self.bias[class] = (f64::from(self.bias[class]) - bias_mean) as f32;
        }
        self
    }
}

/// Keys before they are rounded to i8.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    /// `[keys][channels, or dim]`
    pub keys: Matrix,
    /// Class of each key.
    pub classes: Vec<usize>,
    /// Weight of each key.
    pub weights: Vec<f32>,
    /// Channels that the keys have, ascending; empty when they have all.
    pub channels: Vec<usize>,
    /// Dimensions of the feature.
    pub feature_dim: usize,
}

/// An adapter before it is rounded to f16.
#[derive(Clone, Debug, PartialEq)]
pub enum AdapterWeights {
    /// Of the feature that the keys are.
    Branch(BranchWeights),
    /// From the keys' space to the text's, in place of the encoder's own map.
    Projection(ProjectionWeights),
}

/// `norm(keep f + ratio branch(f))`.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchWeights {
    /// Factor of the feature.
    pub keep: f32,
    /// Factor of the branch.
    pub ratio: f32,
    /// `[hidden][dim]` of a bottleneck; none for a linear branch.
    pub down: Option<Matrix>,
    /// `[dim][hidden]`, or `[dim][dim]`.
    pub up: Matrix,
}

/// The parameters of the formula that every head is computed by (see [`crate::head`]), in float.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Weight of the keys.
    pub alpha: f32,
    /// Sharpness of the affinity.
    pub beta: f32,
    /// The feature's adapter.
    pub adapter: Option<AdapterWeights>,
    /// The linear term.
    pub linear: Option<LinearTerm>,
    /// The keys.
    pub keys: Option<Keys>,
    /// What the linear term was made with, for classes that come later.
    pub meta: Option<MetaWeights>,
}

impl BranchWeights {
    /// The adapted features.
    #[must_use]
    pub fn run(&self, features: &Matrix, workers: Workers) -> Matrix {
        let rectified = |mut m: Matrix| {
            m.data.iter_mut().for_each(|value| *value = value.max(0.0));
            m
        };
        let mut out = match &self.down {
            None => features.times_transposed(&self.up, workers),
            Some(down) => {
                let hidden = rectified(features.times_transposed(down, workers));
                rectified(hidden.times_transposed(&self.up, workers))
            }
        };
        for (g, f) in out.data.iter_mut().zip(&features.data) {
            *g = self.ratio * *g + self.keep * f;
        }
        out.normalized()
    }
}

/// What a model says of some pictures, before alpha and beta.
pub struct Terms {
    /// `[n][classes]`: the text term.
    pub text: Matrix,
    /// `[n][classes]`: the linear term.
    pub linear: Option<Matrix>,
    /// `[n][keys]`
    cosines: Option<Matrix>,
}

impl Model {
    /// Classes that have a term of shots.
    #[must_use]
    pub fn covered(&self, classes: usize) -> Vec<bool> {
        let mut covered = vec![false; classes];
        if let Some(keys) = &self.keys {
            keys.classes.iter().for_each(|&class| covered[class] = true);
        }
        if let Some(linear) = &self.linear {
            covered.iter_mut().zip(&linear.has).for_each(|(covered, has)| *covered |= has);
        }
        covered
    }

    /// The terms of these pictures.
    #[must_use]
    pub fn terms(&self, task: &Task, pictures: &Features) -> Terms {
        let (workers, n) = (task.workers, pictures.keys.rows());
        let branch = match &self.adapter {
            Some(AdapterWeights::Branch(branch)) => Some(branch.run(&pictures.keys, workers)),
            _ => None,
        };
        let read = branch.as_ref().unwrap_or(&pictures.keys);
        let text = match (&self.adapter, &branch) {
            (Some(AdapterWeights::Projection(own)), _) => {
                task.text_terms(Some(&own.run(&pictures.keys, workers)), n)
            }
            (_, Some(branch)) if task.shared => task.text_terms(Some(branch), n),
            _ => task.text_terms(pictures.text.as_ref(), n),
        };
        let linear = self.linear.as_ref().map(|linear| {
            let mut out = read.times_transposed(&linear.weights, workers);
            for row in out.data.chunks_exact_mut(task.classes.max(1)) {
                row.iter_mut().zip(&linear.bias).for_each(|(value, bias)| *value += bias);
            }
            out
        });
        let cosines = self.keys.as_ref().map(|keys| match keys.channels.is_empty() {
            true => pictures.keys.times_transposed(&keys.keys, workers),
            false => {
                let queries = pictures.keys.pick_columns(&keys.channels).normalized();
                queries.times_transposed(&keys.keys, workers)
            }
        });
        Terms { text, linear, cosines }
    }

    /// `[n][classes]`: the sums of the keys' affinities at `beta`; none without keys.
    #[must_use]
    pub fn sums(&self, terms: &Terms, beta: f32, classes: usize) -> Option<Matrix> {
        let (keys, cosines) = (self.keys.as_ref()?, terms.cosines.as_ref()?);
        let mut out = Matrix::zeros(cosines.rows(), classes);
        for (i, row) in cosines.iter().enumerate() {
            let sums = out.row_mut(i);
            for ((&class, weight), cosine) in keys.classes.iter().zip(&keys.weights).zip(row) {
                sums[class] += weight * math::exp(math::mul_add(beta, *cosine, -beta));
            }
        }
        Some(out)
    }

    /// `[n][classes]`: what shots give, without the rule for classes that have none.
    #[must_use]
    pub fn shot_terms(&self, terms: &Terms, classes: usize) -> Matrix {
        let zeros = || Matrix::zeros(terms.text.rows(), classes);
        let linear = terms.linear.clone().unwrap_or_else(zeros);
        match self.sums(terms, self.beta, classes) {
            Some(sums) => sums.scaled_plus(self.alpha, &linear),
            None => linear,
        }
    }

    /// `[n][classes]`: the logits in float, for classes that all have text and shots.
    #[must_use]
    pub fn logits(&self, task: &Task, pictures: &Features) -> Matrix {
        let terms = self.terms(task, pictures);
        self.shot_terms(&terms, task.classes).scaled_plus(1.0, &terms.text)
    }
}
