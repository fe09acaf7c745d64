use std::sync::Arc;

use super::heads::{Features, Setting, Task, Validation};
use super::matrix::{Matrix, Workers};
use super::search::{MIN_SHOTS, Search};
use super::train::Progress;
use super::{FitError, Projector, keys};
use crate::asset::{EncoderId, HeadKind, Space};
use crate::kernels::Kernels;

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
    pub project: Option<&'r (dyn Projector + 'r)>,
    /// The head to make.
    pub method: Method<'r>,
    /// Where the plain heads' alpha and beta come from.
    pub search: Search,
    /// Threads to use; the result does not depend on them.
    pub threads: usize,
    /// Kernels to use; the result does not depend on them either.
    pub kernels: &'static Kernels,
}

/// The head to make, and how.
#[derive(Clone, Copy)]
pub struct Method<'r> {
    /// Which head.
    pub kind: HeadKind,
    /// Its hyper-parameters; chosen by folds over the shots where they are not given. The plain heads
    /// have [`Recipe::search`].
    pub setting: Option<Setting>,
    /// Whether shots are held out to measure the head, to calibrate it and to set its thresholds. The
    /// plain heads always are.
    pub measure: bool,
    /// What shuffles and initial weights come from.
    pub seed: u64,
    /// Photographs of the classes that hyper-parameters are chosen on and heads compared, as shots have
    /// them, at least [`MIN_SHOTS`]; none: folds over the shots.
    pub validation: &'r [Shot],
    /// Told how a training comes along.
    pub report: &'r dyn Fn(Progress),
}

impl From<HeadKind> for Method<'_> {
    fn from(kind: HeadKind) -> Self {
        Self { kind, setting: None, measure: true, seed: 0, validation: &[], report: &|_| {} }
    }
}

impl Recipe<'_> {
    /// What the heads are fitted to. `row_gain` is that of the rows for classes without text.
    pub(super) fn task(&self, row_gain: f32) -> Task {
        let matrix = |rows: Vec<&[f32]>| {
            let columns = rows.first().map_or(0, |row| row.len());
            Matrix::from_rows(rows.into_iter(), columns)
        };
        let has_text = self.classes.iter().any(|class| class.text.is_some());
        let features = |shots: &[Shot]| {
            let projected = has_text.then(|| self.in_text_space(shots)).flatten();
            let text = projected.map(|rows| matrix(rows.iter().map(|row| &row[..]).collect()));
            Features { keys: matrix(shots.iter().map(|shot| &shot.feature[..]).collect()), text }
        };
        let classes_of = |shots: &[Shot]| shots.iter().map(|shot| shot.class).collect();
        let labels: Vec<usize> = classes_of(self.shots);
        let validation = self.method.validation;
        let validation = (!validation.is_empty()).then(|| {
            Arc::new(Validation { pictures: features(validation), labels: classes_of(validation) })
        });
        let mut counts = vec![0u32; self.classes.len()];
        labels.iter().for_each(|&label| counts[label] += 1);
        let task = Task {
            workers: Workers { kernels: self.kernels, threads: self.threads },
            classes: self.classes.len(),
            shots: features(self.shots),
            labels,
            validation,
            texts: self.classes.iter().map(|class| class.text.clone()).collect(),
            shared: self.space == Space::Projected,
            row_gain,
            reference_shots: counts.into_iter().max().unwrap_or(0) as f32,
            seed: self.method.seed,
            rows: None,
            projection: has_text.then_some(self.project).flatten().and_then(Projector::weights),
        };
        task.with_rows()
    }

    /// Looks whether a head can be made; gives the number of shots of each class.
    pub(super) fn check(&self) -> Result<Vec<u32>, FitError> {
        let classes = self.classes;
        if classes.is_empty() {
            return Err(FitError::NoClasses);
        }
        let found = self.method.validation.len();
        if (1..MIN_SHOTS).contains(&found) {
            return Err(FitError::TooFewPictures { found, needed: MIN_SHOTS });
        }
        let mut counts = vec![0; classes.len()];
        let first = self.shots.iter().chain(self.method.validation).next();
        let dim = first.map_or(0, |shot| shot.feature.len());
        for (i, shot) in self.shots.iter().chain(self.method.validation).enumerate() {
            let Some(count) = counts.get_mut(shot.class) else {
                let (shot, class) = (shot.name.clone(), shot.class);
                return Err(FitError::ClassOutOfRange { shot, class, classes: classes.len() });
            };
            *count += u32::from(i < self.shots.len());
            keys::check(&shot.name, &shot.feature, dim)?;
        }
        let mut labels = std::collections::BTreeSet::new();
        let expected =
            classes.iter().find_map(|class| Some(class.text.as_ref()?.len())).unwrap_or(0);
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

    /// The shots in the space of the text.
    pub(super) fn projected(&self) -> Option<Vec<Vec<f32>>> {
        self.in_text_space(self.shots)
    }

    fn in_text_space(&self, shots: &[Shot]) -> Option<Vec<Vec<f32>>> {
        let shots = shots.iter();
        match (self.space, self.project) {
            (Space::Projected, _) => Some(shots.map(|shot| shot.feature.clone()).collect()),
            (Space::Trunk, Some(project)) => {
                Some(shots.map(|shot| project.project(&shot.feature)).collect())
            }
            (Space::Trunk, None) => None,
        }
    }
}
