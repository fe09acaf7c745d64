//! `tokenizer.json`, read and run by Hugging Face's own crate, and what that file does not say.
//!
//! Three kinds are known by their models: CLIP's byte pairs (`</w>` ends a word), SigLIP's
//! SentencePiece model (Unigram) and SigLIP 2's, which is Gemma's (byte pairs that fall back to
//! bytes). Each wants its texts as they were when it was trained:
//!
//! | kind | a text is | then | tokens | padding |
//! |---|---|---|---|---|
//! | CLIP | cleaned as by OpenAI (`clean`) | the file's rules | 77 | zeros |
//! | SigLIP | in lower case, without `string.punctuation`, one space between words | the same | 64 | `</s>` |
//! | SigLIP 2 | of whole letters (NFC), in lower case | the same | 64 | `<pad>` |
//!
//! The second row is what `SiglipTokenizer` of transformers does, the third what `Siglip2Tokenizer`
//! does, and files in circulation do it or not; twice is like once. A file's own padding counts for more
//! than the table, and `tokenizer_config.json` for more than either, but for CLIP's padding: it names
//! the end token there, while those that look at their padding (MobileCLIP) were trained with zeros.

use serde::Deserialize;
use tokenizers::models::ModelWrapper;
use tokenizers::{
    PaddingDirection, PaddingParams, PaddingStrategy, PostProcessor, Tokenizer, TruncationParams,
};
use unicode_normalization::UnicodeNormalization;

use super::super::clean::clean;
use super::{MAX_CONTEXT, TextError, Tokens, error, granted};

/// A tokenizer as Hugging Face writes it.
#[derive(Clone, Debug)]
pub(super) struct HuggingFace {
    tokenizer: Tokenizer,
    training: Training,
    padding: PaddingParams,
    /// Whether the encoder is told which tokens are padding. Otherwise it looks at all, as SigLIP and
    /// MobileCLIP were trained to; OpenAI's CLIP never looks ahead and gives the same.
    masks: bool,
}

/// How a text is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Training {
    Clip,
    Siglip,
    Siglip2,
    /// A Unigram model of something else: by its file's rules alone.
    Other,
}

/// What is read of `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Config {
    tokenizer_class: Option<String>,
    model_max_length: Option<f64>,
    padding_side: Option<String>,
    pad_token: Option<Name>,
    #[serde(default)]
    model_input_names: Vec<String>,
}

/// A token's name, alone or among its properties.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Plain(String),
    Whole { content: String },
}

impl HuggingFace {
    /// Reads a `tokenizer.json` and what is beside it; gives the usual number of tokens too.
    pub(super) fn parse(file: &[u8], config: Option<&[u8]>) -> Result<(Self, usize), TextError> {
        #[derive(Deserialize)]
        struct Parts {
            #[serde(default)]
            normalizer: serde_json::Value,
            #[serde(default)]
            post_processor: serde_json::Value,
            model: Option<serde_json::Value>,
        }
        let parts: Parts = serde_json::from_slice(file).map_err(error)?;
        let model = parts.model.ok_or_else(|| error("it is JSON without a `model`"))?;
        granted::check_model(&model).map_err(error)?;
        granted::check(&parts.normalizer).map_err(error)?;
        granted::check(&parts.post_processor).map_err(error)?;
        let config: Config = match config {
            Some(config) => serde_json::from_slice(config)
                .map_err(|e| TextError::TokenizerConfig(e.to_string()))?,
            None => Config::default(),
        };

        let mut tokenizer = Tokenizer::from_bytes(file).map_err(error)?;
        let training = training(tokenizer.get_model(), config.tokenizer_class.as_deref())?;
        tokenizer.set_encode_special_tokens(true);
        let padding = padding(&tokenizer, training, &config)?;
        // a larger number stands for "no limit"
        let said = config.model_max_length.filter(|&n| n >= 1.0 && n <= MAX_CONTEXT as f64);
        let usual = if training == Training::Clip { super::openai::CONTEXT } else { 64 };
        let context = said.map_or(usual, |n| n as usize);
        let mut read = Self {
            tokenizer,
            training,
            padding,
            masks: config.model_input_names.iter().any(|name| name == "attention_mask"),
        };
        read.set_context(context)?;
        Ok((read, context))
    }

