//! `tipcam text`: text weights of classes by a CLIP's own text encoder.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::Outcome;
use super::progress::Progress;
use super::shared::{Format, Shared};
use crate::asset;
use crate::text::{TextEncoder, Tokenizer, class_prompts, ensemble, named, templates};

/// Bytes that a list of classes or templates has at most.
const MAX_LIST: u64 = 64 << 20;

/// Make text weights of class names with a CLIP's text encoder
#[derive(Args)]
#[command(after_help = "\
Example:
  tipcam text --encoder clip/onnx/text_model.onnx --tokenizer bpe_simple_vocab_16e6.txt.gz \\
    --classes classes.txt --templates openai -o T.safetensors
  tipcam build --encoder clip.tipcam --text T.safetensors --shots photos/ -o mine.tipcam

classes.txt has a name a line (_ reads as a space, # begins a comment); or it is JSON with sentences
for each class, {\"cup\": [\"A cup has a handle.\", ..], ..}, which are taken as they are. A class's row
is the mean of its prompts' vectors, as CLIP does it. T.safetensors has one tensor `text` [classes, dim]
and the names in its metadata, as `class_names`.")]
pub(super) struct Text {
    /// The text encoder with its projection, as ONNX: optimum's text_model.onnx, open_clip's
    #[arg(long, value_name = "M.onnx")]
    encoder: PathBuf,

    /// OpenAI's byte-pair vocabulary: bpe_simple_vocab_16e6.txt.gz
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,

    /// The classes: a name a line, or JSON with sentences for each class
    #[arg(long, value_name = "FILE")]
    classes: PathBuf,

    /// What is said of a name: `simple` (a photo of a {}.), `openai` (seven templates), or a file with
    /// a template a line, {} where the name goes
    #[arg(long, value_name = "FILE|NAME", default_value = "simple")]
    templates: String,

    /// Name of the network's output that is the text's feature, where it has several
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Text {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let named_file = |path: &Path| path.display().to_string();
        let templates = match named(&self.templates) {
            Some(templates) => templates,
            None => {
                let path = Path::new(&self.templates);
                let text = list(path).with_context(|| {
                    format!("--templates {}: `simple`, `openai` or a file", path.display())
                })?;
                templates(&text).with_context(|| named_file(path))?
            }
        };
        let classes = class_prompts(&list(&self.classes)?, &templates)
            .with_context(|| named_file(&self.classes))?;
        let read = |path: &Path| fs::read(path).with_context(|| named_file(path));
        let tokenizer = Tokenizer::parse(&read(&self.tokenizer)?)
            .with_context(|| named_file(&self.tokenizer))?;
        let encoder = TextEncoder::parse(&read(&self.encoder)?, self.feature.as_deref())
            .with_context(|| named_file(&self.encoder))?;

        let prompts = classes.iter().map(|class| class.prompts.len()).sum();
        let progress = Progress::new("encoding", prompts);
        let rows = ensemble(&encoder, &tokenizer, &classes, &|done| {
            progress.show("encoding", done, prompts);
        })
        .with_context(|| named_file(&self.encoder))?;
        drop(progress);

        let names: Vec<&str> = classes.iter().map(|class| &*class.name).collect();
        let metadata = HashMap::from([("class_names".to_owned(), serde_json::to_string(&names)?)]);
        let values: Vec<u8> = rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![rows.len(), encoder.dim()], &values)?;
        let file = safetensors::serialize([("text", view)], Some(metadata))?;
        asset::write_atomic(&self.output, |out| out.write_all(&file))?;

        let (file, classes, dim) = (self.output.to_string_lossy(), rows.len(), encoder.dim());
        let line = match shared.format_or(Format::Table) {
            Format::Json => json!({"v": crate::report::SCHEMA, "file": file, "classes": classes,
                                   "prompts": prompts, "dim": dim})
            .to_string(),
            Format::Table => {
                format!("{file}: {classes} classes, {prompts} prompts, {dim} values each")
            }
        };
        super::print(&format!("{line}\n"))?;
        Ok(Outcome::Done)
    }
}

/// A text file that people write.
fn list(path: &Path) -> Result<String> {
    let named = || path.display().to_string();
    let bytes = fs::metadata(path).with_context(named)?.len();
    ensure!(bytes <= MAX_LIST, "{}: longer than {MAX_LIST} bytes", path.display());
    fs::read_to_string(path).with_context(named)
}
