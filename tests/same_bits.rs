//! The same bits everywhere: pixels, features and logits of the bundled photographs, as hashes that
//! were written once and are compared on every instruction set, thread count and processor.
//!
//! `TIPCAM_WRITE_GOLDEN=1 cargo test --test same_bits` writes them anew after an intended change.

use std::fmt::Write as _;
use std::fs;

use sha2::{Digest, Sha256};
use tipcam::asset::AssetFile;
use tipcam::encoder::{Embedding, Encoder};
use tipcam::frame::source::{self, SourceOptions};
use tipcam::frame::{Frame, Preprocessor};
use tipcam::head::{Buffers, Head};
use tipcam::kernels::{self, Kernels};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/same_bits.txt");

/// Photographs that are compared. All of them take minutes under an emulator.
const PHOTOGRAPHS: usize = 3;

/// So that nobody tests the host by mistake: what CI shows of an emulated processor.
#[test]
fn the_processor_that_was_seen() {
    let names: Vec<_> = kernels::available().map(Kernels::name).collect();
    println!("architecture {}, kernels {}", std::env::consts::ARCH, names.join(" "));
    assert_eq!(names[0], "scalar");
    if let Some(forced) = std::env::var_os(kernels::FORCE) {
        assert_eq!(kernels::best().name(), forced, "the forced kernel is not the one in use");
    }
    let family: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["scalar", "avx2", "avxvnni", "avx512", "amx"],
        "aarch64" => &["scalar", "neon", "dotprod", "i8mm"],
        _ => &["scalar"],
    };
    assert!(names.iter().all(|name| family.contains(name)), "{names:?} on another architecture");
}

#[test]
fn every_kernel_and_thread_count_gives_the_committed_bits() {
    let asset = AssetFile::linked().expect("the linked asset").expect("an asset is linked");
    let pictures = pictures(&asset);
    let mut golden = format!("encoder {}\n", asset.container().expect("container").encoder_id());
    for (name, pixels) in &pictures {
        writeln!(golden, "pixels {name} {}", hash([&pixels[..]])).unwrap();
    }
    // One thread on every instruction set, other counts on the best one: that covers both questions.
    let runs = kernels::available().map(|k| (k, 1)).chain((2..=4).map(|n| (kernels::best(), n)));
    let mut first: Option<String> = None;
    for (kernels, threads) in runs {
        let answers = answers(&asset, &pictures, kernels, threads);
        match &first {
            None => first = Some(answers),
            Some(first) => {
                assert_eq!(&answers, first, "{} with {threads} threads", kernels.name());
            }
        }
    }
    golden += &first.expect("at least the scalar kernels ran");
    if std::env::var_os("TIPCAM_WRITE_GOLDEN").is_some() {
        fs::write(GOLDEN, &golden).expect("write the golden file");
    }
    let expected = fs::read_to_string(GOLDEN).expect("read the golden file");
    assert_eq!(golden, expected, "other bits than {GOLDEN}");
}

/// The bundled photographs as the encoder's input.
fn pictures(asset: &AssetFile) -> Vec<(String, Vec<u8>)> {
    let preprocess = asset.asset().expect("asset").preprocess.expect("preprocessing");
    let mut preprocessor = Preprocessor::new(preprocess);
    let mut source = source::open("demo", SourceOptions::default()).expect("the demo");
    let mut frame = Frame::default();
    let mut pictures = Vec::new();
    while pictures.len() < PHOTOGRAPHS
        && let Some(stamp) = source.next(&mut frame).expect("a photograph")
    {
        let mut pixels = vec![0; preprocessor.output_len()];
        preprocessor.run(&frame, &mut pixels);
        pictures.push((stamp.source.to_string(), pixels));
    }
    assert_eq!(pictures.len(), PHOTOGRAPHS);
    pictures
}

fn answers(
    asset: &AssetFile,
    pictures: &[(String, Vec<u8>)],
    kernels: &'static Kernels,
    threads: usize,
) -> String {
    let mut encoder = Encoder::new(asset.clone(), kernels, threads).expect("the encoder");
    let views = asset.asset().expect("asset");
    let head = Head::new(&views, kernels).expect("the head");
    let (mut buffers, mut embedding) = (Buffers::new(&head), Embedding::default());
    let mut lines = String::new();
    for (name, pixels) in pictures {
        encoder.encode(pixels, &mut embedding).expect("an embedding");
        let (trunk, projected) = (&embedding.trunk, &embedding.projected);
        head.logits(trunk, projected, &mut buffers.workspace()).expect("logits");
        let features = hash([&bytes(trunk)[..], &bytes(projected)]);
        writeln!(lines, "embedding {name} {features}").unwrap();
        writeln!(lines, "logits {name} {}", hash([&bytes(&buffers.logits)[..]])).unwrap();
    }
    lines
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn hash<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
