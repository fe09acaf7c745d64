//! Against what open_clip, transformers and PyTorch give (`tests/reference/text`).

mod damage;
mod networks;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/golden/text").join(name)).unwrap()
}

/// Merges "lo", "low", "low" at the end, "er" at the end, "é" of its two bytes; and as many that no
/// test needs as make the small network's start and end tokens 598 and 599.
fn small_vocabulary() -> String {
    let mut file = "small\nl o\nlo w\nlo w</w>\ne r</w>\nÃ ©\n".to_owned();
    ('!'..).take(81).for_each(|letter| file += &format!("{letter} ~\n"));
    file
}

fn small() -> Tokenizer {
    Tokenizer::parse(small_vocabulary().as_bytes(), None).unwrap()
}

fn small_encoder() -> TextEncoder {
    TextEncoder::parse(&golden("encoder.onnx"), &small(), None, None).unwrap()
}

fn low() -> ClassPrompts {
    let prompts = ["low", "a lower one", "1"].map(str::to_owned).to_vec();
    ClassPrompts { name: "low".into(), prompts }
}

#[test]
fn a_row_is_the_mean_of_unit_vectors_and_of_unit_norm() {
    let (encoder, tokenizer) = (small_encoder(), small());
    let made = ensemble(&encoder, &tokenizer, &[low()], None, &|_| ()).unwrap();
    let unit = |x: Vec<f32>| {
        let norm = x.iter().map(|x| x * x).sum::<f32>().sqrt();
        x.into_iter().map(|x| x / norm).collect::<Vec<f32>>()
    };
    let mut sum = vec![0.0; 8];
    for prompt in low().prompts {
        let one = unit(encoder.encode(&tokenizer.encode(&prompt).unwrap()).unwrap());
        sum.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
    }
    let (row, wanted) = (&made.rows[0], unit(sum));
    assert!(row.iter().zip(&wanted).all(|(x, y)| (x - y).abs() < 1e-6), "{row:?} {wanted:?}");
}

#[test]
fn one_more_class_costs_one_class() {
    let (encoder, tokenizer) = (small_encoder(), small());
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().to_owned(), &[b"encoder"]).unwrap();
    let plain = |name: &str| ClassPrompts { name: name.into(), prompts: vec![name.into()] };
    let made = |classes: &[ClassPrompts], cache| {
        ensemble(&encoder, &tokenizer, classes, cache, &|_| ()).unwrap()
    };
    let first = made(&[low(), plain("er")], Some(&cache));
    assert_eq!(first.cached, 0);
    let classes = [low(), plain("er"), plain("more")];
    let second = made(&classes, Some(&cache));
    assert_eq!(second.cached, 4);
    assert_eq!(second.rows[..2], first.rows[..]);
    assert_eq!(second.rows, made(&classes, None).rows);
    assert_eq!(made(&classes, Some(&cache)).cached, 5);
    // a cache that cannot be written is told, the rows are there
    fs::remove_dir_all(folder.path()).unwrap();
    let third = made(&classes, Some(&cache));
    assert!(third.unkept.is_some() && third.rows == second.rows);
}
