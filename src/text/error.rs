use crate::encoder::import::ImportError;

/// Why there is no text for classes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The tokenizer's file.
    #[error(
        "this is not a tokenizer that can be read: {0}; give OpenAI's bpe_simple_vocab_16e6.txt.gz, or \
         the tokenizer.json of a CLIP, a SigLIP or a SigLIP 2"
    )]
    Tokenizer(String),
    /// What is beside it.
    #[error("tokenizer_config.json beside it: {0}")]
    TokenizerConfig(String),
    /// A number of tokens that is of no use.
    #[error("--context {context}: the tokenizer makes {least} to {most} tokens of a text")]
    Context {
        /// What was asked for.
        context: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// The text encoder.
    #[error(transparent)]
    Network(#[from] ImportError),
    /// A class file without classes.
    #[error("there are no classes in it: write one a line")]
    NoClasses,
    /// A class file that begins like JSON and is not as it must be.
    #[error(
        "it must be JSON with a list of sentences for each class, as {{\"cup\": [\"..\"]}}: {0}"
    )]
    Json(serde_json::Error),
    /// Two classes that nothing could tell apart.
    #[error("class \"{second}\" is named like \"{first}\" above it: give every class its own name")]
    Alike {
        /// The one that came first.
        first: String,
        /// The other.
        second: String,
    },
    /// A class of a JSON file without anything to say of it.
    #[error("class \"{0}\" has no sentences: write some, or name it in a plain list of classes")]
    NoSentences(String),
    /// A template that has no place for a name, or several.
    #[error(
        "template \"{0}\" must have {{}} once, where the class's name goes, as \"a photo of a {{}}.\""
    )]
    Template(String),
    /// A file without templates.
    #[error("there are no templates in it: write one a line, as \"a photo of a {{}}.\"")]
    NoTemplates,
    /// A text that is far longer than a text encoder reads.
    #[error("\"{start}..\" has {bytes} bytes, a name or sentence has {limit} at most")]
    Long {
        /// Its first letters.
        start: String,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// More classes or prompts than a head has room for.
    #[error("there are more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// What is allowed.
        limit: usize,
    },
    /// A vector of zeros or with a value that is no number.
    #[error("the text encoder gave nothing usable for \"{of}\": its weights are damaged")]
    NoDirection {
        /// The prompt or the class.
        of: String,
    },
}