    /// Tokens that are put around a text.
    pub(super) fn around(&self) -> usize {
        self.tokenizer.get_post_processor().map_or(0, |process| process.added_tokens(false))
    }

    pub(super) fn set_context(&mut self, context: usize) -> Result<(), TextError> {
        let least = self.around() + 1;
        if context < least {
            return Err(TextError::Context { context, least, most: MAX_CONTEXT });
        }
        let strategy = PaddingStrategy::Fixed(context);
        self.tokenizer.with_padding(Some(PaddingParams { strategy, ..self.padding.clone() }));
        let truncation = TruncationParams { max_length: context, ..TruncationParams::default() };
        self.tokenizer.with_truncation(Some(truncation)).map_err(error)?;
        Ok(())
    }

    pub(super) fn encode(&self, text: &str) -> Result<Tokens, TextError> {
        let text = match self.training {
            Training::Clip => clean(text),
            Training::Siglip => canonical(text),
            Training::Siglip2 => text.nfc().collect::<String>().to_lowercase(),
            Training::Other => text.to_owned(),
        };
        let encoding = self.tokenizer.encode_fast(text, true).map_err(error)?;
        let seen = encoding.get_attention_mask().iter().map(|&seen| seen != 0 || !self.masks);
        Ok(Tokens { ids: encoding.get_ids().to_vec(), seen: seen.collect() })
    }
}

fn training(model: &ModelWrapper, class: Option<&str>) -> Result<Training, TextError> {
    match model {
        ModelWrapper::BPE(pairs) if pairs.dropout.is_some_and(|share| share > 0.0) => {
            Err(error("it leaves out merges at random (`dropout`): set that to null"))
        }
        ModelWrapper::BPE(pairs) if pairs.end_of_word_suffix.as_deref() == Some("</w>") => {
            Ok(Training::Clip)
        }
        ModelWrapper::BPE(pairs) if pairs.byte_fallback => Ok(Training::Siglip2),
        ModelWrapper::Unigram(_) if class.is_none_or(|class| class.contains("Siglip")) => {
            Ok(Training::Siglip)
        }
        ModelWrapper::Unigram(_) => Ok(Training::Other),
        ModelWrapper::BPE(_) => Err(error("its byte pairs are neither CLIP's nor Gemma's")),
        ModelWrapper::WordPiece(_) => Err(error("it is of the kind WordPiece, as BERT's")),
        ModelWrapper::WordLevel(_) => Err(error("it is of the kind WordLevel")),
    }
}

fn padding(
    tokenizer: &Tokenizer,
    training: Training,
    config: &Config,
) -> Result<PaddingParams, TextError> {
    let mut padding = match tokenizer.get_padding() {
        Some(padding) => PaddingParams { pad_to_multiple_of: None, ..padding.clone() },
        None => {
            let usual = match training {
                Training::Clip => None,
                Training::Siglip => tokenizer.token_to_id("</s>"),
                Training::Siglip2 | Training::Other => tokenizer.token_to_id("<pad>"),
            };
            PaddingParams { pad_id: usual.unwrap_or(0), ..PaddingParams::default() }
        }
    };
    if let Some(Name::Plain(name) | Name::Whole { content: name }) = &config.pad_token
        && training != Training::Clip
    {
        padding.pad_id = tokenizer.token_to_id(name).ok_or_else(|| {
            TextError::TokenizerConfig(format!("pad_token {name:?} is not in the tokenizer"))
        })?;
    }
    match config.padding_side.as_deref() {
        Some("left") => padding.direction = PaddingDirection::Left,
        Some("right") => padding.direction = PaddingDirection::Right,
        _ => {}
    }
    Ok(padding)
}

/// What `SiglipTokenizer` makes of a text before its SentencePiece model reads it.
fn canonical(text: &str) -> String {
    let lower = text.to_lowercase();
    let plain: String = lower.chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
    plain.split_whitespace().collect::<Vec<&str>>().join(" ")
}
