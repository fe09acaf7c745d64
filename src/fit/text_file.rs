//! Text vectors of classes in a file of their own.

use std::collections::BTreeMap;
use std::path::Path;

use super::FitError;
use super::keys;
use super::text::{spellings, synonyms};
use crate::asset::limits::MAX_NOTE_BYTES;
use crate::tensors::Tensors;

/// What `tipcam text` writes of a file's origin.
const ORIGIN: [&str; 6] =
    ["encoder", "encoder_sha256", "tokenizer", "tokenizer_sha256", "context", "prompts_of"];

/// A file with `text [rows, dim]`, of unit norm once read (see [`Tensors`] for its format). What the rows
/// stand for is beside it: `class_names`, a list with one name for each row, as `tipcam text` writes it;
/// or, in the metadata, `names`, a bank's list of `{"name": ..}` with synonyms; or nothing.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: String,
    rows: Vec<Vec<f32>>,
    /// Row of each name; none where the file names nothing.
    index: Option<BTreeMap<String, usize>>,
    /// What the text was made of, by name, as the file says it.
    origin: Vec<(String, String)>,
    /// Templates behind the rows, if the file has them.
    templates: Vec<String>,
}

impl TextFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FitError> {
        #[derive(serde::Deserialize)]
        struct Name {
            name: String,
        }
        let file = Tensors::open(path)?;
        let text = file.get("text")?;
        let &[_, dim] = text.shape() else {
            let shape = text.shape();
            return Err(file.error(format!("text has shape {shape:?}, not [rows, dim]")).into());
        };
        let values = text.floats().map_err(|problem| file.error(format!("text {problem}")))?;
        let rows = values.chunks_exact(dim.max(1)).map(|row| {
            let mut row = row.to_vec();
            keys::normalize(&mut row);
            row
        });
        let rows: Vec<Vec<f32>> = rows.collect();
        let names: Option<Vec<Vec<String>>> = if let Some(names) = file.strings("class_names")? {
            Some(names.iter().map(|name| spellings(name)[..1].to_vec()).collect())
        } else if let Some(names) = file.metadata("names") {
            let names: Vec<Name> = serde_json::from_str(names)
                .map_err(|e| file.error(format!("the names in the metadata: {e}")))?;
            Some(names.iter().map(|entry| synonyms(&entry.name).collect()).collect())
        } else {
            None
        };
        let index = names.map(|names| {
            let mut index = BTreeMap::new();
            for (row, names) in names.into_iter().take(rows.len()).enumerate() {
                names.into_iter().for_each(|name| _ = index.entry(name).or_insert(row));
            }
            index
        });
        let origin = ORIGIN.iter().filter_map(|&name| {
            let mut value = file.metadata(name)?.to_owned();
            value.truncate(value.floor_char_boundary(MAX_NOTE_BYTES));
            Some((format!("text.{name}"), value))
        });
        let origin = origin.collect();
        let templates = file.metadata("templates");
        let templates = templates.and_then(|list| serde_json::from_str(list).ok());
        let path = file.path().to_owned();
        Ok(Self { path, rows, index, origin, templates: templates.unwrap_or_default() })
    }

    /// What the text was made of, as notes for an asset's provenance: `text.encoder`, its
    /// `text.encoder_sha256`, .. Empty for a file that does not say it.
    #[must_use]
    pub fn origin(&self) -> &[(String, String)] {
        &self.origin
    }

    /// The templates that the names were put into. Empty for sentences, and for a file that does not
    /// say it.
    #[must_use]
    pub fn templates(&self) -> &[String] {
        &self.templates
    }

    /// Values of a row; 0 without rows.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// The row of each class by its name, none for a class that is not there. A file without names has
    /// a row for each class, in their order.
    ///
    /// # Errors
    /// [`FitError::FeatureFile`]: no names, and another number of rows.
    pub fn of(&self, classes: &[String]) -> Result<Vec<Option<Vec<f32>>>, FitError> {
        let Some(index) = &self.index else {
            let (rows, classes) = (self.rows.len(), classes.len());
            if rows != classes {
                let problem = format!(
                    "text has {rows} rows and no names in its metadata; it must have one row for \
                     each of the {classes} classes"
                );
                return Err(FitError::FeatureFile { path: self.path.clone(), problem });
            }
            return Ok(self.rows.iter().cloned().map(Some).collect());
        };
        let find = |class: &String| {
            let row = spellings(class).iter().find_map(|name| index.get(name).copied())?;
            Some(self.rows[row].clone())
        };
        Ok(classes.iter().map(find).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    #[test]
    fn rows_are_found_by_the_whole_name_of_the_class() {
        let values: Vec<u8> =
            [3.0f32, 0.0, 0.0, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2, 2], &values).unwrap();
        let names = r#"["car, side view", "Sea_cat"]"#.to_owned();
        let metadata = HashMap::from([("class_names".to_owned(), names)]);
        let bytes = safetensors::serialize([("text", view)], Some(metadata)).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        let file = TextFile::open(&file).unwrap();
        assert_eq!(file.dim(), 2);
        let classes = ["sea cat", "dog", "car, side view"].map(str::to_owned);
        let found = file.of(&classes).unwrap();
        assert_eq!(found, [Some(vec![0.0, 1.0]), None, Some(vec![1.0, 0.0])]);
    }
}
