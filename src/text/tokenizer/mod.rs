//! Token ids of a text, by the tokenizer that a text encoder was trained with.
//!
//! `openai` reads the vocabulary as OpenAI published it, `hugging_face` what Hugging Face's libraries
//! write of CLIP, SigLIP and SigLIP 2.

mod charsmap;
mod granted;
mod hugging_face;
mod openai;

use super::TextError;
pub use crate::encoder::import::MAX_CONTEXT;
use hugging_face::HuggingFace;
use openai::BytePairs;

/// What a text encoder reads: both as long as the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Rows of the encoder's table.
    pub ids: Vec<u32>,
    /// The tokens that its attention may look at.
    pub seen: Vec<bool>,
}

/// Turns texts into token ids.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    kind: Kind,
    context: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    OpenAi(Box<BytePairs>),
    HuggingFace(Box<HuggingFace>),
}

impl Tokenizer {
    /// Reads OpenAI's vocabulary, packed by gzip or plain, or a `tokenizer.json`; `config` is the
    /// `tokenizer_config.json` beside the latter, where there is one: the name of the padding and the
    /// number of tokens are written there alone.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`], [`TextError::TokenizerConfig`].
    pub fn parse(file: &[u8], config: Option<&[u8]>) -> Result<Self, TextError> {
        let start = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).trim_ascii_start();
        if start.first() == Some(&b'{') {
            let (read, context) = HuggingFace::parse(start, config)?;
            return Ok(Self { kind: Kind::HuggingFace(Box::new(read)), context });
        }
        let kind = Kind::OpenAi(Box::new(BytePairs::parse(file)?));
        Ok(Self { kind, context: openai::CONTEXT })
    }

    /// How many tokens a text becomes: what is usual for its kind, or what was set.
    #[must_use]
    pub fn context(&self) -> usize {
        self.context
    }

    /// The same for a text encoder that reads so many tokens.
    ///
    /// # Errors
    /// [`TextError::Context`]: too few for the tokens around a text, or more than [`MAX_CONTEXT`].
    pub fn with_context(mut self, context: usize) -> Result<Self, TextError> {
        let around = match &self.kind {
            Kind::OpenAi(_) => 2,
            Kind::HuggingFace(read) => read.around(),
        };
        if context <= around || context > MAX_CONTEXT {
            return Err(TextError::Context { context, least: around + 1, most: MAX_CONTEXT });
        }
        if let Kind::HuggingFace(read) = &mut self.kind {
            read.set_context(context)?;
        }
        self.context = context;
        Ok(self)
    }

    /// The tokens of a text between those that the encoder wants around it, padded. A text that is too
    /// long loses its last words, never the end token.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`]: letters that a damaged vocabulary has nothing for.
    pub fn encode(&self, text: &str) -> Result<Tokens, TextError> {
        match &self.kind {
            Kind::OpenAi(pairs) => {
                let ids = pairs.encode(text, self.context);
                // as in training: it never looks ahead, or (MobileCLIP) looks at its padding too
                let seen = vec![true; ids.len()];
                Ok(Tokens { ids, seen })
            }
            Kind::HuggingFace(read) => read.encode(text),
        }
    }
}

fn error(problem: impl ToString) -> TextError {
    TextError::Tokenizer(problem.to_string())
}
