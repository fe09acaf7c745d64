//! `tipcam text`, and what reads its files.

use super::make::{dataset, write_features};
use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// As many merges as the small text encoder has tokens for, which do not matter here.
fn vocabulary(folder: &TempDir) -> String {
    let merges: String = ('!'..).take(86).map(|letter| format!("{letter} ~\n")).collect();
    write(folder, "vocabulary.txt", &format!("small\n{merges}"))
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    fs::write(folder.path().join(name), text).unwrap();
    path(folder, name)
}

#[test]
fn text_weights_are_made_of_names_and_read_by_eval() {
    let folder = folder();
    let (words, features) = (vocabulary(&folder), path(&folder, "features.safetensors"));
    let (encoder, out) = (format!("{GOLDEN}/text/encoder.onnx"), path(&folder, "T.safetensors"));
    let text = |classes: &str, more: &[&str]| {
        let fixed = ["text", "--encoder", &encoder, "--tokenizer", &words, "--classes", classes];
        tipcam(&[&fixed[..], &["-o", &out], more].concat())
    };
    let classes = write(&folder, "classes.txt", "c\na\nb\n");
    let done = text(&classes, &["--templates", "openai", "--format", "json"]).succeeds();
    let line = &done.json()[0];
    assert_eq!(
        (&line["classes"], &line["prompts"], &line["dim"]),
        (&3.into(), &21.into(), &8.into())
    );
    write_features(&features);
    let eval = ["eval", "--features", &features, "--head", "zero-shot", "--text", &out];
    let done = tipcam(&eval).succeeds();
    assert!(!done.err.contains("of 3 classes"), "every class has text: {}", done.err);

    let error = |classes: &str, more: &[&str], words: &[&str]| {
        text(classes, more).fails_with(words);
    };
    error(&write(&folder, "none.txt", "\n"), &[], &["none.txt", "no classes"]);
    error(&write(&folder, "alike.txt", "a b\nA_b\n"), &[], &["alike.txt", "\"A_b\""]);
    let template = write(&folder, "template.txt", "a photo\n");
    error(&classes, &["--templates", &template], &["template.txt", "must have {}"]);
    error(&classes, &["--templates", "nothing"], &["nothing", "openai"]);
}

#[test]
fn an_asset_is_built_with_text_of_its_own() {
    use safetensors::tensor::{Dtype, TensorView};
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (encoder, out) = (path(&folder, "e.tipcam"), path(&folder, "mine.tipcam"));
    let model = format!("{GOLDEN}/tiny_encoder.onnx");
    let import = ["encoder", "import", &model, "-o", &encoder, "--size", "32", "--mean", "127"];
    tipcam(&[&import[..], &["--std", "128", "--min-cosine", "0.9"]].concat()).succeeds();
    let write_text = |name: &str, dim: usize| {
        let values = (0..2 * dim).flat_map(|i| ((i % 7) as f32 - 2.5).to_le_bytes());
        let values: Vec<u8> = values.collect();
        let view = TensorView::new(Dtype::F32, vec![2, dim], &values).unwrap();
        let names = ("class_names".to_owned(), r#"["Things","animals"]"#.to_owned());
        let bytes = safetensors::serialize([("text", view)], Some([names].into())).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        path(&folder, name)
    };
    let build = |text: &str| {
        let encoder = ["--encoder", &encoder, "--shots", &photos, "--text", text, "-o", &out];
        tipcam(&[&["build"], &encoder[..]].concat())
    };
    let done = build(&write_text("T.safetensors", 48)).succeeds();
    assert!(done.out.contains("2 classes (2 with text), 10 shots"), "{}", done.out);
    let answer = &tipcam(&["classify", &demo("pizza_2"), "--asset", &out]).succeeds().json()[0];
    assert!(answer["top"][0]["zero_shot"].is_f64(), "{answer}");
    // what was built is learned on and made again
    tipcam(&["learn", "pizza", &demo("pizza_2"), "--asset", &out]).succeeds();
    tipcam(&["fit", "--head", "gda", "--asset", &out]).succeeds();
    tipcam(&["classify", &demo("pizza_2"), "--asset", &out]).succeeds();

    build(&write_text("short.safetensors", 8)).fails_with(&["short.safetensors", "8 values", "48"]);
    let text = path(&folder, "T.safetensors");
    tipcam(&["build", "--shots", &photos, "--text", &text, "-o", &out])
        .fails_with(&["--text", "vocabulary of its own"]);
}
