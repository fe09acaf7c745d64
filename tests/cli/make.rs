//! `tipcam build`, `eval`, `embed`, `encoder` and `inspect`.

use super::*;

/// `animals` and `things`, five photographs each.
pub(super) fn dataset(folder: &TempDir) -> String {
    for (class, names) in [
        ("animals", ["butterfly_68", "dalmatian_28", "elephant_43", "flamingo_59", "rooster_3"]),
        ("things", ["grand_piano_24", "pizza_2", "stop_sign_9", "strawberry_2", "sunflower_74"]),
    ] {
        let to = folder.path().join("photos").join(class);
        fs::create_dir_all(&to).unwrap();
        for name in names {
            fs::copy(demo(name), to.join(format!("{name}.jpg"))).unwrap();
        }
    }
    path(folder, "photos")
}

#[test]
fn an_asset_is_built_from_folders_evaluated_and_built_again_to_the_byte() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (first, second) = (path(&folder, "1.tipcam"), path(&folder, "2.tipcam"));
    let built = tipcam(&["build", "--shots", &photos, "-o", &first, "--note", "licence=CC0"]);
    let built = built.succeeds();
    let animals = built.out.lines().find(|line| line.ends_with("animals")).unwrap();
    assert_eq!(animals.split_whitespace().next(), Some("5"), "shots of {animals}");
    assert!(built.out.contains("2 classes") && built.out.contains("10 shots"), "{}", built.out);
    let again = ["build", "--shots", &photos, "-o", &second, "--note", "licence=CC0", "--threads"];
    tipcam(&[&again[..], &["1"]].concat()).succeeds();
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());

    let told = &tipcam(&["inspect", &first, "--format", "json"]).succeeds().json()[0];
    assert_eq!(told["classes"][1]["label"], "things");
    assert_eq!(told["classes"][1]["shots"], 5);
    assert_eq!(told["provenance"]["licence"], "CC0");

    let svg = path(&folder, "confusion.svg");
    let lines =
        tipcam(&["eval", &photos, "--asset", &first, "--confusion", &svg]).succeeds().json();
    let summary = lines.last().unwrap();
    let fields = ["v", "head", "top1", "top5", "n", "classes", "shots", "alpha", "beta", "ece"];
    assert_eq!(keys(summary), fields);
    assert_eq!((&summary["head"], &summary["n"]), (&"tip".into(), &10.into()));
    assert_eq!((&summary["classes"], &summary["shots"]), (&2.into(), &5.into()));
    assert_eq!(summary["top1"], 100.0, "the shots themselves are recognised");
    assert_eq!(lines[0]["class"], "animals");
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("animals taken for animals: 5 of 5"));

    fs::create_dir(Path::new(&photos).join("nobody")).unwrap();
    fs::copy(demo("pizza_2"), Path::new(&photos).join("nobody/1.jpg")).unwrap();
    let done = tipcam(&["eval", &photos, "--asset", &first, "--format", "table"]);
    let done = done.fails_with(&["nobody: left out"]);
    assert!(done.out.contains("% top-1"), "the others are evaluated: {}", done.out);
}

#[test]
fn a_classes_file_and_a_split_choose_what_is_built() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (classes, split) = (path(&folder, "classes.txt"), path(&folder, "split.json"));
    fs::write(&classes, "# two\nthings = all sorts\nanimals\npizza\n").unwrap();
    fs::write(
        &split,
        r#"{"train":["things/pizza_2.jpg","things/sunflower_74.jpg","animals/rooster_3.jpg"],
            "test":["things/stop_sign_9.jpg"]}"#,
    )
    .unwrap();
    let asset = path(&folder, "a.tipcam");
    let args =
        ["build", "--shots", &photos, "--classes", &classes, "--split", &split, "-o", &asset];
    let done = tipcam(&[&args[..], &["--per-class", "1", "--format", "json"]].concat()).succeeds();
    assert_eq!((&done.json()[0]["classes"], &done.json()[0]["shots"]), (&3.into(), &2.into()));
    assert!(done.err.contains("\"pizza\": no photographs"), "{}", done.err);
    let told = &tipcam(&["inspect", &asset, "--shots", "--format", "json"]).succeeds().json()[0];
    assert_eq!(told["shots"][0]["name"], "things/pizza_2.jpg");
    assert_eq!(told["shots"][0]["label"], "all sorts");
    let lines = tipcam(&["eval", &photos, "--split", &split, "--asset", &asset]).succeeds().json();
    assert_eq!(lines.last().unwrap()["n"], 1, "`things` is known by the shots learned from it");
}

