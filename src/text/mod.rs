//! Text weights of classes by the text encoder of a CLIP or a SigLIP: the host's side, which a device
//! does without.
//!
//! The way of a class: `prompts` puts its name into templates, or takes the sentences that a file has
//! for it; `tokenizer` makes token ids of each, as the encoder was trained with; `encoder` runs the
//! text transformer in tract, unless `cache` has the prompt; and the class's row is the mean of its
//! prompts' unit vectors, of unit norm again.

mod cache;
mod clean;
mod encoder;
mod error;
mod prompts;
mod templates;
mod tokenizer;

pub use cache::Cache;
pub use encoder::TextEncoder;
pub use error::TextError;
pub use prompts::{ClassPrompts, class_prompts};
pub use templates::{SETS, named, templates};
pub use tokenizer::{MAX_CONTEXT, Tokenizer, Tokens};

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// What [`ensemble`] made.
#[derive(Debug)]
pub struct Ensemble {
    /// The text row of each class, of unit norm.
    pub rows: Vec<Vec<f32>>,
    /// Prompts whose embedding was in the cache.
    pub cached: usize,
    /// Why the cache did not keep something.
    pub unkept: Option<io::Error>,
}

/// The text row of each class, with the embeddings that `cache` has. `progress` is told how many prompts
/// are done, from several threads.
///
/// # Errors
/// The tokenizer or the network fails, or the network gives a vector that has no direction.
pub fn ensemble(
    encoder: &TextEncoder,
    tokenizer: &Tokenizer,
    classes: &[ClassPrompts],
    cache: Option<&Cache>,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Ensemble, TextError> {
    let (done, cached) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let unkept = Mutex::new(None);
    let embed = |prompt: &str| -> Result<Vec<f32>, TextError> {
        if let Some(known) = cache.and_then(|cache| cache.get(prompt, encoder.dim())) {
            cached.fetch_add(1, Ordering::Relaxed);
            return Ok(known);
        }
        let embedding = encoder.encode(&tokenizer.encode(prompt)?)?;
        if let Some(Err(e)) = cache.map(|cache| cache.put(prompt, &embedding)) {
            *unkept.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
        Ok(embedding)
    };
    let row = |class: &ClassPrompts| {
        let mut sum = vec![0.0; encoder.dim()];
        for prompt in &class.prompts {
            add_unit(&mut sum, &embed(prompt)?, prompt)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let mut row = vec![0.0; sum.len()];
        let sum: Vec<f32> = sum.iter().map(|&x| x as f32).collect();
        add_unit(&mut row, &sum, &class.name)?;
        Ok(row.into_iter().map(|x| x as f32).collect())
    };
    let rows: Result<Vec<Vec<f32>>, TextError> = classes.par_iter().map(row).collect();
    let unkept = unkept.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Ensemble { rows: rows?, cached: cached.into_inner(), unkept })
}

/// Adds `vector`, scaled to unit norm, to `sum`.
fn add_unit(sum: &mut [f64], vector: &[f32], of: &str) -> Result<(), TextError> {
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 || !norm.is_finite() {
        return Err(TextError::NoDirection { of: of.to_owned() });
    }
    sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x) / norm);
    Ok(())
}

#[cfg(test)]
mod tests;
