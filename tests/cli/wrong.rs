//! Wrong inputs of everything that reads features (`convert`, `eval --features` and `fit`), and of `build`.

use tipcam::asset::limits::MAX_CLASSES;
use tipcam::tensors::{Array, Element, write_npy, write_safetensors};

use super::convert::convert;
use super::*;

/// As many classes as no asset has.
const TOO_MANY: usize = 10_000;

/// Arrays for `convert`, and the same as shots and test features for `eval`.
pub(super) struct Arrays(pub(super) Vec<(&'static str, Array)>, pub(super) Vec<&'static str>);

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

    pub(super) fn write(&self, folder: &TempDir, name: &str) -> String {
        let mut bytes = Vec::new();
        let names = serde_json::to_string(&self.1).unwrap();
        write_safetensors(&self.0, &[("class_names", names)], &mut bytes).unwrap();
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
        (good().named(&["a", "", "c"]), &["class 1 has no name"]),
        (good().with("keys", ones(6, 0)), &["[6, 0]", "nothing in it"]),
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
        write_npy(array, &mut file).unwrap();
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
fn classes_that_no_asset_has_room_for_are_told_before_photographs_are_encoded() {
    needs_asset!();
    let (folder, output) = (folder(), "own.tipcam");
    let photos = folder.path().join("photos");
    for class in 0..=MAX_CLASSES {
        let own = photos.join(format!("class {class}"));
        fs::create_dir_all(&own).unwrap();
        // it would be told first if it were looked at
        fs::write(own.join("1.jpg"), "broken").unwrap();
    }
    let list = path(&folder, "classes.txt");
    let classes = |names: &mut dyn Iterator<Item = String>| {
        fs::write(&list, names.collect::<Vec<_>>().join("\n")).unwrap();
        let photos = photos.to_str().unwrap();
        tipcam(&["build", "--shots", photos, "--classes", &list, "-o", &path(&folder, output)])
    };
    let many = classes(&mut (0..=MAX_CLASSES).map(|class| format!("class {class}")));
    let many = many.fails_with(&["photos", "4097 classes", "at most 4096", "--classes"]);
    assert!(!many.err.contains("1.jpg"), "{}", many.err);
    let long = format!("class 0 = {}", "x".repeat(65));
    classes(&mut [long].into_iter()).fails_with(&["65 bytes", "at most 64"]);
    assert!(!folder.path().join(output).exists());
}
