//! `tipcam convert`: what it reads, what it writes, and the same again.

use tipcam::asset::AssetFile;
use tipcam::fit::features::{FeatureFile, Layout, Split};
use tipcam::head::{Buffers, Head};
use tipcam::kernels;
use tipcam::tensors::{Array, EXPORT, Element, Tensors, write_safetensors};

use super::make::write_features;
use super::wrong::Arrays;
use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/convert");
const DOCS: &str = include_str!("../../docs/convert.md");

pub(super) fn convert(inputs: &[&str], output: &str, more: &[&str]) -> Done {
    tipcam(&[&["convert"], inputs, &["-o", output], more].concat())
}

/// Logits of an asset without encoder, each less the mean of its row, which text weights leave out.
fn logits(asset: &str, features: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let file = AssetFile::open(asset).unwrap();
    let asset = file.asset().unwrap();
    let head = Head::new(&asset, kernels::best()).unwrap();
    let mut buffers = Buffers::new(&head);
    let of = |feature: &Vec<f32>| {
        head.logits(&[], feature, &mut buffers.workspace()).unwrap();
        centred(&buffers.logits)
    };
    features.iter().map(of).collect()
}

fn centred(row: &[f32]) -> Vec<f32> {
    let mean = row.iter().sum::<f32>() / row.len() as f32;
    row.iter().map(|value| value - mean).collect()
}

fn farthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

fn codes(asset: &str) -> Vec<i8> {
    let file = AssetFile::open(asset).unwrap();
    let cache = file.asset().unwrap().cache.unwrap();
    (0..cache.len).flat_map(|key| cache.codes(key)).collect()
}

/// Unit-norm test features of a file.
fn test_features(path: &str) -> Vec<Vec<f32>> {
    let Split { features, .. } = FeatureFile::open(path).unwrap().features("test").unwrap();
    features
}

#[test]
fn caches_of_pytorch_and_numpy_give_tip_adapters_logits() {
    let folder = folder();
    let golden = |name: &str| format!("{GOLDEN}/{name}");
    let expected = Tensors::open(golden("logits.npy")).unwrap();
    let expected = expected.get("logits").unwrap().floats().unwrap();
    let expected: Vec<Vec<f32>> = expected.chunks(3).map(centred).collect();
    let names = path(&folder, "names.txt");
    fs::write(&names, "sea cat\nété\nmug\n").unwrap();
    let test = test_features(&golden("cache.safetensors"));
    let given = ["--alpha", "1.5", "--beta", "5.5"];
    let named = [&given[..], &["--classes", &names]].concat();
    for (input, more, said) in [
        (
            "cache.safetensors",
            &named[..],
            &["keys is taken for columns", "text is", "test_f, test_l"],
        ),
        ("cache.npz", &[], &["without an encoder"; 3]),
        ("arrays", &given, &["called by their numbers", "text is taken for columns", "--classes"]),
    ] {
        let output = path(&folder, &format!("{}.tipcam", input.replace('.', "_")));
        let done = convert(&[&golden(input)], &output, more).succeeds();
        said.iter().for_each(|said| assert!(done.err.contains(said), "{input}: {}", done.err));
        assert!(done.out.contains("3 classes (3 with text), 6 shots"), "{}", done.out);
        assert!(done.out.contains("alpha 1.5, beta 5.5"), "{}", done.out);
        let off = farthest(&logits(&output, &test), &expected);
        println!("{input}: logits within {off} of Tip-Adapter's");
        assert!(off < 0.1, "{input}: {off}");
        let told = &tipcam(&["inspect", &output, "--format", "json"]).succeeds().json()[0];
        let label = if input == "arrays" { "class 1" } else { "été" };
        assert_eq!(told["classes"][1]["label"], label);
    }

    // both make heads of other kinds, and answer features
    let (cache, asset) = (golden("cache.safetensors"), path(&folder, "arrays.tipcam"));
    let lines = tipcam(&["eval", "--features", &cache, "--asset", &asset]).succeeds().json();
    assert_eq!(
        (&lines.last().unwrap()["n"], &lines.last().unwrap()["alpha"]),
        (&5.into(), &1.5.into())
    );
    tipcam(&["eval", "--features", &cache]).succeeds();
    tipcam(&["fit", "--head", "gda", "--asset", &asset]).succeeds();
    let lines = tipcam(&["eval", "--features", &cache, "--asset", &asset]).succeeds().json();
    assert_eq!(lines.last().unwrap()["head"], "gda");
    let named = path(&folder, "cache_npz.tipcam");
    tipcam(&["eval", "--features", &cache, "--asset", &named])
        .fails_with(&["not those of", "--classes"]);
    tipcam(&["eval", "--features", &cache, "--asset", &asset, "--shots", "2"])
        .fails_with(&["--shots"]);
    tipcam(&["classify", &demo("pizza_2"), "--asset", &asset]).fails_with(&["arrays.tipcam"]);
}

