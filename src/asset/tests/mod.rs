//! What concerns more than one file of this room. The asset used here is small but has every
//! section, odd sizes, a class without text, one without shots, and a name with two-byte letters.

mod damage;
mod document;
mod head_parts;

mod round_trip;

use super::encoder::{Element, LayerKind, LayerRecord, NO_VALUE, Part, Projection, Shape};
use super::*;

pub(super) const LABELS: [&str; 4] = ["accordion", "Faces", "señal", "trilobite"];
pub(super) const TEXT_DIM: usize = 6;
pub(super) const KEY_DIM: usize = 10;
pub(super) const KEYS: usize = 21;

/// Steele, Lea and Flood's splitmix64: the same numbers at every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn unit(&mut self, dim: usize) -> Vec<f32> {
        let values: Vec<f32> = (0..dim).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect();
        let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / norm).collect()
    }
}

/// Codes, scale and bias of `key`, as `learn` makes them.
pub(super) fn quantize(key: &[f32], mean: &[f32]) -> (Vec<i8>, f32, f32) {
    let rest: Vec<f32> = key.iter().zip(mean).map(|(k, m)| k - m).collect();
    let scale = rest.iter().fold(0f32, |max, value| max.max(value.abs())) / 127.0;
    let codes: Vec<i8> = rest.iter().map(|value| (value / scale).round() as i8).collect();
    let bias = mean.iter().zip(&codes).map(|(m, &code)| m * scale * f32::from(code)).sum();
    (codes, scale, bias)
}

/// The class of key `i`: class 2 has no shots.
pub(super) fn class_of(i: usize) -> u32 {
    [0, 1, 3, 1][i % 4]
}

pub(super) fn cache(encoder: EncoderId) -> CacheBuilder {
    let mut random = Random(7);
    let mean = vec![0.05; KEY_DIM];
    let mut cache = CacheBuilder::new(encoder, Space::Trunk, &mean, LABELS.len()).unwrap();
    for i in 0..KEYS {
        let (codes, scale, bias) = quantize(&random.unit(KEY_DIM), &mean);
        let key = Key { codes: &codes, scale, bias, weight: 1.0 + i as f32, class: class_of(i) };
        assert_eq!(cache.push(&key).unwrap(), i as u64 + 1);
    }
    cache
}

pub(super) const PREPROCESS: Preprocess = Preprocess {
    size: 224,
    mode: ResizeMode::FitLongest,
    mean: [127.0, 126.5, 120.0],
    std: [128.0, 64.0, 70.0],
};

/// A convolution from 4 x 4 pixels to 2 x 2 positions, then the mean of a pointwise one.
pub(super) fn layers() -> [(&'static str, LayerRecord); 2] {
    let shape = |side, channels| Shape { height: side, width: side, channels };
    let part = |offset, len| Part { offset, len };
    let first = LayerRecord {
        kind: LayerKind::Conv as u32,
        inputs: [0, NO_VALUE, NO_VALUE],
        element: Element::Codes as u32,
        shape: shape(2, 5),
        kernel: 3,
        stride: 2,
        pad_top: 1,
        pad_left: 1,
        hi: 255.0,
        weights: part(0, 448),
        sums: part(448, 64),
        scale: part(512, 64),
        bias: part(576, 64),
        pad: part(640, 3),
        name_len: 4,
        ..LayerRecord::default()
    };
    let last = LayerRecord {
        kind: LayerKind::Conv as u32,
        inputs: [1, NO_VALUE, NO_VALUE],
        element: Element::Real as u32,
        shape: shape(1, KEY_DIM as u32),
        kernel: 1,
        stride: 1,
        mean: 1,
        hi: 6.0,
        weights: part(704, 128),
        sums: part(832, 64),
        scale: part(896, 64),
        bias: part(960, 64),
        name_len: 4,
        ..LayerRecord::default()
    };
    [("stem", first), ("head", last)]
}

const WEIGHTS_LEN: usize = 1024;

const PROJECTION: Projection<'static> = Projection {
    trunk: KEY_DIM,
    dim: TEXT_DIM,
    weight: &[0x3c00; KEY_DIM * TEXT_DIM],
    bias: &[0.5; TEXT_DIM],
    image_mean: &[0.25; TEXT_DIM],
};

