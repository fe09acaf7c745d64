//! The whole way on a small network that `tests/reference/tiny_encoder.py` wrote: ONNX in, features
//! beside ONNX Runtime's out.

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::{ImportError, Imported, Options, import};
use crate::asset::encoder::LayerKind;
use crate::asset::{AssetFile, Preprocess, ResizeMode};
use crate::encoder::{Embedding, Encoder, EncoderError};
use crate::kernels;

const TINY: &[u8] = include_bytes!("../../../tests/golden/tiny_encoder.onnx");
const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/tiny_encoder.safetensors");
const SIZE: usize = 32;
const DIM: usize = 48;

/// What every processor must make of the network and its pictures.
const ENCODER_ID: &str = "48aad882c509798bbb9aee5c76fe2bd2420097ba884bc33552e891f6bd63f2fe";
const FEATURES: &str = "625850ebd5ee89619be1e27c8ddb686b6f9a3057264b00eeeb240b814fffe7eb";

fn options() -> Options {
    Options {
        preprocess: Preprocess {
            size: SIZE as u32,
            mode: ResizeMode::Squash,
            mean: [127.0; 3],
            std: [128.0; 3],
        },
        projection: None,
        vocabulary: None,
        output: None,
        min_cosine: 0.99,
        mixed: None,
    }
}

fn pictures() -> Vec<u8> {
    let file = SafeTensors::deserialize(GOLDEN).unwrap();
    file.tensor("pixels").unwrap().data().to_vec()
}

fn tiny() -> Imported {
    import(TINY, &pictures(), &options(), &|_| ()).unwrap()
}

fn file(imported: &Imported) -> AssetFile {
    AssetFile::try_from(imported.builder().to_bytes().unwrap()).unwrap()
}

/// Features of all pictures, one after the other.
fn features(file: &AssetFile, kernels: &'static kernels::Kernels, threads: usize) -> Vec<f32> {
    features_of(&pictures(), SIZE, file, kernels, threads)
}

fn features_of(
    pictures: &[u8],
    side: usize,
    file: &AssetFile,
    kernels: &'static kernels::Kernels,
    threads: usize,
) -> Vec<f32> {
    let mut encoder = Encoder::new(file.clone(), kernels, threads).unwrap();
    let mut embedding = Embedding::default();
    let each = pictures.chunks_exact(side * side * 3).flat_map(|picture| {
        encoder.encode(picture, &mut embedding).unwrap();
        embedding.trunk.clone()
    });
    each.collect()
}

#[test]
fn features_are_near_those_of_onnx_runtime() {
    let imported = tiny();
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let golden = golden.tensor("trunk").unwrap();
    let theirs: Vec<f32> = golden
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let ours = features(&file(&imported), kernels::best(), 1);
    assert_eq!(ours.len(), theirs.len());
    let cosines = ours.chunks_exact(DIM).zip(theirs.chunks_exact(DIM)).map(|(a, b)| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    });
    let least = cosines.fold(1.0, f32::min);
    assert!(least > 0.998, "least cosine {least}");
    assert!((imported.report.least - f64::from(least)).abs() < 1e-3, "the report agrees");
}

#[test]
fn every_operator_becomes_part_of_a_convolution() {
    use LayerKind::{Conv, Depthwise};
    let report = tiny().report;
    let kinds: Vec<LayerKind> = report.layers.iter().map(|layer| layer.info.kind).collect();
    assert_eq!(kinds, [Conv, Depthwise, Conv, Conv, Depthwise, Conv, Conv]);
    let shapes: Vec<[usize; 3]> = report.layers.iter().map(|layer| layer.info.shape).collect();
    assert_eq!(shapes[0], [16, 16, 8]);
    assert_eq!(shapes[6], [1, 1, DIM]);
    assert_eq!(report.layers[0].info.macs, 16 * 16 * 8 * 27);
    assert!(report.layers.iter().all(|layer| layer.cosine > 0.99), "{report:#?}");
}

#[test]
fn an_import_gives_the_same_bytes_on_every_processor_and_thread_count() {
    let id = tiny().builder().encoder_id();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(tiny).builder().encoder_id(), id, "{threads} threads");
    }
    assert_eq!(format!("{id:#}"), ENCODER_ID, "on {}", std::env::consts::ARCH);
}

#[test]
fn features_have_the_same_bits_for_every_kernel_and_thread_count() {
    let file = file(&tiny());
    for kernels in kernels::available() {
        for threads in 1..=4 {
            let mut hash = Sha256::new();
            for value in features(&file, kernels, threads) {
                hash.update(value.to_bits().to_le_bytes());
            }
            let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, FEATURES, "{} kernels, {threads} threads", kernels.name());
        }
    }
}

const FOREIGN: &[u8] = include_bytes!("../../../tests/golden/foreign.onnx");

#[test]
fn an_operator_without_an_int8_form_runs_in_float() {
    let imported = import(FOREIGN, &pictures(), &options(), &|_| ()).unwrap();
    let float = imported.report.layers.iter().filter(|layer| layer.info.kind.is_float());
    let names: Vec<&str> = float.map(|layer| &*layer.info.name).collect();
    assert_eq!(names, ["gate"]);
}

#[test]
fn an_operator_that_has_no_place_is_named() {
    // A tangent instead of a sine.
    let at = FOREIGN.windows(3).position(|bytes| bytes == b"Sin").unwrap();
    let mut foreign = FOREIGN.to_vec();
    foreign[at..at + 3].copy_from_slice(b"Tan");
    let error = import(&foreign, &pictures(), &options(), &|_| ()).unwrap_err();
    assert!(matches!(&error, ImportError::Unsupported { node, .. } if node == "gate"), "{error}");
    assert!(error.to_string().contains("Tan"), "{error}");
}

