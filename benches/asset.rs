//! How long it takes to open an asset, whatever its size, and to check it byte by byte.
//! `cargo bench --no-default-features --features std --bench asset`

use std::hint::black_box;
use std::time::{Duration, Instant};

use tipcam::asset::{
    Asset, AssetFile, Builder, CacheBuilder, Container, EncoderId, HeadKind, HeadParams, Key,
    KeyNames, Labels, RowKind, Space, Tag, TextWeights,
};

const CLASSES: usize = 100;
const KEY_DIM: usize = 1280;
const TEXT_DIM: usize = 512;

/// A complete head with `keys` shots, without the encoder's weights.
fn asset(keys: usize) -> Result<Builder<'static>, Box<dyn std::error::Error>> {
    let encoder = EncoderId([7; 32]);
    let labels: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let names: Vec<String> = (0..keys).map(|key| format!("shots/image_{key:06}.jpg")).collect();
    let mut weights = vec![0.0; CLASSES * TEXT_DIM];
    weights.iter_mut().step_by(TEXT_DIM).for_each(|first| *first = 1.0);
    let mut cache = CacheBuilder::new(encoder, Space::Trunk, &[0.0; KEY_DIM], CLASSES)?;
    for key in 0..keys {
        // One code of full size at another place for each key: a vector of length 1.
        let mut codes = [0; KEY_DIM];
        codes[key % KEY_DIM] = 127;
        let class = (key % CLASSES) as u32;
        cache.push(&Key { codes: &codes, scale: 1.0 / 127.0, bias: 0.0, weight: 1.0, class })?;
    }
    let head = HeadParams {
        kind: HeadKind::Tip,
        logit_scale: 100.0,
        alpha: 1.0,
        beta: 5.5,
        reference_shots: 16.0,
        text_gain: 0.0,
        row_gain: 0.0,
        gamma: 0.0,
    };
    let text = TextWeights::encode(
        &[RowKind::Text; CLASSES],
        &[0.0; CLASSES],
        &[0.0; TEXT_DIM],
        &weights,
    )?;
    Ok(Builder::new(encoder)
        .section(Tag::LABELS, Labels::encode(&labels)?)
        .section(Tag::TEXT, text)
        .section(Tag::HEAD, head.encode())
        .section(Tag::CACHE, cache.finish(0)?.to_vec())
        .section(Tag::KEY_NAMES, KeyNames::encode(&names)?))
}

/// Median time of one call.
fn time<T>(runs: usize, mut call: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            black_box(call());
            start.elapsed()
        })
        .collect();
    times.sort();
    times[runs / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    println!("| keys | file | Container::open | Asset::open | AssetFile::open | check |");
    println!("|---|---|---|---|---|---|");
    for keys in [1_600, 100_000] {
        let path = folder.path().join("bench.tipcam");
        asset(keys)?.write_atomic(&path)?;
        let file = AssetFile::open(&path)?;
        let bytes = file.bytes();
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        let container = micros(time(2001, || Container::open(bytes)));
        let views = micros(time(2001, || Asset::open(bytes)));
        let map = micros(time(201, || AssetFile::open(&path)));
        let check = time(5, || file.check()).as_secs_f64() * 1000.0;
        println!(
            "| {keys} | {:.1} MB | {container:.2} us | {views:.2} us | {map:.1} us | {check:.1} ms |",
            bytes.len() as f64 / 1e6,
        );
    }
    Ok(())
}