pub(super) const HEAD: HeadParams = HeadParams {
    kind: HeadKind::Tip,
    logit_scale: 100.0,
    alpha: 1.17,
    beta: 5.5,
    reference_shots: 16.0,
    text_gain: 0.75,
    row_gain: 0.5,
    gamma: 0.0,
};

pub(super) const CALIBRATION: Calibration = Calibration {
    temperature: 1.25,
    temperature_slope: 0.125,
    unknown_score: 0.5,
    unknown_cosine: 0.3,
    ece: 0.021,
    samples: 400,
};

pub(super) fn sample() -> Builder<'static> {
    let mut random = Random(3);
    let rows = [RowKind::Text, RowKind::Text, RowKind::Text, RowKind::Empty];
    let mean = vec![0.1; TEXT_DIM];
    let weights: Vec<f32> = rows
        .iter()
        .flat_map(|&kind| {
            let has = kind == RowKind::Text;
            let row = random.unit(TEXT_DIM);
            row.into_iter().zip(&mean).map(move |(v, m)| if has { v - m } else { 0.0 })
        })
        .collect();
    let names = ["accordion", "camera", "zebra"];
    let words: Vec<_> =
        names.iter().map(|_| quantize(&random.unit(TEXT_DIM), &[0.0; TEXT_DIM])).collect();
    let codes: Vec<i8> = words.iter().flat_map(|word| word.0.clone()).collect();
    let scales: Vec<f32> = words.iter().map(|word| word.1).collect();
    let key_names: Vec<String> = (0..KEYS).map(|i| format!("shots/{i}.jpg")).collect();

    let builder = Builder::new(EncoderId([0; 32]))
        .section(Tag::PREPROCESS, PREPROCESS.encode())
        .section(Tag::LAYERS, encoder::layers_section(4, &layers()))
        .section(Tag::WEIGHTS, vec![5; WEIGHTS_LEN])
        .section(Tag::PROJECTION, encoder::projection_section(PROJECTION))
        .section(Tag::LABELS, Labels::encode(&LABELS).unwrap())
        .section(Tag::PROMPTS, Prompts::encode(&["a photo of a {}."]).unwrap())
        .section(
            Tag::TEXT,
            TextWeights::encode(&rows, &[0.5, -1.0, 0.25, 0.0], &mean, &weights).unwrap(),
        )
        .section(Tag::HEAD, HEAD.encode())
        .section(Tag::CALIBRATION, CALIBRATION.encode())
        .section(Tag::KEY_NAMES, KeyNames::encode(&key_names).unwrap())
        .section(Tag::VOCABULARY, Vocabulary::encode(&names, TEXT_DIM, &scales, &codes).unwrap())
        .section(Tag::METRICS, Metrics::encode(&[("test.top1", 91.5), ("n", 1.0)]).unwrap())
        .section(Tag::PROVENANCE, Provenance::encode(&[("licence", "CC BY 4.0")]).unwrap())
        .section(Tag(*b"XTRA"), vec![9; 3]);
    let encoder = builder.encoder_id();
    let cache = cache(encoder).finish(0).unwrap();
    head_parts::add(builder, encoder).section(Tag::CACHE, cache.to_vec())
}

#[test]
fn an_asset_opens_and_is_sound() {
    let file = AssetFile::try_from(sample().to_bytes().unwrap()).unwrap();
    file.check().unwrap();
    let asset = file.asset().unwrap();
    let classes: Vec<_> = asset.classes().map(|c| (c.label, c.has_text, c.shots)).collect();
    let expected =
        [("accordion", true, 6), ("Faces", true, 10), ("señal", true, 0), ("trilobite", false, 5)];
    assert_eq!(classes, expected);
    assert_eq!(asset.container.section(Tag(*b"XTRA")), Some(&[9, 9, 9][..]));
    for (_, range, _) in asset.container.sections() {
        assert_eq!(range.start % format::ALIGN, 0);
        assert_eq!(asset.container.bytes()[range].as_ptr() as usize % format::ALIGN, 0);
    }
}