#[test]
fn cached_features_are_evaluated_without_an_encoder() {
    let folder = folder();
    let file = path(&folder, "features.safetensors");
    write_features(&file);
    let done = tipcam(&["eval", "--features", &file, "--shots", "2"]).succeeds();
    let summary = done.json().pop().unwrap();
    assert_eq!((&summary["n"], &summary["classes"]), (&12.into(), &3.into()));
    assert_eq!((&summary["top1"], &summary["shots"]), (&100.0.into(), &2.into()));
    tipcam(&["eval", "--features", &file, "--shots", "7"]).fails_with(&[
        "features.safetensors",
        "7shot",
        "[2]",
    ]);
    tipcam(&["eval", "--features", &file, "--head", "zero-shot"]).fails_with(&["--text"]);
    tipcam(&["eval", "--features", &demo("pizza_2")]).fails_with(&["pizza_2.jpg", "safetensors"]);
    assert_eq!(tipcam(&["eval"]).code, 2);
}

/// Three classes around three axes, two shots and four test features each.
pub(super) fn write_features(path: &str) {
    use safetensors::tensor::{Dtype, TensorView};
    let rows = |each: usize| -> (Vec<u8>, Vec<u8>) {
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for at in 0..3 * each {
            let class = at / each;
            for dim in 0..8 {
                let value = if dim == class { 1.0 } else { ((at * 7 + dim * 3) % 5) as f32 * 0.05 };
                features.extend(value.to_le_bytes());
            }
            labels.extend((class as i32).to_le_bytes());
        }
        (features, labels)
    };
    let (keys, key_labels) = rows(2);
    let (test, test_labels) = rows(4);
    let matrix = |rows, bytes| TensorView::new(Dtype::F32, vec![rows, 8], bytes).unwrap();
    let list = |bytes: &'static [u8]| TensorView::new(Dtype::I32, vec![bytes.len() / 4], bytes);
    let [key_labels, test_labels] =
        [key_labels, test_labels].map(|labels| list(labels.leak()).unwrap());
    let tensors = [
        ("keys_2shot", matrix(6, &keys)),
        ("labels_2shot", key_labels),
        ("test_features", matrix(12, &test)),
        ("test_labels", test_labels),
    ];
    let names = ("class_names".to_owned(), r#"["a","b","c"]"#.to_owned());
    let bytes = safetensors::serialize(tensors, Some([names].into())).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn features_are_written_one_row_a_photograph() {
    needs_asset!();
    let folder = folder();
    let (tensors, npy) = (path(&folder, "f.safetensors"), path(&folder, "f.npy"));
    tipcam(&["embed", &demo("pizza_2"), &demo("rooster_3"), "-o", &tensors]).succeeds();
    let bytes = fs::read(&tensors).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let paths = &header.metadata().as_ref().unwrap()["paths"];
    let paths: Vec<PathBuf> = serde_json::from_str(paths).unwrap();
    assert_eq!(paths, [demo("pizza_2"), demo("rooster_3")].map(PathBuf::from));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for name in ["trunk", "projected"] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.shape()[0], 2, "{name}");
        let first = &tensor.data()[..tensor.data().len() / 2];
        let square = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap()).powi(2);
        let norm: f32 = first.chunks(4).map(square).sum();
        assert!((norm - 1.0).abs() < 1e-3, "{name}: {norm}");
    }
    let missing = path(&folder, "missing.jpg");
    tipcam(&["embed", &missing, &demo("pizza_2"), "-o", &npy]).fails_with(&["missing.jpg"]);
    let bytes = fs::read(&npy).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY"), "the others are written");
    tipcam(&["embed", &demo("pizza_2"), "-o", &path(&folder, "f.csv")])
        .fails_with(&["f.csv", ".safetensors or .npy"]);
    tipcam(&["embed", &missing, "-o", &path(&folder, "none.npy")]).fails_with(&["none.npy"]);
    assert!(!folder.path().join("none.npy").exists());
}

