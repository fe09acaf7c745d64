//! The int8 encoder of the linked asset beside the float network that it was made from, on real
//! photographs: 64 of them, 500 with `TIPCAM_FULL=1`.

use std::fs::File;
use std::path::Path;

use tipcam::asset::AssetFile;
use tipcam::encoder::{Embedding, Encoder};
use tipcam::frame::{self, Preprocessor};
use tipcam::kernels;
use tract_onnx::prelude::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
const MIN_COSINE: f64 = 0.995;

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
    let count = if full { 500 } else { 64 };
    let mut encoder = Encoder::new(asset, kernels::best(), 1).unwrap();
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
        if cosine < least.0 {
            least = (cosine, name);
        }
    }
    let mean = sum / count as f64;
    println!("{count} photographs: mean cosine {mean:.5}, least {:.5} ({})", least.0, least.1);
    assert!(mean >= MIN_COSINE, "mean cosine {mean}");
}
