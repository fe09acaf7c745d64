//! The files beside an encoder: its projection, and text vectors for classes named later.

use super::ImportError;
use crate::asset::Vocabulary;
use crate::asset::encoder::{Projection, projection_section};
use crate::tensors::Tensors;
use half::f16;

/// A projection, and the mean of the texts that belongs to it.
#[derive(Clone, Debug)]
pub struct ProjectionFile {
    /// Section [`Tag::PROJECTION`](crate::asset::Tag::PROJECTION).
    pub section: Vec<u8>,
    /// Length of the trunk that it takes.
    pub trunk: usize,
    /// Mean of unit-norm text embeddings, taken out of every text; as long as a projected feature.
    pub text_mean: Vec<f32>,
}

impl ProjectionFile {
    /// Of `weight [dim, trunk]`, `bias [dim]`, `image_mean [dim]` and
    /// `text_mean [dim]`, which map a unit-norm trunk into the space of the text.
    ///
    /// # Errors
    /// [`ImportError::Projection`].
    pub fn new(file: &Tensors) -> Result<Self, ImportError> {
        let error = |text: String| ImportError::Projection(text);
        let (shape, weight) = floats(file, "weight").map_err(error)?;
        let &[dim, trunk] = shape.as_slice() else {
            return Err(error(format!("weight has shape {shape:?}, it must be [dim, trunk]")));
        };
        let vector = |name: &str| -> Result<Vec<f32>, ImportError> {
            let (shape, values) = floats(file, name).map_err(error)?;
            if shape != [dim] {
                return Err(error(format!("{name} has shape {shape:?}, it must be [{dim}]")));
            }
            Ok(values)
        };
        let (bias, image_mean) = (vector("bias")?, vector("image_mean")?);
        let text_mean = vector("text_mean")?;
        let weight: Vec<u16> = weight.iter().map(|w| f16::from_f32(*w).to_bits()).collect();
        let section = projection_section(Projection {
            trunk,
            dim,
            weight: &weight,
            bias: &bias,
            image_mean: &image_mean,
        });
        Ok(Self { section, trunk, text_mean })
    }
}

/// Makes section [`Tag::VOCABULARY`](crate::asset::Tag::VOCABULARY) from a text bank: `text [names, dim]`
/// and, in the metadata, `names`, a JSON list of `{"name": ..}`. A name may list synonyms between slashes
/// or commas; what stands in brackets is left out. The first row of a synonym wins.
///
/// # Errors
/// [`ImportError::TextBank`]; [`ImportError::Asset`] if there are too many or too long names.
pub fn vocabulary(bank: &Tensors, text_mean: &[f32]) -> Result<Vec<u8>, ImportError> {
    let error = |text: String| ImportError::TextBank(text);
    let names = bank.metadata("names");
    let names = names.ok_or_else(|| error("there is no list of names in the metadata".into()))?;
    let names: Vec<Name> = serde_json::from_str(names).map_err(|e| error(e.to_string()))?;
    let (shape, rows) = floats(bank, "text").map_err(error)?;
    let dim = text_mean.len();
    if shape != [names.len(), dim] {
        let wanted = names.len();
        return Err(error(format!("text has shape {shape:?}, it must be [{wanted}, {dim}]")));
    }
    let mut index = std::collections::BTreeMap::new();
    for (row, name) in names.iter().enumerate() {
        for synonym in synonyms(&name.name) {
            index.entry(synonym).or_insert(row);
        }
    }
    let (mut scale, mut codes) = (Vec::new(), Vec::new());
    for row in index.values() {
        let centred = centre(&rows[row * dim..][..dim], text_mean);
        let greatest = centred.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        if greatest == 0.0 || !greatest.is_finite() {
            return Err(error(format!("the vector of {} is not usable", names[*row].name)));
        }
        codes.extend(centred.iter().map(|x| (x / greatest * 127.0).round() as i8));
        scale.push((greatest / 127.0) as f32);
    }
    let names: Vec<String> = index.into_keys().collect();
    Ok(Vocabulary::encode(&names, dim, &scale, &codes)?)
}

#[derive(serde::Deserialize)]
struct Name {
    name: String,
}

/// `unit(unit(text) - mean)`
fn centre(text: &[f32], mean: &[f32]) -> Vec<f64> {
    let unit = |x: Vec<f64>| {
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.into_iter().map(|x| x / norm).collect::<Vec<f64>>()
    };
    let text = unit(text.iter().map(|x| f64::from(*x)).collect());
    unit(text.iter().zip(mean).map(|(x, mean)| x - f64::from(*mean)).collect())
}

/// The names that one entry stands for: lower case, spaces between words.
fn synonyms(name: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut depth = 0;
    for c in name.to_lowercase().chars() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            '_' if depth == 0 => plain.push(' '),
            c if depth == 0 => plain.push(c),
            _ => (),
        }
    }
    let parts = plain.split(['/', ',']).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Shape and values of an array.
fn floats(file: &Tensors, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let array = file.get(name).map_err(|error| error.problem)?;
    let values = array.floats().map_err(|problem| format!("{name} {problem}"))?;
    Ok((array.shape().to_vec(), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_split_into_its_synonyms() {
        assert_eq!(synonyms("Car_(Automobile)/auto, Motor_Car"), ["car", "auto", "motor car"]);
        assert!(synonyms("(nothing)").is_empty());
    }
}