#[test]
fn pytorchs_own_files_are_refused_with_the_line_that_exports_them() {
    assert!(
        DOCS.lines().any(|line| line == EXPORT),
        "docs/convert.md tells another line: {EXPORT}"
    );
    let folder = folder();
    let (keys, output) = (format!("{GOLDEN}/keys_2shots.pt"), path(&folder, "a.tipcam"));
    convert(&[&keys], &output, &[]).fails_with(&["keys_2shots.pt", "pickle", EXPORT]);
    tipcam(&["eval", "--features", &keys]).fails_with(&["keys_2shots.pt", "pickle", EXPORT]);
    assert!(!Path::new(&output).exists());
}

#[test]
fn what_was_written_makes_the_same_asset_again() {
    let folder = folder();
    let (features, asset) = (path(&folder, "features.safetensors"), path(&folder, "a.tipcam"));
    write_features(&features);
    convert(&[&features], &asset, &[]).succeeds();
    let test = test_features(&features);
    let before = logits(&asset, &test);
    for name in ["c.safetensors", "c.npz", "c"] {
        let (out, again) = (path(&folder, name), path(&folder, "again.tipcam"));
        let done = convert(&[&asset], &out, &["--format", "json"]).succeeds();
        let line = &done.json()[0];
        assert_eq!(
            (&line["shots"], &line["classes"], &line["dim"]),
            (&6.into(), &3.into(), &8.into())
        );
        convert(&[&out], &again, &[]).succeeds();
        let off = farthest(&logits(&again, &test), &before);
        println!("{name}: logits within {off}");
        assert!(off < 1e-2, "{name}: {off}");
        assert_eq!(codes(&again), codes(&asset), "{name}");
        if name != "c" {
            let twice = path(&folder, &format!("twice-{name}"));
            convert(&[&asset], &twice, &[]).succeeds();
            assert!(fs::read(&out).unwrap() == fs::read(&twice).unwrap(), "{name}: other bytes");
        }
    }
    let whole = path(&folder, "c");
    convert(&[&asset], &whole, &[]).fails_with(&["c: not written", "name a new one"]);
    convert(&[&asset], &path(&folder, "c.csv"), &[]).fails_with(&["c.csv", "*.safetensors"]);
    assert!(!folder.path().join("c.csv").exists());
}

