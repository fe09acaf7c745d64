//! Encoders of every family and style of export, small ones with random weights and outlier channels: each
//! is imported, is near its float network, and gives the same bits on every instruction set and number
//! of threads. `tests/reference/families` makes the files.
//!
//! `TIPCAM_WRITE_GOLDEN=1 cargo test --test families` writes the hashes anew after an intended change.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tipcam::asset::{AssetFile, Preprocess, ResizeMode};
use tipcam::encoder::import::{Options, import};
use tipcam::encoder::{Embedding, Encoder};
use tipcam::kernels::{self, Kernels};

const ENCODERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/families.txt");

/// Mean cosine of the int8 features to the framework's float ones.
const NEAR: f64 = 0.99;

/// One network of each family. The others are these again, as other exporters and quantizers write them.
const FAMILIES: [&str; 15] = [
    "clip",
    "convnext",
    "densenet",
    "dinov2",
    "efficientnet_lite",
    "eva02",
    "mobileclip_b",
    "mobileclip_s",
    "mobilenetv3",
    "odd",
    "open_clip",
    "regnet",
    "resnet",
    "siglip",
    "swin",
];

#[test]
fn every_family_is_imported_and_gives_the_committed_bits() {
    assert_eq!(check(|name| FAMILIES.contains(&name)), FAMILIES.len());
}

#[test]
fn every_style_of_export_is_imported_and_gives_the_committed_bits() {
    assert_ne!(check(|name| !FAMILIES.contains(&name)), 0);
}

/// Checks the networks of these names and says how many there are.
fn check(wanted: impl Fn(&str) -> bool) -> usize {
    let table = fs::read(Path::new(ENCODERS).join("encoders.json")).unwrap();
    let table: serde_json::Map<String, Value> = serde_json::from_slice(&table).unwrap();
    let tensors = fs::read(Path::new(ENCODERS).join("features.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let (mut lines, mut far) = (Vec::new(), Vec::new());
    for (name, entry) in table.iter().filter(|(name, _)| wanted(name)) {
        let side = entry["side"].as_u64().unwrap();
        let pictures = tensors.tensor(&format!("pictures.{side}")).unwrap().data().to_vec();
        let options = Options {
            preprocess: Preprocess {
                size: side as u32,
                mode: ResizeMode::FitShortest,
                mean: three(&entry["mean"]),
                std: three(&entry["std"]),
            },
            projection: None,
            vocabulary: None,
            min_cosine: 0.0,
            mixed: None,
            output: Some(entry["output"].as_str().unwrap().to_owned()),
        };
        let onnx = fs::read(Path::new(ENCODERS).join(format!("{name}.onnx"))).unwrap();
        let imported = import(&onnx, &pictures, &options, &|_| ());
        let imported = imported.unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = AssetFile::try_from(imported.builder().to_bytes().unwrap()).unwrap();

        let ours = features(&file, &pictures, kernels::best(), 1);
        let theirs = tensors.tensor(entry["features"].as_str().unwrap()).unwrap();
        let cosine = mean_cosine(&ours, theirs.data(), theirs.shape()[1]);
        println!("{name}: mean cosine {cosine:.5}");
        if cosine < NEAR {
            far.push(format!("{name} {cosine:.4}"));
        }
        let runs = kernels::available().map(|kernels| (kernels, 1));
        for (kernels, threads) in runs.chain([(kernels::best(), 3)]) {
            let again = features(&file, &pictures, kernels, threads);
            assert_eq!(hash(&again), hash(&ours), "{name}: {} {threads}", kernels.name());
        }
        let id = imported.builder().encoder_id();
        lines.push(format!("{name} {id} {}", hash(&ours)));
    }
    assert!(far.is_empty(), "too far from the float network: {far:?}");
    let golden = golden(&table, &lines);
    assert_eq!(golden.lines().count(), table.len(), "a line of {GOLDEN} for each network");
    for line in &lines {
        assert!(golden.lines().any(|golden| golden == line), "other bits than {GOLDEN}: {line}");
    }
    lines.len()
}

/// The committed lines, after these were put in if that is asked for.
fn golden(table: &serde_json::Map<String, Value>, lines: &[String]) -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let mut golden = fs::read_to_string(GOLDEN).unwrap();
    if std::env::var_os("TIPCAM_WRITE_GOLDEN").is_some() {
        let mut all = String::new();
        for name in table.keys() {
            let of = |line: &&str| line.split(' ').next() == Some(name.as_str());
            let line = lines.iter().map(String::as_str).chain(golden.lines()).find(of);
            line.into_iter().for_each(|line| writeln!(all, "{line}").unwrap());
        }
        fs::write(GOLDEN, &all).unwrap();
        golden = all;
    }
    golden
}

fn three(value: &Value) -> [f32; 3] {
    let numbers = value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
    numbers.collect::<Vec<_>>().try_into().unwrap()
}

/// The unit-norm features of all pictures, one after the other.
fn features(
    file: &AssetFile,
    pictures: &[u8],
    kernels: &'static Kernels,
    threads: usize,
) -> Vec<f32> {
    let mut encoder = Encoder::new(file.clone(), kernels, threads).unwrap();
    let side = encoder.preprocess().size as usize;
    let mut all = Vec::new();
    let mut embedding = Embedding::default();
    for picture in pictures.chunks_exact(side * side * 3) {
        encoder.encode(picture, &mut embedding).unwrap();
        all.extend_from_slice(&embedding.trunk);
    }
    all
}

fn mean_cosine(ours: &[f32], theirs: &[u8], dim: usize) -> f64 {
    let theirs: Vec<f32> =
        theirs.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    assert_eq!(ours.len(), theirs.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let rows = ours.chunks_exact(dim).zip(theirs.chunks_exact(dim));
    let cosines: Vec<f64> = rows.map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).collect();
    cosines.iter().sum::<f64>() / cosines.len() as f64
}

fn hash(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
