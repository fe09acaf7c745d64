//! Against what open_clip, transformers and PyTorch give (`tests/reference/text`).

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::*;

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/golden/text").join(name)).unwrap()
}

/// Merges "lo", "low", "low" at the end, "er" at the end, "é" of its two bytes; and as many that no
/// test needs as make the small network's start and end tokens 598 and 599.
fn small() -> Tokenizer {
    let mut file = "small\nl o\nlo w\nlo w</w>\ne r</w>\nÃ ©\n".to_owned();
    ('!'..).take(81).for_each(|letter| file += &format!("{letter} ~\n"));
    Tokenizer::parse(file.as_bytes()).unwrap()
}

#[test]
fn token_ids_are_those_of_the_reference() {
    let path = root().join("../shared/data/tokenizer/bpe_simple_vocab_16e6.txt.gz");
    let Ok(file) = fs::read(path) else {
        println!("left out: token ids of OpenAI's vocabulary (no ../shared/data/tokenizer)");
        return;
    };
    let tokenizer = Tokenizer::parse(&file).unwrap();
    assert_eq!((tokenizer.start(), tokenizer.end()), (49_406, 49_407));
    let cases: Vec<Golden> = serde_json::from_slice(&golden("tokens.json")).unwrap();
    assert!(cases.len() > 40);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let found = tokenizer.encode(&case.text);
            let (ids, padding) = found.split_at(case.ids.len());
            let right = ids == case.ids && padding.iter().all(|&id| id == 0);
            (!right).then(|| format!("{:?}: {ids:?} instead of {:?}", case.text, case.ids))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bytes_are_merged_in_the_order_of_the_vocabulary() {
    let tokenizer = small();
    let ids = |text: &str| {
        let ids = tokenizer.encode(text);
        let len = ids.iter().position(|&id| id == tokenizer.end()).unwrap();
        assert_eq!(ids[0], tokenizer.start());
        assert!(ids[len + 1..].iter().all(|&id| id == 0));
        ids[1..len].to_vec()
    };
    let byte = |byte: u8| u32::from(byte - b'!');
    assert_eq!((tokenizer.start(), tokenizer.end()), (598, 599));
    assert!(ids("").is_empty());
    assert_eq!(ids("LOW  low"), [514, 514]);
    assert_eq!(ids("lower"), [513, 515], "a merge at the end of words is another one");
    let (c3, a9) = (94 + 0xc3 - 0xa1 - 1, 94 + 0xa9 - 0xa1);
    assert_eq!(ids("éa 1é"), [516, byte(b'a') + 256, byte(b'1') + 256, c3, a9 + 256]);
    let (quote, s) = (byte(b'\''), byte(b's') + 256);
    assert_eq!(ids("a's"), [byte(b'a') + 256, quote, s], "letters do not join a contraction");
}

#[test]
fn a_long_text_keeps_its_end() {
    let tokenizer = small();
    let ids = tokenizer.encode(&"low ".repeat(200));
    assert_eq!((ids[0], ids[1], ids[75], ids[76]), (598, 514, 514, 599));
    let ids = tokenizer.encode(&"low ".repeat(74));
    assert_eq!((ids[74], ids[75], ids[76]), (514, 599, 0));
}

#[test]
fn a_file_that_is_no_vocabulary_is_named() {
    let error = |file: &[u8]| Tokenizer::parse(file).unwrap_err().to_string();
    assert!(error(b"").contains("no merges"));
    assert!(error(b"title\na b c\n").contains("line 2"));
    assert!(error(b"title\na b\nxy b\n").contains("line 3: \"xy\""));
    assert!(error(&[0x1f, 0x8b, 8, 0]).contains("bpe_simple_vocab"));
    assert!(error(&[0xff, 0xfe]).contains("UTF-8"));
}

#[test]
fn embeddings_are_those_of_pytorch() {
    let encoder = TextEncoder::parse(&golden("encoder.onnx"), None).unwrap();
    let bytes = golden("embeddings.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| file.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec();
    let ids: Vec<u32> = tensor("ids").into_iter().map(u32::from_le_bytes).collect();
    let wanted: Vec<f32> = tensor("embeddings").into_iter().map(f32::from_le_bytes).collect();
    assert_eq!(encoder.dim(), 8);
    let (ids, texts) = (ids.as_chunks::<CONTEXT>().0, wanted.len() / 8);
    assert_eq!(ids.len(), texts);
    let mut greatest = 0.0f32;
    for (ids, wanted) in ids.iter().zip(wanted.chunks_exact(8)) {
        let found = encoder.encode(ids).unwrap();
        let off = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
        greatest = off.fold(greatest, f32::max);
    }
    println!("greatest difference {greatest:e}");
    assert!(greatest < 1e-4, "{greatest}");
}

#[test]
fn a_row_is_the_mean_of_unit_vectors_and_of_unit_norm() {
    let encoder = TextEncoder::parse(&golden("encoder.onnx"), None).unwrap();
    let tokenizer = small();
    let prompts = ["low", "a lower one", "1"].map(str::to_owned).to_vec();
    let class = ClassPrompts { name: "low".into(), prompts: prompts.clone() };
    let rows = ensemble(&encoder, &tokenizer, &[class], &|_| ()).unwrap();
    let unit = |x: Vec<f32>| {
        let norm = x.iter().map(|x| x * x).sum::<f32>().sqrt();
        x.into_iter().map(|x| x / norm).collect::<Vec<f32>>()
    };
    let mut sum = vec![0.0; 8];
    for prompt in prompts {
        let one = unit(encoder.encode(&tokenizer.encode(&prompt)).unwrap());
        sum.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
    }
    let wanted = unit(sum);
    assert!(rows[0].iter().zip(&wanted).all(|(x, y)| (x - y).abs() < 1e-6), "{rows:?} {wanted:?}");
}

#[test]
fn a_token_that_the_network_does_not_have_is_an_error() {
    let encoder = TextEncoder::parse(&golden("encoder.onnx"), None).unwrap();
    let mut ids = [0; CONTEXT];
    ids[3] = 600;
    let error = encoder.encode(&ids).unwrap_err().to_string();
    assert!(error.contains("600 tokens") && error.contains("token 600"), "{error}");
}

#[test]
fn a_network_of_another_kind_is_refused() {
    let error = |bytes: &[u8]| TextEncoder::parse(bytes, None).unwrap_err().to_string();
    let picture = fs::read(root().join("tests/golden/tiny_encoder.onnx")).unwrap();
    assert!(error(&picture).contains("token ids"), "{}", error(&picture));
    assert!(error(b"nothing").contains("text encoder"), "{}", error(b"nothing"));
}
