//! `tipcam text`: text weights of classes by the text encoder of a CLIP or a SigLIP.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::progress::Progress;
use super::shared::{Format, Shared};
use super::{Outcome, note};
use crate::asset;
use crate::tensors::{Array, write_safetensors};
use crate::text::{
    Cache, MAX_CONTEXT, SETS, TextEncoder, Tokenizer, class_prompts, ensemble, named, templates,
};

/// Bytes that a list of classes or templates has at most.
const MAX_LIST: u64 = 64 << 20;

/// Bytes that a tokenizer has at most; SigLIP 2's has 34 MB.
const MAX_TOKENIZER: u64 = 256 << 20;

/// Make text weights of class names with a CLIP's text encoder
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam text --encoder clip/onnx/text_model.onnx --tokenizer bpe_simple_vocab_16e6.txt.gz \\
    --classes classes.txt --templates openai -o T.safetensors
  tipcam text --encoder siglip/onnx/text_model.onnx --tokenizer siglip/tokenizer.json \\
    --classes classes.txt -o T.safetensors
  tipcam build --encoder clip.tipcam --text T.safetensors --shots photos/ -o mine.tipcam

classes.txt has a name a line (_ reads as a space, # begins a comment); or it is JSON with sentences
for each class, {\"cup\": [\"A cup has a handle.\", ..], ..}, which are taken as they are. A class's row
is the mean of its prompts' vectors, as CLIP does it. T.safetensors has one tensor `text` [classes, dim]
and the names in its metadata, as `class_names`, with what it was made of.

What was encoded once is kept in $XDG_CACHE_HOME/tipcam/text or ~/.cache/tipcam/text, so one more class
costs one class. docs/your-own-clip.md has the whole way from a CLIP to a camera.")]
pub(super) struct Text {
    /// The text encoder with its projection, as ONNX: optimum's text_model.onnx, open_clip's
    #[arg(long, value_name = "M.onnx")]
    encoder: PathBuf,

    /// The tokenizer that it was trained with: OpenAI's bpe_simple_vocab_16e6.txt.gz, or the
    /// tokenizer.json of a CLIP, a SigLIP or a SigLIP 2 (with tokenizer_config.json beside it, if there
    /// is one)
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,

    /// The classes: a name a line, or JSON with sentences for each class
    #[arg(long, value_name = "FILE")]
    classes: PathBuf,

    #[arg(long, value_name = "FILE|NAME", default_value = "simple", help = templates_help())]
    templates: String,

    /// How many tokens the text encoder reads, where its file leaves that open
    /// [default: what the tokenizer's files say, or 77 for CLIP and 64 for SigLIP]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=MAX_CONTEXT as i64))]
    context: Option<u32>,

    /// Name of the network's output that is the text's feature, where it has several
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,

    /// Encode everything again, and keep nothing for the next time
    #[arg(long)]
    no_cache: bool,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Text {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let templates = self.templates()?;
        let list_of_classes = list(&self.classes)?;
        let classes = class_prompts(&list_of_classes, &templates)
            .with_context(|| self.classes.display().to_string())?;

        let named_tokenizer = || self.tokenizer.display().to_string();
        let words = read(&self.tokenizer, MAX_TOKENIZER)?;
        let config = self.tokenizer.with_file_name("tokenizer_config.json");
        let config = config.is_file().then(|| read(&config, MAX_TOKENIZER)).transpose()?;
        let tokenizer =
            Tokenizer::parse(&words, config.as_deref()).with_context(named_tokenizer)?;
        let network = fs::read(&self.encoder);
        let named_encoder = || self.encoder.display().to_string();
        let network = network.with_context(named_encoder)?;
        let asked = self.context.map(|context| context as usize);
        let encoder = TextEncoder::parse(&network, &tokenizer, asked, self.feature.as_deref())
            .with_context(named_encoder)?;
        let tokenizer = tokenizer.with_context(encoder.context()).with_context(named_tokenizer)?;

        let cache = self.cache(&[
            &network,
            &words,
            config.as_deref().unwrap_or_default(),
            &encoder.context().to_le_bytes(),
            self.feature.as_deref().unwrap_or_default().as_bytes(),
        ]);
        let prompts = classes.iter().map(|class| class.prompts.len()).sum();
        let progress = Progress::new("encoding", prompts);
        let made = ensemble(&encoder, &tokenizer, &classes, cache.as_ref(), &|done| {
            progress.show("encoding", done, prompts);
        })
        .with_context(named_encoder)?;
        drop(progress);
        if let Some(e) = made.unkept.or_else(|| cache.and_then(|cache| cache.trim().err())) {
            note(&format!("the cache of text rows could not be kept up: {e}"));
        }

        let names: Vec<&str> = classes.iter().map(|class| &*class.name).collect();
        let mut metadata = vec![
            ("class_names", serde_json::to_string(&names)?),
            ("encoder", file_name(&self.encoder)),
            ("encoder_sha256", sha256(&network)),
            ("tokenizer", file_name(&self.tokenizer)),
            ("tokenizer_sha256", sha256(&words)),
            ("context", encoder.context().to_string()),
        ];
        if list_of_classes.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            metadata.push(("prompts_of", file_name(&self.classes)));
        } else {
            metadata.push(("prompts_of", file_name(Path::new(&self.templates))));
            metadata.push(("templates", serde_json::to_string(&templates)?));
        }
        let shape = vec![made.rows.len(), encoder.dim()];
        let text = Array::of_f32(shape, made.rows.iter().flatten().copied());
        asset::write_atomic(&self.output, |out| {
            write_safetensors(&[("text", text)], &metadata, out)
        })?;

        let (file, dim, cached) = (self.output.to_string_lossy(), encoder.dim(), made.cached);
        let classes = classes.len();
        let line = match shared.format_or(Format::Table) {
            Format::Json => json!({"v": crate::report::SCHEMA, "file": file, "classes": classes,
                                   "prompts": prompts, "cached": cached, "dim": dim})
            .to_string(),
            Format::Table => {
                format!(
                    "{file}: {classes} classes, {prompts} prompts ({cached} from the cache), {dim} \
                     values each"
                )
            }
        };
        super::print(&format!("{line}\n"))?;
        Ok(Outcome::Done)
    }

    fn templates(&self) -> Result<Vec<String>> {
        if let Some(templates) = named(&self.templates) {
            return Ok(templates);
        }
        let path = Path::new(&self.templates);
        let text = list(path).with_context(|| {
            let sets = SETS.map(|(name, _)| name).join(", ");
            format!(
                "--templates {}: there is no such set ({sets}) and no such file",
                path.display()
            )
        })?;
        templates(&text).with_context(|| path.display().to_string())
    }

    /// The cache for what `parts` say; none where the machine has no place for it.
    fn cache(&self, parts: &[&[u8]]) -> Option<Cache> {
        if self.no_cache {
            return None;
        }
        let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|f| f.is_absolute());
        let home = || folder("HOME").map(|home| home.join(".cache"));
        let folder = folder("XDG_CACHE_HOME").or_else(home)?.join("tipcam/text");
        let cache = Cache::open(folder.clone(), parts);
        cache
            .map_err(|e| {
                note(&format!("{}: {e}; the text is encoded without a cache", folder.display()));
            })
            .ok()
    }
}

fn templates_help() -> String {
    let short = SETS.iter().map(|(name, list)| match list {
        [template] => format!("`{name}` ({template})"),
        list => format!("`{name}` ({} templates)", list.len()),
    });
    let sets = short.collect::<Vec<String>>().join(", ");
    format!(
        "What is said of a name: a file with a template a line, {{}} where the name goes, or {sets}"
    )
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text file that people write.
fn list(path: &Path) -> Result<String> {
    String::from_utf8(read(path, MAX_LIST)?).with_context(|| path.display().to_string())
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let named = || path.display().to_string();
    let bytes = fs::metadata(path).with_context(named)?.len();
    ensure!(bytes <= most, "{}: longer than {most} bytes", path.display());
    fs::read(path).with_context(named)
}