#[test]
fn what_is_no_network_or_no_picture_is_refused() {
    let none = |_| ();
    let error = import(b"not ONNX", &pictures(), &options(), &none).unwrap_err();
    assert!(matches!(error, ImportError::Onnx { .. }), "{error}");
    for pictures in [&[][..], &[0; 100]] {
        let error = import(TINY, pictures, &options(), &none).unwrap_err();
        assert!(matches!(error, ImportError::Pictures { size: SIZE, .. }), "{error}");
    }
    let picky = Options { min_cosine: 1.0, ..options() };
    let error = import(TINY, &pictures(), &picky, &none).unwrap_err();
    assert!(matches!(error, ImportError::Cosine { wanted: 1.0, .. }), "{error}");
}

#[test]
fn layers_stay_in_float_until_the_features_are_near_enough() {
    // A transformer, whose rows of outlier channels lose most. (In the tiny network it is the codes between
    // the layers that do, which float weights change nothing of.)
    const SIDE: usize = 40;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders");
    let clip = std::fs::read(format!("{golden}/clip.onnx")).unwrap();
    let tensors = std::fs::read(format!("{golden}/features.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let pictures = tensors.tensor("pictures.40").unwrap().data();
    let mut options = options();
    options.preprocess.size = SIDE as u32;
    options.output = Some("image_embeds".to_owned());
    let import = |options: &Options| import(&clip, pictures, options, &|_| ());
    let plain = import(&options).unwrap().report.cosine;
    let wanted = plain + (1.0 - plain) * 0.1;
    let options = Options { mixed: Some(wanted), ..options };
    let mixed = import(&options).unwrap();
    assert!(mixed.report.cosine >= wanted, "{} of {wanted}", mixed.report.cosine);
    let float = mixed.report.layers.iter().filter(|layer| layer.info.kind == LayerKind::Float);
    let (float, all) = (float.count(), mixed.report.layers.len());
    assert!(float > 0 && float < all, "{float} of {all} layers in float");
    let file = file(&mixed);
    let features = |kernels, threads| features_of(pictures, SIDE, &file, kernels, threads);
    let expected = features(kernels::Isa::Scalar.kernels().unwrap(), 1);
    for kernels in kernels::available() {
        for threads in [1, 3] {
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
            let found = features(kernels, threads);
            assert_eq!(bits(&found), bits(&expected), "{} {threads}", kernels.name());
        }
    }
    let picky = Options { mixed: Some(1.0), ..options };
    let error = import(&picky).unwrap_err();
    assert!(matches!(error, ImportError::Cosine { .. }), "{error}");
}

#[test]
fn an_encoder_refuses_other_pictures_and_thread_counts() {
    let file = file(&tiny());
    for threads in [0, 1000] {
        let error = Encoder::new(file.clone(), kernels::best(), threads).err();
        assert!(matches!(error, Some(EncoderError::Threads(n)) if n == threads));
    }
    let mut encoder = Encoder::new(file, kernels::best(), 1).unwrap();
    let error = encoder.encode(&[0; 7], &mut Embedding::default()).unwrap_err();
    assert!(matches!(error, EncoderError::Pixels { found: 7, .. }), "{error}");
    assert_eq!((encoder.trunk_dim(), encoder.projected_dim()), (DIM, 0));
}

#[test]
fn damaged_layers_are_refused_or_run_within_their_memory() {
    use crate::asset::Tag;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders");
    let odd = std::fs::read(format!("{golden}/odd.onnx")).unwrap();
    let side = 47;
    let pixels: Vec<u8> = (0..side * side * 3).map(|i| (i * 7 % 251) as u8).collect();
    let preprocess = Preprocess { size: side as u32, ..options().preprocess };
    let options = Options { preprocess, min_cosine: -1.0, ..options() };
    for (network, pixels, options) in [
        (TINY, &pictures()[..SIZE * SIZE * 3], self::options()),
        (&odd, &pixels, Options { min_cosine: -1.0, ..options }),
    ] {
        let options = Options { min_cosine: -1.0, ..options };
        let good = import(network, pixels, &options, &|_| ()).unwrap();
        let mut opened = 0;
        let mut attempt = |damaged: &Imported| {
            // Whatever the number means: an error, or an encoder that still runs within its memory.
            if let Ok(mut encoder) = Encoder::new(file(damaged), kernels::best(), 1) {
                opened += 1;
                let _ = encoder.encode(pixels, &mut Embedding::default());
            }
        };
        let [table, weights] = [1, 2].map(|at| good.sections[at].1.len() / 4);
        assert_eq!([good.sections[1].0, good.sections[2].0], [Tag::LAYERS, Tag::WEIGHTS]);
        // Every number of the table, and of the weights those at which parts start: axes are among them.
        for (section, word) in (0..table).map(|w| (1, w)).chain((0..weights).map(|w| (2, w))) {
            if section == 2 && word % 16 > 8 {
                continue;
            }
            let number: u32 = if word % 2 == 0 { 0x7fff_fff0 } else { 3 };
            let mut damaged = good.clone();
            damaged.sections[section].1[4 * word..][..4].copy_from_slice(&number.to_le_bytes());
            attempt(&damaged);
        }
        assert!(opened > 0, "weights may be any numbers");
    }
}
