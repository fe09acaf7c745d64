//! `tipcam text`, and what reads its files.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::make::{dataset, write_features};
use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    fs::write(folder.path().join(name), text).unwrap();
    path(folder, name)
}

/// A command line that makes `T.safetensors` in a folder, with a cache in it.
struct Text<'a> {
    folder: &'a TempDir,
    encoder: String,
    tokenizer: String,
    classes: String,
}

impl<'a> Text<'a> {
    /// The small CLIP, with as many merges as it has tokens for, which do not matter here.
    fn clip(folder: &'a TempDir) -> Self {
        let merges: String = ('!'..).take(86).map(|letter| format!("{letter} ~\n")).collect();
        Self {
            folder,
            encoder: format!("{GOLDEN}/text/encoder.onnx"),
            tokenizer: write(folder, "vocabulary.txt", &format!("small\n{merges}")),
            classes: write(folder, "classes.txt", "c\na\nb\n"),
        }
    }

    fn siglip(folder: &'a TempDir) -> Self {
        Self {
            encoder: format!("{GOLDEN}/text/siglip.onnx"),
            tokenizer: format!("{GOLDEN}/text/siglip_tokenizer.json"),
            ..Self::clip(folder)
        }
    }

    fn run(&self, more: &[&str]) -> Done {
        let mut command = assert_cmd::Command::from_std(program());
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command.args(["text", "--encoder", &self.encoder, "--tokenizer", &self.tokenizer]);
        command.args(["--classes", &self.classes, "-o", &self.output()]).args(more);
        let output = command.timeout(Duration::from_secs(600)).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn output(&self) -> String {
        path(self.folder, "T.safetensors")
    }

    /// Prompts, and how many of them were cached.
    fn counts(&self, more: &[&str]) -> (u64, u64) {
        let line = &self.run(&[&["--format", "json"], more].concat()).succeeds().json()[0];
        (line["prompts"].as_u64().unwrap(), line["cached"].as_u64().unwrap())
    }

    /// Fails with these words, and writes nothing.
    #[track_caller]
    fn fails(&self, more: &[&str], words: &[&str]) {
        self.run(more).fails_with(words);
        assert!(!Path::new(&self.output()).exists());
    }
}

#[test]
fn text_weights_are_made_of_names_and_read_by_eval() {
    let folder = folder();
    let text = Text::clip(&folder);
    let done = text.run(&["--templates", "openai", "--format", "json"]).succeeds();
    let line = &done.json()[0];
    assert_eq!(
        (&line["classes"], &line["prompts"], &line["dim"]),
        (&3.into(), &21.into(), &8.into())
    );
    let features = path(&folder, "features.safetensors");
    write_features(&features);
    let out = text.output();
    let eval = ["eval", "--features", &features, "--head", "zero-shot", "--text", &out];
    let done = tipcam(&eval).succeeds();
    assert!(!done.err.contains("of 3 classes"), "every class has text: {}", done.err);

    let bytes = fs::read(&out).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about = header.metadata().as_ref().unwrap();
    assert_eq!((&*about["encoder"], &*about["tokenizer"]), ("encoder.onnx", "vocabulary.txt"));
    assert_eq!((&*about["context"], &*about["prompts_of"]), ("77", "openai"));
    assert!(about["templates"].contains("itap of a {}."));
    assert!(about["encoder_sha256"].len() == 64 && about["tokenizer_sha256"].len() == 64);
}

#[test]
fn one_more_class_is_encoded_alone() {
    let folder = folder();
    let mut text = Text::clip(&folder);
    assert_eq!(text.counts(&["--templates", "openai"]), (21, 0));
    let first = fs::read(text.output()).unwrap();
    assert_eq!(text.counts(&["--templates", "openai"]), (21, 21));
    assert_eq!(fs::read(text.output()).unwrap(), first, "the same bytes from the cache");
    text.classes = write(&folder, "more.txt", "c\nd\na\nb\n");
    assert_eq!(text.counts(&["--templates", "openai"]), (28, 21));
    let done = text.run(&["--templates", "openai"]).succeeds();
    assert!(done.out.contains("28 prompts (28 from the cache)"), "{}", done.out);
    // without a cache, damaged entries, another encoder
    assert_eq!(text.counts(&["--templates", "openai", "--no-cache"]), (28, 0));
    let whole = fs::read(text.output()).unwrap();
    for entry in fs::read_dir(folder.path().join("cache/tipcam/text")).unwrap() {
        let entry = entry.unwrap().path();
        let mut bytes = fs::read(&entry).unwrap();
        bytes[5] ^= 1;
        fs::write(entry, bytes).unwrap();
    }
    assert_eq!(text.counts(&["--templates", "openai"]), (28, 0));
    assert_eq!(fs::read(text.output()).unwrap(), whole);
    text.encoder = format!("{GOLDEN}/text/clip_float16.onnx");
    assert_eq!(text.counts(&["--templates", "openai"]), (28, 0));
    // a place that is no folder is told, and the text is made
    fs::remove_dir_all(folder.path().join("cache")).unwrap();
    fs::write(folder.path().join("cache"), "").unwrap();
    let done = text.run(&[]).succeeds();
    assert!(done.err.contains("without a cache"), "{}", done.err);
}

#[test]
fn every_kind_of_tokenizer_makes_text_weights() {
    let folder = folder();
    let siglip = Text::siglip(&folder);
    assert_eq!(siglip.counts(&["--templates", "pets"]), (3, 0));
    assert_eq!(siglip.counts(&["--templates", "pets", "--context", "64"]), (3, 3));
    // the encoder has room for 160 tokens, the other vocabulary has more
    let siglip2 = Text { tokenizer: format!("{GOLDEN}/text/siglip2_tokenizer.json"), ..siglip };
    fs::remove_file(siglip2.output()).unwrap();
    siglip2.fails(&[], &["siglip.onnx", "vocabulary is 160 tokens", "the tokenizer's"]);
}

#[test]
fn what_cannot_be_used_is_an_error() {
    let folder = folder();
    let text = Text::clip(&folder);
    let with_classes = |classes: String| Text { classes, ..Text::clip(&folder) };
    with_classes(write(&folder, "none.txt", "\n")).fails(&[], &["none.txt", "no classes"]);
    with_classes(write(&folder, "alike.txt", "a b\nA_b\n")).fails(&[], &["alike.txt", "\"A_b\""]);
    let template = write(&folder, "template.txt", "a photo\n");
    text.fails(&["--templates", &template], &["template.txt", "must have {}"]);
    text.fails(&["--templates", "nothing"], &["nothing", "no such set", "openai", "eurosat"]);

    let with_tokenizer = |tokenizer: String| Text { tokenizer, ..Text::siglip(&folder) };
    let kinds = ["bpe_simple_vocab_16e6.txt.gz", "tokenizer.json", "SigLIP 2"];
    let json = fs::read_to_string(format!("{GOLDEN}/text/siglip_tokenizer.json")).unwrap();
    let cut = write(&folder, "cut.json", &json[..json.len() - 100]);
    with_tokenizer(cut).fails(&[], &[&["cut.json"], &kinds[..]].concat());
    let other = write(&folder, "vocab.json", r#"{"a": 0, "b": 1}"#);
    with_tokenizer(other).fails(&[], &[&["vocab.json", "without a `model`"], &kinds[..]].concat());
    let words = r#"{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    let words = write(&folder, "words.json", words);
    with_tokenizer(words).fails(&[], &[&["words.json", "WordLevel"], &kinds[..]].concat());
    let merges: String = ('!'..).take(90).map(|letter| format!("{letter} ~\n")).collect();
    let large = Text { tokenizer: write(&folder, "large.txt", &merges), ..Text::clip(&folder) };
    large.fails(&[], &["encoder.onnx", "600 tokens", "token 601"]);
    let beside = write(&folder, "tokenizer.json", &json);
    write(&folder, "tokenizer_config.json", "{");
    with_tokenizer(beside).fails(&[], &["tokenizer_config.json"]);

    text.fails(&["--context", "64"], &["encoder.onnx", "77", "64"]);
    Text::siglip(&folder).fails(&["--context", "65"], &["siglip.onnx", "64", "65"]);
    Text::siglip(&folder).fails(&["--context", "1"], &["--context 1", "2 to 4096"]);
    text.fails(&["--feature", "hidden"], &["encoder.onnx", "text_embeds"]);
    assert_eq!(text.run(&["--context", "0"]).code, 2);
    assert_eq!(text.run(&["--contexts", "3"]).code, 2);
}

#[test]
fn help_lists_the_sets_of_templates() {
    let help = tipcam(&["text", "--help"]).succeeds().out;
    let words = help.split_whitespace().collect::<Vec<&str>>().join(" ");
    for set in ["`openai` (7 templates)", "`dtd` ({} texture.)", "`ucf101`", "`caltech`"] {
        assert!(words.contains(set), "{set}: {help}");
    }
}

#[test]
fn an_asset_is_built_with_text_of_its_own() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (encoder, out) = (path(&folder, "e.tipcam"), path(&folder, "mine.tipcam"));
    let model = format!("{GOLDEN}/tiny_encoder.onnx");
    let import = ["encoder", "import", &model, "-o", &encoder, "--size", "32", "--mean", "127"];
    tipcam(&[&import[..], &["--std", "128", "--min-cosine", "0.9"]].concat()).succeeds();
    let write_text = |name: &str, dim: usize, about: &[(&str, &str)]| {
        let values = (0..2 * dim).flat_map(|i| ((i % 7) as f32 - 2.5).to_le_bytes());
        let values: Vec<u8> = values.collect();
        let view = TensorView::new(Dtype::F32, vec![2, dim], &values).unwrap();
        let names = [("class_names", r#"["Things","animals"]"#)];
        let about = names.iter().chain(about).map(|&(key, value)| (key.into(), value.into()));
        let bytes = safetensors::serialize([("text", view)], Some(about.collect())).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        path(&folder, name)
    };
    let build = |text: &str| {
        let encoder = ["--encoder", &encoder, "--shots", &photos, "--text", text, "-o", &out];
        tipcam(&[&["build"], &encoder[..]].concat())
    };
    let long = "x".repeat(5000);
    let about = [
        ("encoder", "text_model.onnx"),
        ("encoder_sha256", "ab12"),
        ("tokenizer", &long),
        ("prompts_of", "openai"),
        ("templates", r#"["itap of a {}.", "art of the {}."]"#),
    ];
    let done = build(&write_text("T.safetensors", 48, &about)).succeeds();
    assert!(done.out.contains("2 classes (2 with text), 10 shots"), "{}", done.out);
    let answer = &tipcam(&["classify", &demo("pizza_2"), "--asset", &out]).succeeds().json()[0];
    assert!(answer["top"][0]["zero_shot"].is_f64(), "{answer}");
    let inspect = |more: &[&str]| tipcam(&[&["inspect", &out], more].concat()).succeeds();
    let asset = &inspect(&["--format", "json"]).json()[0];
    let notes = &asset["provenance"];
    assert_eq!(notes["text.encoder"], "text_model.onnx");
    assert_eq!(notes["text.encoder_sha256"], "ab12");
    assert_eq!(notes["text.prompts_of"], "openai");
    assert_eq!(notes["text.tokenizer"].as_str().unwrap().len(), 4096);
    assert_eq!(asset["text"]["prompts"][1], "art of the {}.");
    let table = inspect(&[]).out;
    assert!(table.contains("text.encoder") && table.contains("itap of a {}."), "{table}");
    // what was built is learned on and made again
    tipcam(&["learn", "pizza", &demo("pizza_2"), "--asset", &out]).succeeds();
    tipcam(&["fit", "--head", "gda", "--asset", &out]).succeeds();
    tipcam(&["classify", &demo("pizza_2"), "--asset", &out]).succeeds();

    // more templates than an asset has room for
    let many = serde_json::to_string(&vec!["a {}"; 300]).unwrap();
    build(&write_text("many.safetensors", 48, &[("templates", &many)])).succeeds();
    assert_eq!(inspect(&["--format", "json"]).json()[0]["text"]["prompts"], serde_json::json!([]));

    let short = write_text("short.safetensors", 8, &[]);
    build(&short).fails_with(&["short.safetensors", "8 values", "48"]);
    let text = path(&folder, "T.safetensors");
    tipcam(&["build", "--shots", &photos, "--text", &text, "-o", &out])
        .fails_with(&["--text", "vocabulary of its own"]);
}
