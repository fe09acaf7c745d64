//! Decoding and preprocessing against PIL: `tests/reference/preprocess.py` wrote what PIL makes of
//! odd pictures and of some hundred photographs.
#![cfg(all(feature = "frame", feature = "fit"))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use tipcam::asset::{Preprocess, ResizeMode};
use tipcam::frame::{Decoder, Frame, Preprocessor};

/// Kinds of files whose decoder may round otherwise than PIL's; all others are the same bits.
const NOT_EXACT: [&str; 0] = [];

#[derive(serde::Deserialize)]
struct Entry {
    input: String,
    output: String,
}

struct Golden {
    file: Vec<u8>,
    entries: BTreeMap<String, Entry>,
    size: u32,
    step: usize,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Golden {
    fn read(name: &str) -> Self {
        let file = std::fs::read(tests().join(name)).unwrap();
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        println!("{name}: {}", metadata["versions"]);
        let entries = serde_json::from_str(&metadata["entries"]).unwrap();
        let size = metadata["size"].parse().unwrap();
        let step = metadata["step"].parse().unwrap();
        Self { file, entries, size, step }
    }

    fn preprocessor(&self, mode: ResizeMode) -> Preprocessor {
        Preprocessor::new(Preprocess { size: self.size, mode, mean: [127.0; 3], std: [128.0; 3] })
    }
}

/// What differs from PIL, over the stored pixels.
#[derive(Default)]
struct Difference {
    max: u8,
    sum: u64,
    count: u64,
}

impl Difference {
    fn new(golden: &Golden, key: &str, output: &[u8]) -> Self {
        let tensors = SafeTensors::deserialize(&golden.file).unwrap();
        let expected = tensors.tensor(key).unwrap().data().to_vec();
        let stored = output.chunks_exact(3).step_by(golden.step).flatten();
        let differences: Vec<u8> =
            stored.zip(&expected).map(|(&got, &want)| got.abs_diff(want)).collect();
        assert_eq!(differences.len(), expected.len(), "{key}");
        Self {
            max: differences.iter().copied().max().unwrap(),
            sum: differences.iter().map(|&d| u64::from(d)).sum(),
            count: differences.len() as u64,
        }
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn odd_pictures_are_what_pil_makes_of_them() {
    let golden = Golden::read("preprocess_cases.safetensors");
    let mut decoder = Decoder::default();
    let mut frame = Frame::new();
    let mut failures = Vec::new();
    for mode in ResizeMode::ALL {
        let mut preprocessor = golden.preprocessor(mode);
        let mut output = vec![0; preprocessor.output_len()];
        let prefix = format!("{}/", mode.name());
        for (key, entry) in &golden.entries {
            let Some(name) = key.strip_prefix(&prefix) else { continue };
            let path = tests().join("preprocess").join(name);
            assert_eq!(sha256(&std::fs::read(&path).unwrap()), entry.input, "{name} has changed");
            if let Err(error) = decoder.read(&path, &mut frame) {
                failures.push(error.to_string());
                continue;
            }
            preprocessor.run(&frame, &mut output);
            let difference = Difference::new(&golden, key, &output);
            let same = sha256(&output) == entry.output;
            let (max, mean) = (difference.max, difference.mean());
            println!("{key:45} max {max} mean {mean:.4} {}", if same { "same bits" } else { "" });
            let excused = NOT_EXACT.iter().any(|ending| name.ends_with(ending));
            if max > 1 || !same && !excused {
                failures.push(format!("{key}: max {max}, mean {mean:.4}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

/// Damage must be an error or a picture, never a panic, whichever decoder it meets.
#[test]
fn damaged_files_do_no_harm() {
    let mut decoder = Decoder::default();
    let mut frame = Frame::new();
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let (mut errors, mut pictures) = (0, 0);
    for file in std::fs::read_dir(tests().join("preprocess")).unwrap() {
        let path = file.unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        for round in 0..40 {
            let mut bytes = whole.clone();
            if round % 2 == 0 {
                bytes.truncate(random(whole.len()));
            } else {
                // Mostly in the headers, where damage is worst.
                let end = if round % 4 == 1 { whole.len().min(700) } else { whole.len() };
                for _ in 0..=round / 8 {
                    bytes[random(end)] = random(256) as u8;
                }
            }
            match decoder.decode("damaged", &bytes, &mut frame) {
                Ok(()) => pictures += 1,
                Err(error) => {
                    assert!(error.to_string().starts_with("damaged: "), "{error}");
                    errors += 1;
                }
            }
        }
    }
    println!("{errors} errors, {pictures} pictures");
    assert!(errors > 1000);
}

#[test]
fn photographs_are_what_pil_makes_of_them() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/images"));
    if !folder.is_dir() {
        println!("left out: photographs against PIL (no ../shared/data)");
        return;
    }
    let golden = Golden::read("preprocess_photographs.safetensors");
    let mut decoder = Decoder::default();
    let mut frame = Frame::new();
    let mut preprocessor = golden.preprocessor(ResizeMode::FitShortest);
    let mut output = vec![0; preprocessor.output_len()];
    let (mut same, mut max) = (0, 0);
    for (path, entry) in &golden.entries {
        let bytes = std::fs::read(folder.join(path)).unwrap();
        assert_eq!(sha256(&bytes), entry.input, "{path} has changed");
        decoder.decode(path, &bytes, &mut frame).unwrap();
        preprocessor.run(&frame, &mut output);
        let difference = Difference::new(&golden, path, &output);
        max = max.max(difference.max);
        if sha256(&output) == entry.output {
            same += 1;
        } else {
            println!("{path}: max {} mean {:.4}", difference.max, difference.mean());
        }
    }
    let count = golden.entries.len();
    println!(
        "{same} of {count} photographs have the same bits, the others differ by at most {max}"
    );
    assert_eq!(same, count);
}
