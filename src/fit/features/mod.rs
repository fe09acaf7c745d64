//! Cached features in place of photographs: heads are made and measured without an encoder.
//!
//! A file, or several together, has arrays of these names (see [`Tensors`] for their formats):
//! `keys_{K}shot` or `keys`, the features of the shots; `labels_{K}shot` or `labels`, the class of each,
//! or `values_{K}shot` or `values`, `[N, C]`, one-hot; `test_features` with `test_labels`, perhaps
//! `val_features` with `val_labels`; `text`, a feature a class, zeros where a class has none; and
//! `class_names`. What Tip-Adapter's own code calls `keys_{K}shots`, `values_{K}shots`, `test_f`,
//! `test_l`, `val_f`, `val_l` and `clip_weights` is the same. Text can also come from a file of its own,
//! see [`TextFile`].

mod labels;
mod layout;
mod measure;

use std::path::Path;

use super::{ClassSpec, FitError, Shot, TextFile, keys};
use crate::asset::limits::MAX_CLASSES;
use crate::tensors::{Array, TensorError, Tensors};

pub use layout::Layout;
pub use measure::{ENCODER, Measured, evaluate, measure, recipe};

/// Features with their classes.
#[derive(Clone, Debug)]
pub struct Split {
    /// Features, scaled to unit norm.
    pub features: Vec<Vec<f32>>,
    /// Class of each.
    pub labels: Vec<usize>,
    /// How they lay in the file.
    pub layout: Layout,
}

/// A file of cached features.
#[derive(Clone, Debug)]
pub struct FeatureFile {
    tensors: Tensors,
    /// Names of the classes.
    pub classes: Vec<String>,
    layout: Option<Layout>,
}

