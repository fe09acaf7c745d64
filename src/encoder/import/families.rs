//! Small networks of every family in the forms that exporters give them, which
//! `tests/reference/families` wrote: read, rewritten and run in float, they must give the features
//! that their frameworks gave.

use std::path::Path;

use rayon::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::float::FloatNet;
use super::ir::{Net, Op};
use super::{ImportError, calibrate, onnx, rewrite};

const ENCODERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders");
/// Hash of all float features, on every processor.
const FEATURES: &str = "c22094f760319e1d0254ee35450610738432f02dcfabd4d4deb8c0a21b46d271";

/// The layers that each family must become, whatever the style of its file: `c`onvolution or linear
/// layer, `d`epthwise, `n`ormalization on its own, `a`ttention, `t`okens, `r`ows, `k` for a constant,
/// `m`ean, gated `s`cale, `g`reatest of a window; in float `l`oops, `j`oin, `x` for a softmax; `q` makes
/// codes. After the rows that are read, a transformer's last block has one position.
const LAYERS: [(&str, &str); 15] = [
    ("clip", "ctncacccc rcacccc"),
    ("open_clip", "ctncacccc rcacccc"),
    ("siglip", "ctcaccc caccc ckaccc"),
    ("dinov2", "ctcaccc crcaccc n"),
    ("mobileclip_s", "cdc ddcc dc ddcc dmccsc ddcc dmccsc d cac dcc dmccs mc"),
    ("mobileclip_b", "ccctcaccc crcaccc c"),
    ("resnet", "cccd cccdc ccdcdc ccc ccdcdc t crcac"),
    ("efficientnet_lite", "cdc cdc cdc cdc c"),
    ("convnext", "cn dcc ncdcc ncdcc ncdcc mn"),
    ("regnet", "cccmccsc cccmccsc cccmccsc cccmccsc cm"),
    ("densenet", "cg jklkllccjklkllccjklkllc d jklkllccjklkllccjklkll m"),
    ("odd", "cdlldkllcgllllllklklllllklslljllldllclclllllllklljlxlmklkkjmkllkllc"),
    ("swin", "cnn lcltxlllcl lccn lljlljlcltxlllcllljlljl ccnm"),
    ("eva02", "ctckllljlkllrljkllljlkllljaccclclcckllljlkllrljkllljlkllljaccclclrrcmn"),
    ("mobilenetv3", "cdc cdc cdc cdmccsc cdmccsc c mc"),
];

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

fn family(name: &str) -> Family {
    families().into_iter().find(|family| family.name == name).unwrap()
}

impl Family {
    fn file(&self) -> Vec<u8> {
        std::fs::read(Path::new(ENCODERS).join(format!("{}.onnx", self.name))).unwrap()
    }

    fn net(&self) -> Result<Net, ImportError> {
        let model = onnx::read(&self.file(), self.size, Some(&self.output))?;
        let mut net = onnx::lower(&model, self.size)?;
        rewrite::run(&mut net, self.mean, self.std)?;
        Ok(net)
    }

    fn pictures(&self, golden: &SafeTensors) -> Vec<u8> {
        golden.tensor(&format!("pictures.{}", self.size)).unwrap().data().to_vec()
    }

    fn bytes(&self) -> usize {
        self.size * self.size * 3
    }
}

fn golden() -> Vec<u8> {
    std::fs::read(Path::new(ENCODERS).join("features.safetensors")).unwrap()
}

