//! Small networks of every family in the forms that exporters give them, which
//! `tests/reference/families` wrote: read, rewritten and run in float, they must give the features
//! that their frameworks gave.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use super::float::FloatNet;
use super::ir::Net;
use super::{ImportError, onnx, rewrite};

const ENCODERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders");

struct Family {
    name: String,
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    output: String,
    features: String,
    quantized: bool,
}

fn families() -> Vec<Family> {
    let table = std::fs::read(Path::new(ENCODERS).join("encoders.json")).unwrap();
    let table: serde_json::Map<String, Value> = serde_json::from_slice(&table).unwrap();
    let three = |value: &Value| -> [f32; 3] {
        let numbers = value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
        numbers.collect::<Vec<_>>().try_into().unwrap()
    };
    let text = |value: &Value| value.as_str().unwrap().to_string();
    table
        .iter()
        .map(|(name, entry)| Family {
            name: name.clone(),
            size: entry["side"].as_u64().unwrap() as usize,
            mean: three(&entry["mean"]),
            std: three(&entry["std"]),
            output: text(&entry["output"]),
            features: text(&entry["features"]),
            quantized: ["QDQ", "Dynamic"].iter().any(|q| text(&entry["style"]).starts_with(q)),
        })
        .collect()
}

impl Family {
    fn net(&self) -> Result<Net, ImportError> {
        let path = Path::new(ENCODERS).join(format!("{}.onnx", self.name));
        let model = onnx::read(&std::fs::read(path).unwrap(), self.size, Some(&self.output))?;
        let mut net = onnx::lower(&model, self.size)?;
        rewrite::run(&mut net, self.mean, self.std)?;
        Ok(net)
    }
}

fn tensor(golden: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = golden.tensor(name).unwrap();
    let floats = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (tensor.shape().to_vec(), floats.collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_family_gives_the_features_of_its_framework() {
    let golden = std::fs::read(Path::new(ENCODERS).join("features.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let mut failed = Vec::new();
    for family in families() {
        let net = match family.net() {
            Ok(net) => net,
            Err(error) => {
                failed.push(format!("{}: {error}", family.name));
                continue;
            }
        };
        let float = FloatNet::new(&net, family.mean);
        let pictures = golden.tensor(&format!("pictures.{}", family.size)).unwrap();
        let (shape, features) = tensor(&golden, &family.features);
        let bytes = family.size * family.size * 3;
        let cosines = pictures
            .data()
            .chunks_exact(bytes)
            .zip(features.chunks_exact(shape[1]))
            .map(|(picture, feature)| cosine(&float.run(picture, |_| ()), feature));
        let least = cosines.fold(1.0, f64::min);
        // The weights of quantized files are rounded.
        let wanted = if family.quantized { 0.99 } else { 0.9999 };
        println!("{:24} {least:.6} {} nodes", family.name, net.nodes.len());
        if least < wanted {
            failed.push(format!("{}: least cosine {least}", family.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