impl FeatureFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FitError> {
        Self::new(Tensors::open(path)?, None, None)
    }

    /// Of arrays, with names for the classes if the file has none or others should be taken, and the
    /// layout of matrices that fit both ways. Without any names classes are called by their numbers.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn new(
        tensors: Tensors,
        names: Option<Vec<String>>,
        layout: Option<Layout>,
    ) -> Result<Self, FitError> {
        let own = tensors.strings("class_names")?;
        let mut file = Self { tensors, classes: Vec::new(), layout };
        file.classes = match names.or(own) {
            Some(names) => names,
            None => {
                let count = file.count()?;
                file.limit(count)?;
                (0..count).map(|class| format!("class {class}")).collect()
            }
        };
        file.limit(file.classes.len())?;
        if let Some(class) = file.classes.iter().position(|name| name.trim().is_empty()) {
            return Err(file.error(format!("class_names: class {class} has no name")));
        }
        Ok(file)
    }

    /// Classes of a file without names.
    fn count(&self) -> Result<usize, FitError> {
        let starting = |start: &str| self.tensors.names().find(|name| name.starts_with(start));
        if let Some(name) = starting("values") {
            return Ok(labels::one_hot(&self.tensors, name)?.1);
        }
        let dim = match self.key_name(None) {
            Some(name) => {
                let count = labels::read(&self.tensors, &name.replacen("keys", "labels", 1))?.len();
                let array = self.tensors.get(&name)?;
                let layout = Layout::of(array.shape(), Some(count), None, self.layout);
                let layout = layout.map_err(|problem| self.error(format!("{name} {problem}")))?;
                Some(array.shape()[usize::from(layout == Layout::Rows)])
            }
            None => None,
        };
        if let Some((name, array)) = self.text_array() {
            return Ok(self.matrix(name, array, None, dim)?.0.len());
        }
        let mut count = 0;
        for name in self.tensors.names().filter(|name| name.contains("label")) {
            let labels = labels::read(&self.tensors, name)?;
            count = count.max(labels.into_iter().max().map_or(0, |most| most + 1));
        }
        Ok(count)
    }

    fn limit(&self, classes: usize) -> Result<(), FitError> {
        if classes > MAX_CLASSES {
            return Err(
                self.error(format!("{classes} classes, an asset has at most {MAX_CLASSES}"))
            );
        }
        Ok(())
    }

    /// Numbers of shots that the file has keys for, ascending.
    #[must_use]
    pub fn shots(&self) -> Vec<usize> {
        let mut shots: Vec<usize> = self.tensors.names().filter_map(shots_of).collect();
        shots.sort_unstable();
        shots
    }

    /// Whether the file has any keys.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.key_name(None).is_some()
    }

    /// The keys of `shots` shots of each class; without a number `keys`, or the most that there are.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`], which names the numbers of shots that there are.
    pub fn keys(&self, shots: Option<usize>) -> Result<Split, FitError> {
        let Some(name) = self.key_name(shots) else {
            return Err(self.error(match shots {
                Some(shots) => {
                    let there = self.shots();
                    format!("it has no keys_{shots}shot; choose --shots from {there:?}")
                }
                None => "there are no shots (keys, keys_*shot) in it".to_owned(),
            }));
        };
        let labels = name.replacen("keys", "labels", 1);
        let values = name.replacen("keys", "values", 1);
        if self.tensors.find(&labels).is_none() && self.tensors.find(&values).is_some() {
            let (labels, columns) = labels::one_hot(&self.tensors, &values)?;
            if columns != self.classes.len() {
                let names = self.classes.len();
                let problem =
                    format!("{values} has {columns} classes, there are {names} class names");
                return Err(self.error(problem));
            }
            return self.split(&name, labels, None);
        }
        let labels = self.labels(&labels)?;
        self.split(&name, labels, None)
    }

    /// The features of `test` or `val`.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn features(&self, split: &str) -> Result<Split, FitError> {
        let long = (format!("{split}_features"), format!("{split}_labels"));
        let short = (format!("{split}_f"), format!("{split}_l"));
        let is_short =
            self.tensors.find(&long.0).is_none() && self.tensors.find(&short.0).is_some();
        let (features, labels) = if is_short { short } else { long };
        let labels = self.labels(&labels)?;
        self.split(&features, labels, None)
    }

    /// The file's own text vectors, one for each class, none where a row is zero; nothing if the file
    /// has none. They have `dim` values, where that is known.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn own_text(&self, dim: Option<usize>) -> Result<Option<(OwnText, Layout)>, FitError> {
        let Some((name, array)) = self.text_array() else { return Ok(None) };
        let (rows, layout) = self.matrix(name, array, Some(self.classes.len()), dim)?;
        let text = rows.into_iter().map(|row| row.iter().any(|&value| value != 0.0).then_some(row));
        Ok(Some((text.collect(), layout)))
    }

    /// Text vectors of the file's classes out of another file; none for a class that a bank has no
    /// name for.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn text(&self, path: impl AsRef<Path>) -> Result<OwnText, FitError> {
        TextFile::open(path)?.of(&self.classes)
    }

    /// Classes and shots for a [`Recipe`](super::Recipe), see [`recipe`].
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

    /// The file's arrays.
    #[must_use]
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    fn key_name(&self, shots: Option<usize>) -> Option<String> {
        let there = |name: &String| self.tensors.find(name).is_some();
        let shots = match shots {
            None => match Some("keys".to_owned()).filter(there) {
                Some(name) => return Some(name),
                None => *self.shots().last()?,
            },
            Some(shots) => shots,
        };
        [format!("keys_{shots}shot"), format!("keys_{shots}shots")].into_iter().find(there)
    }

    fn text_array(&self) -> Option<(&'static str, &Array)> {
        ["text", "clip_weights"].into_iter().find_map(|name| Some((name, self.tensors.find(name)?)))
    }

    fn labels(&self, name: &str) -> Result<Vec<usize>, FitError> {
        let labels = labels::read(&self.tensors, name)?;
        let classes = self.classes.len();
        if let Some(row) = labels.iter().position(|&label| label >= classes) {
            let (label, last) = (labels[row], classes.saturating_sub(1));
            return Err(self.error(format!(
                "{name}: row {row} is class {label}, there are {classes} classes (0 to {last})"
            )));
        }
        Ok(labels)
    }

    /// The features of an array, scaled to unit norm; zeros stay zeros.
    fn matrix(
        &self,
        name: &str,
        array: &Array,
        count: Option<usize>,
        dim: Option<usize>,
    ) -> Result<(Vec<Vec<f32>>, Layout), FitError> {
        let named = |problem: String| self.error(format!("{name} {problem}"));
        let layout = Layout::of(array.shape(), count, dim, self.layout).map_err(named)?;
        let values = array.floats().map_err(named)?;
        let &[first, second] = array.shape() else { return Ok((Vec::new(), layout)) };
        let mut rows = layout.rows(&values, &[first, second]);
        for (at, row) in rows.iter_mut().enumerate() {
            if !row.iter().all(|value| value.is_finite()) {
                return Err(named(format!(
                    ": feature {at} has a value that is not a finite number"
                )));
            }
            keys::normalize(row);
        }
        Ok((rows, layout))
    }

    fn split(&self, name: &str, labels: Vec<usize>, dim: Option<usize>) -> Result<Split, FitError> {
        let array = self.tensors.get(name)?;
        let (features, layout) = self.matrix(name, array, Some(labels.len()), dim)?;
        let empty = |row: &Vec<f32>| row.iter().all(|&value| value == 0.0);
        if let Some(at) = features.iter().position(empty) {
            return Err(self.error(format!(
                "{name}: feature {at} is all zeros: the picture gave the encoder nothing to see; leave \
                 it out, and its label"
            )));
        }
        Ok(Split { features, labels, layout })
    }

    fn error(&self, problem: String) -> FitError {
        self.tensors.error(problem).into()
    }
}

/// Text vectors of classes, of unit norm; none for a class without text.
pub type OwnText = Vec<Option<Vec<f32>>>;

fn shots_of(name: &str) -> Option<usize> {
    let number = name.strip_prefix("keys_")?;
    number.strip_suffix("shots").or_else(|| number.strip_suffix("shot"))?.parse().ok()
}

impl From<TensorError> for FitError {
    fn from(TensorError { path, problem }: TensorError) -> Self {
        Self::FeatureFile { path, problem }
    }
}