#[test]
fn the_same_sections_give_the_same_bytes_in_any_order() {
    let bytes = sample().to_bytes().unwrap();
    let container = Container::open(&bytes).unwrap();
    let mut sections: Vec<_> = container.sections().collect();
    sections.reverse();
    let mut turned = Builder::new(container.encoder_id());
    for (tag, range, _) in sections {
        turned = turned.section(tag, &container.bytes()[range]);
    }
    assert_eq!(*turned.to_bytes().unwrap(), *bytes);
    assert_eq!(*Builder::from_container(&container).to_bytes().unwrap(), *bytes);
}

#[test]
fn the_encoder_is_known_by_its_sections_alone() {
    let id = sample().encoder_id();
    assert_eq!(sample().without(Tag::TEXT).encoder_id(), id);
    assert_ne!(sample().section(Tag::WEIGHTS, vec![6; WEIGHTS_LEN]).encoder_id(), id);
    assert_ne!(sample().without(Tag::PROJECTION).encoder_id(), id);
    // Moving a byte from one section to the next gives another encoder.
    let moved = sample().section(Tag::LAYERS, vec![1, 2]).section(Tag::WEIGHTS, vec![3]);
    let other = sample().section(Tag::LAYERS, vec![1]).section(Tag::WEIGHTS, vec![2, 3]);
    assert_ne!(moved.encoder_id(), other.encoder_id());
}

#[test]
fn a_foreign_cache_is_refused_with_both_names() {
    let own = sample().encoder_id();
    let foreign = EncoderId([0xab; 32]);
    let cache = cache(foreign).finish(0).unwrap();
    let bytes = sample().section(Tag::CACHE, cache.to_vec()).to_bytes().unwrap();
    let error = AssetFile::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains(&own.to_string()) && error.contains("abababababab"), "{error}");
}

#[test]
fn sections_that_count_differently_are_refused() {
    let labels = Labels::encode(&["one", "two"]).unwrap();
    let bytes = sample().section(Tag::LABELS, labels).to_bytes().unwrap();
    let error = Asset::open(&bytes).unwrap_err();
    assert!(matches!(error, AssetError::Disagree { what: "classes", .. }), "{error}");

    let names = KeyNames::encode(&["only one"]).unwrap();
    let bytes = sample().section(Tag::KEY_NAMES, names).to_bytes().unwrap();
    let error = Asset::open(&bytes).unwrap_err();
    assert!(matches!(error, AssetError::Disagree { what: "shots", .. }), "{error}");
}

#[test]
fn an_encoder_alone_and_a_cache_alone_are_assets_too() {
    let bytes = sample().to_bytes().unwrap();
    let whole = Container::open(&bytes).unwrap();
    let (mut encoder, mut cache) =
        (Builder::new(EncoderId([1; 32])), Builder::new(whole.encoder_id()));
    for tag in Tag::ENCODER {
        if let Some(section) = whole.section(tag) {
            encoder = encoder.section(tag, section);
        }
    }
    cache = cache.section(Tag::CACHE, whole.section(Tag::CACHE).unwrap());
    for (builder, has_encoder) in [(encoder, true), (cache, false)] {
        let file = AssetFile::try_from(builder.to_bytes().unwrap()).unwrap();
        file.check().unwrap();
        assert_eq!(file.container().unwrap().encoder_id(), whole.encoder_id());
        assert_eq!(file.asset().unwrap().has_encoder(), has_encoder);
    }
}

#[test]
fn a_forged_encoder_identity_is_noticed() {
    let mut bytes = sample().to_bytes().unwrap();
    let bytes = damage::with_header(&mut bytes, |header, _| header.encoder.0[3] ^= 1);
    // The cache names the true encoder, so it is left out.
    let container = Container::open(bytes).unwrap();
    assert_ne!(container.encoder_id(), sample().encoder_id());
    assert!(matches!(Asset::open(bytes), Err(AssetError::ForeignCache { .. })));
    let mut bytes =
        sample().without(Tag::CACHE).without(Tag::BANK).without(Tag::KEY_NAMES).to_bytes().unwrap();
    let bytes = damage::with_header(&mut bytes, |header, _| header.encoder.0[3] ^= 1);
    let error = AssetFile::from_bytes(bytes).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("identity"), "{error}");
}
