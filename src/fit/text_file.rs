//! Text vectors of classes in a file of their own.

use std::collections::BTreeMap;
use std::path::Path;

use super::FitError;
use super::features::{error, metadata, parse, read, rows};
use crate::asset::limits::MAX_NOTE_BYTES;

/// What `tipcam text` writes of a file's origin.
const ORIGIN: [&str; 6] =
    ["encoder", "encoder_sha256", "tokenizer", "tokenizer_sha256", "context", "prompts_of"];
use super::text::{spellings, synonyms};

/// A safetensors file with `text [rows, dim]`, of unit norm once read. What the rows stand for is in
/// the metadata: `class_names`, a JSON list with one name for each row, as `tipcam text` writes it; or
/// `names`, a bank's list of `{"name": ..}` with synonyms; or nothing.
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
        let (path, bytes) = read(path.as_ref())?;
        let rows = rows(&path, &parse(&path, &bytes)?, "text")?;
        let wrong = |e| error(&path, format!("the names in the metadata: {e}"));
        let names: Option<Vec<Vec<String>>> =
            if let Ok(names) = metadata(&path, &bytes, "class_names") {
                let names: Vec<String> = serde_json::from_str(&names).map_err(wrong)?;
                Some(names.iter().map(|name| spellings(name)[..1].to_vec()).collect())
            } else if let Ok(names) = metadata(&path, &bytes, "names") {
                let names: Vec<Name> = serde_json::from_str(&names).map_err(wrong)?;
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
            let mut value = metadata(&path, &bytes, name).ok()?;
            value.truncate(value.floor_char_boundary(MAX_NOTE_BYTES));
            Some((format!("text.{name}"), value))
        });
        let origin = origin.collect();
        let templates = metadata(&path, &bytes, "templates").ok();
        let templates = templates.and_then(|list| serde_json::from_str(&list).ok());
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
                return Err(error(&self.path, problem));
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
