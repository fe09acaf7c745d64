//! `tipcam convert`, and the wrong inputs of everything that reads features.

use tipcam::asset::AssetFile;
use tipcam::fit::features::{FeatureFile, Layout, Split};
use tipcam::head::{Buffers, Head};
use tipcam::kernels;
use tipcam::tensors::{Array, EXPORT, Element, Tensors, write_safetensors};

use super::make::write_features;
use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/convert");
const DOCS: &str = include_str!("../../docs/convert.md");
/// As many classes as no asset has.
const TOO_MANY: usize = 10_000;

fn convert(inputs: &[&str], output: &str, more: &[&str]) -> Done {
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
        assert!(off < 2e-3, "{name}: {off}");
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
            most = most.max((before - after).abs());
            assert!(
                (before - after).abs() < 2e-3 * before.abs().max(10.0),
                "{term}: {before} {after}"
            );
        }
    }
    println!("terms of the logits within {most}");
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
        write_safetensors(arrays, ("class_names", &names), &mut bytes).unwrap();
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

/// Arrays for `convert`, and the same as shots and test features for `eval`.
struct Arrays(Vec<(&'static str, Array)>, Vec<&'static str>);

impl Arrays {
    fn good() -> Self {
        let value = |i: usize| if i % 8 == i / 16 { 1.0 } else { (i * 7 % 5) as f32 * 0.05 };
        let keys = Array::of_f32(vec![6, 8], (0..48).map(value));
        Self(
            vec![("keys", keys), ("labels", Array::of_i32([0, 0, 1, 1, 2, 2]))],
            vec!["a", "b", "c"],
        )
    }

    fn with(mut self, name: &'static str, array: Array) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, array));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self
    }

    fn named(self, names: &[&'static str]) -> Self {
        Self(self.0, names.to_vec())
    }

    /// One of its keys gets another value.
    fn spoiled(mut self, at: std::ops::Range<usize>, value: f32) -> Self {
        let mut keys = self.0[0].1.floats().unwrap();
        keys[at].fill(value);
        self.0[0].1 = Array::of_f32(vec![6, 8], keys);
        self
    }

    fn write(&self, folder: &TempDir, name: &str) -> String {
        let mut bytes = Vec::new();
        write_safetensors(&self.0, ("class_names", &self.1), &mut bytes).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        path(folder, name)
    }

    /// As the test features of a file whose shots are good.
    fn as_test(&self) -> Self {
        let mut all = Self::good().named(&self.1);
        for (name, array) in &self.0 {
            match *name {
                "keys" => all.0.push(("test_features", array.clone())),
                "labels" => all.0.push(("test_labels", array.clone())),
                _ => {}
            }
        }
        all
    }
}

#[test]
fn wrong_features_are_refused_with_their_name_and_place() {
    let folder = folder();
    let output = path(&folder, "out.tipcam");
    let good = Arrays::good;
    let ones = |rows: usize, columns: usize| {
        Array::of_f32(vec![rows, columns], (0..rows * columns).map(|i| 1.0 + i as f32))
    };
    let labels = |labels: &[i32]| Array::of_i32(labels.iter().copied());
    // what is wrong with shots is as wrong with test features
    let both = [
        (good().with("labels", labels(&[0, 1, 2, 0, 1])), &["[6, 8]", "5 features"][..]),
        (good().spoiled(17..18, f32::NAN), &["feature 2", "not a finite number"]),
        (good().spoiled(0..1, f32::INFINITY), &["feature 0", "not a finite number"]),
        (good().spoiled(24..32, 0.0), &["feature 3", "all zeros"]),
        (good().with("labels", labels(&[0, 0, 1, 1, 2, 3])), &["row 5 is class 3", "0 to 2"]),
        (good().with("labels", labels(&[0, -1, 1, 1, 2, 2])), &["row 1 is -1"]),
        (good().with("labels", Array::of_f32(vec![6], [0.0; 6])), &["is F32", "whole numbers"]),
        (good().with("labels", Array::of_f32(vec![6, 1], [0.0; 6])), &["[6, 1]", "one number"]),
        (good().with("keys", labels(&[1; 48])), &["[48]", "rows of features"]),
        (
            good().with("keys", Array::new(Element::I32, vec![6, 8], vec![1; 192])),
            &["is I32", "F32"],
        ),
        (good().without("labels"), &["labels"]),
    ];
    for (i, (arrays, words)) in both.into_iter().enumerate() {
        let file = arrays.write(&folder, &format!("wrong{i}.safetensors"));
        convert(&[&file], &output, &[]).fails_with(words).fails_with(&[&file]);
        let file = arrays.as_test().write(&folder, &format!("test{i}.safetensors"));
        tipcam(&["eval", "--features", &file]).fails_with(words).fails_with(&[&file]);
    }
    let many = Array::of_i32(0..TOO_MANY as i32);
    let one_hot = |values: [f32; 6]| Array::of_f32(vec![6, 1], values);
    for (i, (arrays, words)) in [
        (good().named(&["a", "b", "c", "d"]), &["class \"d\"", "no photographs"][..]),
        (good().named(&["a", "b", "b"]), &["class \"b\"", "twice"]),
        (good().with("text", ones(4, 8)), &["text has shape [4, 8]", "3 features"]),
        (good().with("text", ones(3, 4)), &["the keys have 8 values, the text 4", "--encoder"]),
        (good().with("keys", ones(8, 8)).with("labels", labels(&[0; 8])), &["[8, 8]", "--layout"]),
        (
            good().without("labels").with("values", one_hot([1.0; 6])),
            &["1 classes", "3 class names"],
        ),
        (good().without("labels").with("values", one_hot([0.5; 6])), &["row 0", "one-hot"]),
        (good().without("keys"), &["no shots"]),
        (good().with("alpha", ones(2, 1)).with("beta", ones(1, 1)), &["alpha", "one number"]),
        (good().with("encoder", labels(&[1; 3])), &["encoder", "32 bytes"]),
        (good().with("keys", ones(TOO_MANY, 2)).with("labels", many), &["row 3 is class 3"]),
    ]
    .into_iter()
    .enumerate()
    {
        let file = arrays.write(&folder, &format!("own{i}.safetensors"));
        convert(&[&file], &output, &[]).fails_with(words).fails_with(&[&file]);
    }
    let file = good().write(&folder, "good.safetensors");
    for line in [["--alpha", "1"], ["--layout", "diagonal"], ["--shots", "many"]] {
        assert_eq!(convert(&[&file], &output, &line).code, 2, "{line:?}");
    }
    assert_eq!(convert(&[&file], &output, &["--alpha", "-1", "--beta", "1"]).code, 2);
    convert(&[&file, &file], &output, &[]).fails_with(&["good.safetensors", "one of them"]);
    convert(&[&file], &output, &["--shots", "4"]).fails_with(&["keys_4shot"]);
    convert(&[&file], &output, &["--layout", "columns"]).fails_with(&["[6, 8]"]);
    convert(&["/nowhere/c.npz"], &output, &[]).fails_with(&["/nowhere/c.npz"]);
    convert(&[&demo("pizza_2")], &output, &[]).fails_with(&["pizza_2.jpg", "not safetensors"]);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    convert(&[&file], &output, &[]).fails_with(&["good.safetensors", "cut off"]);
    tipcam(&["eval", "--features", &file]).fails_with(&["good.safetensors", "cut off"]);
    tipcam(&["fit", "--asset", &file]).fails_with(&["good.safetensors", "not a tipcam asset"]);
    assert!(!Path::new(&output).exists(), "nothing half-written");
}

#[test]
fn ten_thousand_classes_are_more_than_an_asset_has() {
    let folder = folder();
    let output = path(&folder, "out.tipcam");
    let (archive, names) = (path(&folder, "many"), path(&folder, "names.txt"));
    fs::create_dir(&archive).unwrap();
    let write = |name: &str, array: &Array| {
        let mut file = fs::File::create(Path::new(&archive).join(name)).unwrap();
        tipcam::tensors::write_npy(array, &mut file).unwrap();
    };
    write("keys.npy", &Array::of_f32(vec![TOO_MANY, 2], (0..2 * TOO_MANY).map(|i| 1.0 + i as f32)));
    write("labels.npy", &Array::of_i32(0..TOO_MANY as i32));
    let words = ["many", "10000 classes", "at most 4096"];
    convert(&[&archive], &output, &[]).fails_with(&words);
    tipcam(&["eval", "--features", &archive]).fails_with(&words);
    let lines: String = (0..TOO_MANY).map(|class| format!("class {class}\n")).collect();
    fs::write(&names, lines).unwrap();
    convert(&[&archive], &output, &["--classes", &names]).fails_with(&words);
    // a number far beyond is no reason to make so many classes
    write("labels.npy", &Array::of_i32((0..TOO_MANY as i32).map(|i| i + 2_000_000_000)));
    convert(&[&archive], &output, &[]).fails_with(&["classes", "at most 4096"]);
    assert!(!Path::new(&output).exists());
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