#[test]
fn the_encoder_is_put_to_the_cache_again() {
    needs_asset!();
    let folder = folder();
    let (own, cache) = (own_asset(&folder), path(&folder, "cache.npz"));
    let again = path(&folder, "again.tipcam");
    convert(&[&own], &cache, &[]).succeeds();
    convert(&[&cache], &path(&folder, "none.tipcam"), &[]).fails_with(&[
        "1280",
        "512",
        "--encoder",
    ]);
    convert(&[&cache], &again, &["--encoder", &own]).succeeds();
    let photos = ["pizza_2", "butterfly_68", "elephant_43"].map(demo);
    let top = |asset: &str| -> Vec<Value> {
        let args = photos.iter().map(String::as_str).chain(["--asset", asset]);
        let args: Vec<&str> = ["classify"].into_iter().chain(args).collect();
        tipcam(&args).succeeds().json().iter().map(|line| line["top"][0].clone()).collect()
    };
    let mut most = 0.0f64;
    for (before, after) in top(&own).iter().zip(&top(&again)) {
        assert_eq!(before["label"], after["label"]);
        for term in ["zero_shot", "cache"] {
            let [before, after] = [before, after].map(|top| top[term].as_f64().unwrap());
            most = most.max((before - after).abs() / before.abs().max(1.0));
            println!("{term}: {before} {after}");
        }
    }
    println!("terms of the logits within {most} of their size");
    assert!(most < 0.02, "{most}");
    assert_eq!(codes(&own), codes(&again));

    let features = path(&folder, "features.safetensors");
    write_features(&features);
    convert(&[&features], &again, &["--encoder", &own]).fails_with(&["8 values", "1280"]);
    convert(&[&features], &again, &["--encoder", &cache])
        .fails_with(&["cache.npz", "not a tipcam asset"]);
    let foreign = path(&folder, "foreign.safetensors");
    let tensors = Tensors::open(&cache).unwrap();
    let mut arrays: Vec<(&str, Array)> = ["keys", "labels"]
        .map(|name| (name, tensors.get(name).unwrap().clone()))
        .into_iter()
        .chain([("encoder", Array::new(Element::U8, vec![32], vec![9; 32]))])
        .collect();
    let names = tensors.strings("class_names").unwrap().unwrap();
    let write = |arrays: &[(&str, Array)]| {
        let mut bytes = Vec::new();
        let names = serde_json::to_string(&names).unwrap();
        write_safetensors(arrays, &[("class_names", names)], &mut bytes).unwrap();
        fs::write(&foreign, bytes).unwrap();
    };
    write(&arrays);
    convert(&[&foreign], &again, &["--encoder", &own]).fails_with(&["encoder 0909", "compared"]);
    arrays.pop();
    arrays.push(("text", tensors.get("text").unwrap().clone()));
    write(&arrays);
    convert(&[&foreign], &again, &["--encoder", &own]).fails_with(&["projection of", "vocabulary"]);
    arrays.pop();
    write(&arrays);
    let done = convert(&[&foreign], &again, &["--encoder", &own]).succeeds();
    assert!(done.out.contains("with text"), "of the vocabulary: {}", done.out);
}

#[test]
fn one_shot_in_all_is_a_head_that_answers() {
    let folder = folder();
    let (output, file) = (path(&folder, "one.tipcam"), "one.safetensors");
    let key = Array::of_f32(vec![1, 8], (0..8).map(|i| i as f32 - 3.0));
    let one = Arrays(vec![("keys", key), ("labels", Array::of_i32([0]))], vec!["alone"]);
    let file = one.write(&folder, file);
    let done = convert(&[&file], &output, &[]).succeeds();
    assert!(done.out.contains("too few shots to measure"), "{}", done.out);
    let feature = FeatureFile::open(&file).unwrap().keys(None).unwrap();
    assert_eq!(feature.layout, Layout::Rows);
    assert!(logits(&output, &feature.features)[0][0].is_finite());
    for head in ["gda", "tip-f", "ape", "meta-adapter"] {
        let made = convert(&[&file], &output, &["--head", head]);
        assert!(made.code == 0 || made.err.starts_with("Error: "), "{head}: {}", made.err);
    }
}

#[test]
fn text_alone_is_a_zero_shot_head() {
    let folder = folder();
    let (output, test) = (path(&folder, "text.tipcam"), path(&folder, "features.safetensors"));
    write_features(&test);
    let rows = (0..24).map(|i| if i % 8 == i / 8 { 1.0 } else { 0.0 });
    let text = Arrays(vec![("text", Array::of_f32(vec![3, 8], rows))], vec!["a", "b", "c"]);
    let file = text.write(&folder, "text.safetensors");
    let done = convert(&[&file], &output, &["--head", "zero-shot"]).succeeds();
    assert!(done.out.contains("3 with text") && done.out.contains("0 shots"), "{}", done.out);
    let lines = tipcam(&["eval", "--features", &test, "--asset", &output]).succeeds().json();
    assert_eq!(
        (&lines.last().unwrap()["head"], &lines.last().unwrap()["top1"]),
        (&"zero-shot".into(), &100.0.into())
    );
}
