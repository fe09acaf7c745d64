//! What an asset may hold at most. Whoever reads one can therefore size its buffers at start.

use super::AssetError;

/// Sections of one file.
pub const MAX_SECTIONS: usize = 64;
/// Classes (labels).
pub const MAX_CLASSES: usize = 4096;
/// Keys of the cache: one for each shot.
pub const MAX_KEYS: usize = 1 << 20;
/// Dimensions of a feature.
pub const MAX_DIM: usize = 8192;
/// UTF-8 bytes of a label.
pub const MAX_LABEL_BYTES: usize = 64;
/// Prompt templates.
pub const MAX_PROMPTS: usize = 256;
/// UTF-8 bytes of a prompt template.
pub const MAX_PROMPT_BYTES: usize = 256;
/// Names of the text vocabulary.
pub const MAX_VOCABULARY: usize = 1 << 18;
/// UTF-8 bytes of a name of the text vocabulary.
pub const MAX_VOCABULARY_NAME_BYTES: usize = 128;
/// UTF-8 bytes of the name of the picture that a key was made from.
pub const MAX_KEY_NAME_BYTES: usize = 1024;
/// Entries of the metrics, and of the provenance.
pub const MAX_NOTES: usize = 256;
/// UTF-8 bytes of a name or a text in the metrics and the provenance.
pub const MAX_NOTE_BYTES: usize = 4096;
/// Side of the encoder's square input in pixels.
pub const MAX_INPUT_SIZE: usize = 1024;

/// `found` things called `name` (a plural, as in "4097 classes"), refused above `max`.
///
/// # Errors
/// [`AssetError::Limit`] that names the limit.
pub fn check(name: &'static str, found: usize, max: usize) -> Result<(), AssetError> {
    if found > max {
        return Err(AssetError::Limit { name, found: found as u64, max: max as u64 });
    }
    Ok(())
}