#[cfg(feature = "import")]
#[test]
fn a_file_that_is_no_network_cannot_be_imported() {
    let folder = folder();
    let (model, out) = (path(&folder, "model.onnx"), path(&folder, "e.tipcam"));
    fs::write(&model, "this is no protobuf").unwrap();
    tipcam(&["encoder", "import", &model, "-o", &out, "--calibrate", DEMO])
        .fails_with(&["model.onnx"]);
    tipcam(&["encoder", "import", "/nowhere.onnx", "-o", &out]).fails_with(&["/nowhere.onnx"]);
    assert!(!Path::new(&out).exists());
}

#[cfg(feature = "import")]
#[test]
fn a_network_is_imported_and_an_asset_built_on_it() {
    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let folder = folder();
    let photos = dataset(&folder);
    let (encoder, asset) = (path(&folder, "encoder.tipcam"), path(&folder, "tiny.tipcam"));
    let import = |model: &str, calibrate: &[&str]| {
        let model = format!("{GOLDEN}/{model}");
        let args = ["encoder", "import", &model, "-o", &encoder, "--size", "32", "--mean", "127"];
        tipcam(&[&args[..], &["--std", "128", "--min-cosine", "0.9"], calibrate].concat())
    };
    // A sine runs in float, a tangent is unknown.
    let mut unknown = std::fs::read(format!("{GOLDEN}/foreign.onnx")).unwrap();
    let at = unknown.windows(3).position(|bytes| bytes == b"Sin").unwrap();
    unknown[at..at + 3].copy_from_slice(b"Tan");
    let file = path(&folder, "unknown.onnx");
    std::fs::write(&file, unknown).unwrap();
    let args = ["encoder", "import", &file, "-o", &encoder, "--size", "32", "--calibrate", DEMO];
    tipcam(&args).fails_with(&["unknown.onnx", "node gate"]);
    assert!(!Path::new(&encoder).exists());
    let float = import("foreign.onnx", &["--calibrate", DEMO]).succeeds();
    assert!(float.err.contains("1 operator runs in float"), "{}", float.err);
    let without = import("tiny_encoder.onnx", &[]).succeeds();
    assert!(without.err.contains("--calibrate DIR is better"), "{}", without.err);
    let with = import("tiny_encoder.onnx", &["--calibrate", DEMO]).succeeds();
    assert!(with.out.contains("cosine to the float network"), "{}", with.out);

    // an encoder alone gives features and is the ground of an asset, but answers nothing
    let features = path(&folder, "f.npy");
    tipcam(&["embed", DEMO, "-o", &features, "--asset", &encoder]).succeeds();
    tipcam(&["classify", &demo("pizza_2"), "--asset", &encoder])
        .fails_with(&["encoder.tipcam", "HEAD"]);
    tipcam(&["build", "--encoder", &encoder, "--shots", &photos, "-o", &asset]).succeeds();
    let done = tipcam(&["classify", &demo("pizza_2"), "--asset", &asset]).succeeds();
    let nearest = &done.json()[0]["nearest"][0];
    assert_eq!(nearest["label"], "things", "its own shot is the nearest");
    assert!(nearest["cosine"].as_f64().unwrap() > 0.99);
}

#[test]
fn inspect_lists_sections_and_classes() {
    needs_asset!();
    let text = tipcam(&["inspect", "--classes"]).succeeds().out;
    assert!(text.contains("undamaged") && text.contains("CACH"), "{text}");
    let told = &tipcam(&["inspect", "--format", "json"]).succeeds().json()[0];
    let label = told["classes"][0]["label"].as_str().unwrap();
    assert!(text.contains(label));
}
