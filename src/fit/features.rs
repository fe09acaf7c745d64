//! Cached features in place of photographs: heads are made and measured without an encoder.
//!
//! A file has, as safetensors (f16 or f32): `keys_{K}shot [C * K, D]` with `labels_{K}shot` (i32),
//! `test_features [N, D]` with `test_labels`, perhaps `val_features` with `val_labels`, and the class
//! names as a JSON list `class_names` in the metadata. Text is either `text [C, D]` in the order of
//! the classes or has their names, see [`TextFile`].

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::matrix::Workers;
use super::search::Search;
use super::text_file::TextFile;
use super::{Built, ClassSpec, Evaluation, FitError, Method, Recipe, Shot, keys};
use crate::asset::{Asset, EncoderId, HeadKind, HeadParams, Space};
use crate::head::{Buffers, Head, probabilities};
use crate::kernels::Kernels;

/// Features with their classes.
#[derive(Clone, Debug)]
pub struct Split {
    /// Features, scaled to unit norm.
    pub features: Vec<Vec<f32>>,
    /// Class of each.
    pub labels: Vec<usize>,
}

/// A file of cached features.
#[derive(Clone, Debug)]
pub struct FeatureFile {
    path: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    bytes: Vec<u8>,
}

impl FeatureFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FitError> {
        let (path, bytes) = read(path.as_ref())?;
        let names = metadata(&path, &bytes, "class_names")?;
        let classes = serde_json::from_str(&names)
            .map_err(|e| error(&path, format!("class_names in the metadata: {e}")))?;
        Ok(Self { path, classes, bytes })
    }

    /// Numbers of shots that the file has keys for, ascending.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn shots(&self) -> Result<Vec<usize>, FitError> {
        let file = parse(&self.path, &self.bytes)?;
        let number = |name: &str| name.strip_prefix("keys_")?.strip_suffix("shot")?.parse().ok();
        let mut shots: Vec<usize> = file.names().into_iter().filter_map(number).collect();
        shots.sort_unstable();
        Ok(shots)
    }

    /// The keys of `shots` shots of each class.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`], which names the numbers of shots that there are.
    pub fn keys(&self, shots: usize) -> Result<Split, FitError> {
        let there = self.shots()?;
        if !there.contains(&shots) {
            let problem = format!("it has no keys_{shots}shot; choose --shots from {there:?}");
            return Err(error(&self.path, problem));
        }
        self.split(&format!("keys_{shots}shot"), &format!("labels_{shots}shot"))
    }

    /// The features of `test` or `val`.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn features(&self, split: &str) -> Result<Split, FitError> {
        self.split(&format!("{split}_features"), &format!("{split}_labels"))
    }

    fn split(&self, features: &str, labels: &str) -> Result<Split, FitError> {
        let file = parse(&self.path, &self.bytes)?;
        let rows = rows(&self.path, &file, features)?;
        let view = file.tensor(labels).map_err(|e| error(&self.path, format!("{labels}: {e}")))?;
        if view.dtype() != Dtype::I32 {
            let problem = format!("{labels} is {:?}, it must be I32", view.dtype());
            return Err(error(&self.path, problem));
        }
        let values = view.data().as_chunks::<4>().0;
        let values = values.iter().map(|bytes| usize::try_from(i32::from_le_bytes(*bytes)));
        let labels_of = values.collect::<Result<Vec<usize>, _>>();
        let known = |labels: &Vec<usize>| {
            labels.len() == rows.len() && labels.iter().all(|&class| class < self.classes.len())
        };
        match labels_of.ok().filter(known) {
            Some(labels) => Ok(Split { features: rows, labels }),
            None => {
                let (rows, classes) = (rows.len(), self.classes.len());
                let problem = format!(
                    "{labels} must name one of the {classes} classes for each of the {rows} rows of \
                     {features}"
                );
                Err(error(&self.path, problem))
            }
        }
    }

    /// Text vectors of the file's classes out of another file; none for a class that a bank has no
    /// name for.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn text(&self, path: impl AsRef<Path>) -> Result<Vec<Option<Vec<f32>>>, FitError> {
        TextFile::open(path)?.of(&self.classes)
    }

    /// Classes and shots for a [`Recipe`], see [`recipe`].
    #[must_use]
    pub fn ingredients(
        &self,
        shots: &Split,
        text: &[Option<Vec<f32>>],
    ) -> (Vec<ClassSpec>, Vec<Shot>) {
        let texts = text.iter().cloned().chain(std::iter::repeat(None));
        let classes = self.classes.iter().cloned().zip(texts);
        let classes = classes.map(|(label, text)| ClassSpec { label, text });
        let pairs = shots.features.iter().cloned().zip(&shots.labels).enumerate();
        let shots = pairs.map(|(i, (feature, &class))| {
            let name = format!("{}/{i}", self.classes[class]);
            Shot { class, feature, name }
        });
        (classes.collect(), shots.collect())
    }
}

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
    let asset = Asset::open(&bytes)?;
    let head = Head::new(&asset, kernels)?.with_kind(kind)?;
    let mut buffers = Buffers::new(&head);
    let mut p = vec![0.0; head.classes()];
    let mut evaluation = Evaluation::new(head.classes());
    let mut answers = Vec::with_capacity(split.labels.len());
    for (feature, &label) in split.features.iter().zip(&split.labels) {
        head.logits(&[], feature, &mut buffers.workspace())?;
        probabilities(&buffers.logits, built.calibration.temperature, &mut p);
        if let Some(answer) = evaluation.push(label, &p) {
            answers.push((answer, p[answer]));
        }
    }
    Ok(Measured { evaluation, answers, params: *head.params() })
}

pub(super) fn error(path: &str, problem: String) -> FitError {
    FitError::FeatureFile { path: path.to_owned(), problem }
}

pub(super) fn read(path: &Path) -> Result<(String, Vec<u8>), FitError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| error(&name, e.to_string()))?;
    Ok((name, bytes))
}

pub(super) fn parse<'b>(path: &str, bytes: &'b [u8]) -> Result<SafeTensors<'b>, FitError> {
    SafeTensors::deserialize(bytes).map_err(|e| error(path, format!("not safetensors: {e}")))
}

pub(super) fn metadata(path: &str, bytes: &[u8], key: &str) -> Result<String, FitError> {
    let header = SafeTensors::read_metadata(bytes);
    let (_, header) = header.map_err(|e| error(path, format!("not safetensors: {e}")))?;
    let value = header.metadata().as_ref().and_then(|metadata| metadata.get(key).cloned());
    value.ok_or_else(|| error(path, format!("there is no {key} in the metadata")))
}

/// A tensor `[rows, dim]` of f16 or f32, every row scaled to unit norm.
pub(super) fn rows(
    path: &str,
    file: &SafeTensors<'_>,
    name: &str,
) -> Result<Vec<Vec<f32>>, FitError> {
    let view = file.tensor(name).map_err(|e| error(path, format!("{name}: {e}")))?;
    let &[_, dim] = view.shape() else {
        return Err(error(path, format!("{name} has shape {:?}, not [rows, dim]", view.shape())));
    };
    let values: Vec<f32> = match view.dtype() {
        Dtype::F16 => {
            let values = view.data().as_chunks::<2>().0;
            values.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        Dtype::F32 => {
            view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
        other => {
            return Err(error(path, format!("{name} is {other:?}, it must be F16 or F32")));
        }
    };
    let rows = values.chunks_exact(dim.max(1)).map(|row| {
        let mut row = row.to_vec();
        keys::normalize(&mut row);
        row
    });
    Ok(rows.collect())
}
