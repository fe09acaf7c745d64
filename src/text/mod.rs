//! Text weights of classes by a CLIP's own text encoder: the host's side, which a device does without.
//!
//! The way of a class: `prompts` puts its name into templates, or takes the sentences that a file has
//! for it; `tokenizer` makes token ids of each, as OpenAI's CLIP does; `encoder` runs the text
//! transformer in tract; and the class's row is the mean of its prompts' unit vectors, of unit norm
//! again.

mod clean;
mod encoder;
mod error;
mod prompts;
mod tokenizer;

pub use encoder::TextEncoder;
pub use error::TextError;
pub use prompts::{ClassPrompts, class_prompts, named, templates};
pub use tokenizer::{CONTEXT, Tokenizer};

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

/// The text row of each class, of unit norm. `progress` is told how many prompts are done, from
/// several threads.
///
/// # Errors
/// The network fails, or gives a vector that has no direction.
pub fn ensemble(
    encoder: &TextEncoder,
    tokenizer: &Tokenizer,
    classes: &[ClassPrompts],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Vec<f32>>, TextError> {
    let done = AtomicUsize::new(0);
    let row = |class: &ClassPrompts| {
        let mut sum = vec![0.0; encoder.dim()];
        for prompt in &class.prompts {
            let embedding = encoder.encode(&tokenizer.encode(prompt))?;
            add_unit(&mut sum, &embedding, prompt)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let mut row = vec![0.0; sum.len()];
        let sum: Vec<f32> = sum.iter().map(|&x| x as f32).collect();
        add_unit(&mut row, &sum, &class.name)?;
        Ok(row.into_iter().map(|x| x as f32).collect())
    };
    classes.par_iter().map(row).collect()
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
