//! The int8 encoder of the linked asset beside the float network that it was made from, on real
//! photographs of the test split: 64 of them (8 on other processors than x86-64, which are mostly
//! emulated here), all 2,465 with `TIPCAM_FULL=1`.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use tipcam::asset::AssetFile;
use tipcam::encoder::{Embedding, Encoder};
use tipcam::fit::{Projector, projector};
use tipcam::frame::{self, Preprocessor};
use tipcam::head::{Buffers, Head, best};
use tipcam::kernels;
use tract_onnx::prelude::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
const CLASSES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/caltech101_classes.txt");
const MIN_COSINE: f64 = 0.995;
/// Points of top-1 that int8 may cost, where there are enough photographs to tell.
const MAX_LOSS: f64 = 0.5;

/// Photographs of the test split, spread evenly over the classes.
fn photographs(count: usize) -> Vec<String> {
    let path = Path::new(DATA).join("clip-vitb32/caltech101_files.json");
    let files: serde_json::Value = serde_json::from_reader(File::open(path).unwrap()).unwrap();
    let test = files["test"].as_array().unwrap();
    let place = |i: usize| test[i * test.len() / count].as_str().unwrap().to_owned();
    (0..count).map(place).collect()
}

#[test]
fn int8_features_point_where_the_float_networks_do() {
    if !Path::new(DATA).is_dir() {
        println!("left out: int8 encoder against the float network (no ../shared/data)");
        return;
    }
    let Some(asset) = AssetFile::linked().unwrap() else {
        println!("left out: int8 encoder against the float network (built without an asset)");
        return;
    };
    let full = std::env::var_os("TIPCAM_FULL").is_some_and(|value| value == "1");
    let count = match full {
        true => 2465,
        false if cfg!(target_arch = "x86_64") => 64,
        false => 8,
    };
    let views = asset.asset().unwrap();
    let head = Head::new(&views, kernels::best()).unwrap();
    let project = projector(&views, kernels::best()).unwrap().unwrap();
    let labels = views.labels.unwrap();
    let mut buffers = Buffers::new(&head);
    let mut is_right = |trunk: &[f32], projected: &[f32], truth: &str| {
        head.logits(trunk, projected, &mut buffers.workspace()).unwrap();
        best(&buffers.logits).and_then(|class| labels.get(class)) == Some(truth)
    };
    let mut encoder = Encoder::new(asset.clone(), kernels::best(), 1).unwrap();
    let preprocess = encoder.preprocess();
    let size = preprocess.size as usize;
    let network = Path::new(DATA).join("encoders/efficientnet_lite0_features.onnx");
    let float = tract_onnx::onnx()
        .model_for_path(network)
        .and_then(|model| model.with_input_fact(0, f32::fact([1, 3, size, size]).into()))
        .and_then(|model| model.into_optimized()?.into_runnable())
        .unwrap();

    let mut preprocessor = Preprocessor::new(preprocess);
    let mut pixels = vec![0; size * size * 3];
    let mut embedding = Embedding::default();
    let (mut sum, mut least) = (0.0, (1.0, String::new()));
    let (mut right, mut right_in_float) = (0, 0);
    let labels_of = folders();
    for name in photographs(count) {
        let picture = frame::read(&Path::new(DATA).join("images/caltech101").join(&name)).unwrap();
        preprocessor.run(&picture, &mut pixels);
        encoder.encode(&pixels, &mut embedding).unwrap();
        let planes: Vec<f32> = (0..3)
            .flat_map(|c| pixels.iter().skip(c).step_by(3))
            .map(|value| (f32::from(*value) - 127.0) / 128.0)
            .collect();
        let input = Tensor::from_shape(&[1, 3, size, size], &planes).unwrap();
        let output = float.run(tvec!(input.into())).unwrap();
        let theirs = output[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap();
        let norm = theirs.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let dot = embedding.trunk.iter().zip(theirs).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let cosine = dot.sum::<f64>() / norm;
        sum += cosine;

        let truth = &labels_of[name.split('/').next().unwrap()];
        let float: Vec<f32> = theirs.iter().map(|x| (f64::from(*x) / norm) as f32).collect();
        right += usize::from(is_right(&embedding.trunk, &embedding.projected, truth));
        right_in_float += usize::from(is_right(&float, &project.project(&float), truth));
        if cosine < least.0 {
            least = (cosine, name);
        }
    }
    let mean = sum / count as f64;
    println!("{count} photographs: mean cosine {mean:.5}, least {:.5} ({})", least.0, least.1);
    assert!(mean >= MIN_COSINE, "mean cosine {mean}");

    let percent = |right: usize| 100.0 * right as f64 / count as f64;
    let (int8, float) = (percent(right), percent(right_in_float));
    println!("top-1 {int8:.2} % in int8, {float:.2} % in float");
    // one photograph among 64 is already more than the bound
    let bound = MAX_LOSS.max(percent(1));
    assert!((int8 - float).abs() <= bound, "top-1 {int8} in int8, {float} in float");
}

/// The label of each folder of photographs.
fn folders() -> HashMap<String, String> {
    let text = std::fs::read_to_string(CLASSES).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (folder, label) = line.split_once('=').unwrap_or((line, line));
        (folder.trim().to_owned(), label.trim().to_owned())
    };
    lines.map(pair).collect()
}