fn layers(net: &Net) -> String {
    let letter = |op: &Op| match op {
        Op::Conv(conv) if conv.depthwise.is_some() => 'd',
        Op::Conv(_) => 'c',
        Op::Norm { .. } => 'n',
        Op::Attention(_) => 'a',
        Op::Tokens(_) => 't',
        Op::Rows { .. } => 'r',
        Op::Constant(_) => 'k',
        Op::Mean => 'm',
        Op::Scale { .. } => 's',
        Op::MaxPool(_) => 'g',
        Op::Strided(_) => 'l',
        Op::Join { .. } => 'j',
        Op::Softmax => 'x',
        Op::Codes => 'q',
        _ => '?',
    };
    net.nodes.iter().map(|node| letter(&node.op)).collect()
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
    let golden = golden();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let mut hash = Sha256::new();
    for family in families() {
        let net = family.net().unwrap_or_else(|error| panic!("{}: {error}", family.name));
        let float = FloatNet::new(&net, family.mean);
        let theirs = golden.tensor(&family.features).unwrap();
        let dim = theirs.shape()[1];
        let theirs: Vec<f32> = theirs
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let pictures = family.pictures(&golden);
        let ours: Vec<f32> = pictures
            .par_chunks_exact(family.bytes())
            .flat_map_iter(|picture| float.run(picture, |_| ()))
            .collect();
        let cosines = ours.chunks_exact(dim).zip(theirs.chunks_exact(dim));
        let least = cosines.map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
        // The weights of quantized files are rounded.
        let wanted = if family.quantized { 0.999 } else { 0.9999 };
        assert!(least > wanted, "{}: least cosine {least}", family.name);
        ours.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, FEATURES, "on {}", std::env::consts::ARCH);
}

#[test]
fn every_style_of_a_family_becomes_the_same_layers() {
    let mut other = Vec::new();
    for family in families() {
        let (_, wanted) = LAYERS
            .iter()
            .filter(|(name, _)| family.name.starts_with(name))
            .max_by_key(|(name, _)| name.len())
            .unwrap();
        let found = layers(&family.net().unwrap());
        if found != wanted.replace(' ', "") {
            other.push((family.name, found));
        }
    }
    assert!(other.is_empty(), "other layers: {other:#?}");
}

#[test]
fn the_figures_of_a_layer_are_those_of_its_numbers() {
    let golden = golden();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let family = family("clip");
    let net = family.net().unwrap();
    let float = FloatNet::new(&net, family.mean);
    let pictures = family.pictures(&golden);
    let (bytes, count) = (family.bytes(), 3);
    let observed = calibrate::observe(&float, &pictures[..count * bytes], bytes, &|| ());
    assert_eq!(observed.len(), net.nodes.len());
    // The linear layer in front of the first attention: normalized, so its inputs' squares are 1.
    let at = net.nodes.iter().position(|node| matches!(node.op, Op::Attention(_))).unwrap() - 1;
    let Op::Conv(conv) = &net.nodes[at].op else { panic!("{}", net.nodes[at].op.name()) };
    assert!(conv.norm.is_some() && conv.factors.len() == conv.depth());
    let layer = &observed[at];
    let square = layer.input.square.iter().sum::<f64>() / conv.depth() as f64;
    assert!((square - 1.0).abs() < 1e-3, "{square}");
    for (max, square) in layer.input.max.iter().zip(&layer.input.square) {
        assert!(f64::from(*max * *max) >= *square);
    }
    // Nothing follows the sum there.
    for n in 0..layer.mean.len() {
        assert!((layer.mean[n] - layer.result_mean[n]).abs() < 1e-6);
        assert!(layer.min[n] <= layer.mean[n] as f32 && layer.mean[n] as f32 <= layer.max[n]);
    }
    let mut seen = vec![f32::INFINITY; layer.min.len()];
    for picture in pictures.chunks_exact(bytes).take(count) {
        float.run(picture, |computed| {
            if computed.layer == at {
                for row in computed.result.chunks_exact(seen.len()) {
                    seen.iter_mut().zip(row).for_each(|(min, x)| *min = min.min(*x));
                }
            }
        });
    }
    assert_eq!(seen, layer.min);
}

#[test]
fn an_output_that_is_no_feature_is_refused() {
    let clip = family("clip");
    let read = |output| {
        let model = onnx::read(&clip.file(), clip.size, output)?;
        onnx::lower(&model, clip.size)
    };
    assert!(read(None).is_ok(), "image_embeds is known");
    let error = read(Some("text_embeds")).err().unwrap();
    assert!(error.to_string().contains("image_embeds, last_hidden_state"), "{error}");
    let error = read(Some("last_hidden_state")).err().unwrap();
    assert!(error.to_string().contains("[1, 26, 28]"), "{error}");
}
