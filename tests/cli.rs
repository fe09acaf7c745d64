//! The program as its users meet it: command lines, exit codes, outputs and what they keep whole.
//!
//! Most of it needs an asset inside the program; a build without one leaves those tests out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;
use tempfile::TempDir;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo");

/// What a finished program left behind.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    /// The JSON objects of the output, one a line.
    fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }

    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// Fails with all of `words` in what it says on stderr.
    #[track_caller]
    fn fails_with(self, words: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self
    }
}

/// The program, under the emulator that cargo runs the tests with if there is one.
fn program() -> Command {
    Command::cargo_bin("tipcam").unwrap()
}

fn tipcam<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Done {
    tipcam_reading(args, b"")
}

fn tipcam_reading<S: AsRef<std::ffi::OsStr>>(args: &[S], input: &[u8]) -> Done {
    let mut command = assert_cmd::Command::from_std(program());
    let output =
        command.args(args).write_stdin(input).timeout(Duration::from_secs(600)).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whether the program has an asset inside.
fn has_asset() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let has = tipcam(&["inspect"]).code == 0;
        if !has {
            println!("left out: tests that need an asset (the program was built without one)");
        }
        has
    })
}

macro_rules! needs_asset {
    () => {
        if !has_asset() {
            return;
        }
    };
}

fn demo(name: &str) -> String {
    format!("{DEMO}/{name}.jpg")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A copy of the asset in the program, as `learn` makes one: with one more class, "stripes".
fn own_asset(folder: &TempDir) -> String {
    let (asset, picture) = (path(folder, "own.tipcam"), path(folder, "stripes.ppm"));
    write_stripes(&picture, 8);
    tipcam(&["learn", "stripes", &picture, "--asset", &asset]).succeeds();
    asset
}

/// A picture of vertical stripes.
fn write_stripes(path: &str, width: usize) {
    let mut ppm = b"P6 160 120 255\n".to_vec();
    for at in 0..160 * 120 {
        let on = (at % 160 / width).is_multiple_of(2);
        ppm.extend(if on { [250, 240, 20] } else { [20, 20, 120] });
    }
    fs::write(path, ppm).unwrap();
}

// the command line

#[test]
fn help_shows_examples_for_every_command() {
    let help = tipcam(&["--help"]).succeeds().out;
    let mut commands =
        vec!["classify", "watch", "learn", "forget", "build", "eval", "embed", "inspect", "doctor"];
    if cfg!(feature = "import") {
        commands.push("encoder");
    }
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in:\n{help}");
        let own = tipcam(&[command, "--help"]).succeeds().out;
        assert!(own.contains("--asset") && own.contains("--kernel"), "{own}");
    }
    assert!(help.contains("Examples:") && help.contains("Exit code"));
}

#[test]
fn an_unknown_flag_is_an_error_of_the_command_line() {
    let done = tipcam(&["classify", "x.jpg", "--colour"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--colour"), "{}", done.err);
    assert_eq!(tipcam(&["classify"]).code, 2, "no path");
    assert_eq!(tipcam(&["paint"]).code, 2, "no such command");
    assert_eq!(tipcam(&["doctor", "--threads", "0"]).code, 2);
    assert_eq!(tipcam(&["watch", "demo", "--size", "big"]).code, 2);
}

#[test]
fn a_kernel_that_the_processor_lacks_is_an_error_that_lists_those_it_has() {
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx512" };
    tipcam(&["doctor", "--kernel", foreign]).fails_with(&[foreign, "it has scalar"]);
    tipcam(&["doctor", "--kernel", "scalar"]).succeeds();
}

#[test]
fn doctor_describes_the_machine() {
    let done = tipcam(&["doctor", "--format", "json"]).succeeds();
    let report = &done.json()[0];
    assert_eq!(report["arch"], std::env::consts::ARCH);
    assert_eq!(report["kernels"][0], "scalar");
    assert!(report["kernels"].as_array().unwrap().contains(&report["kernel"]));
    assert!(report["threads"].as_u64().unwrap() >= 1);
    assert!(tipcam(&["doctor"]).succeeds().out.contains("kernels"));
}

#[test]
fn a_missing_asset_is_named_with_what_to_do() {
    tipcam(&["classify", "x.jpg", "--asset", "/nowhere/my.tipcam"])
        .fails_with(&["Error: /nowhere/my.tipcam", "check the path"]);
}

// classify

#[test]
fn classify_prints_the_fields_of_the_contract() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2")]).succeeds();
    let lines = done.json();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    let fields = ["v", "source", "label", "score", "unknown", "top", "nearest", "ms"];
    assert_eq!(keys(line), fields);
    assert_eq!(line["v"], 1);
    assert_eq!(line["source"], demo("pizza_2"));
    let top = line["top"].as_array().unwrap();
    assert!((1..=5).contains(&top.len()));
    assert_eq!(keys(&top[0]), ["label", "score", "zero_shot", "cache"]);
    assert_eq!(top[0]["score"], line["score"]);
    assert!(top.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()));
    let nearest = line["nearest"].as_array().unwrap();
    assert_eq!(nearest.len(), 3);
    assert_eq!(keys(&nearest[0]), ["key", "label", "cosine"]);
    assert!(nearest.is_sorted_by(|a, b| a["cosine"].as_f64() >= b["cosine"].as_f64()));
    assert_eq!(keys(&line["ms"]), ["decode", "preprocess", "encode", "head"]);
    match line["unknown"].as_bool().unwrap() {
        true => assert!(line["label"].is_null()),
        false => assert_eq!(line["label"], top[0]["label"]),
    }
}

#[test]
fn classify_lists_as_many_classes_as_asked_for() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2"), "--top-k", "2"]).succeeds();
    assert_eq!(done.json()[0]["top"].as_array().unwrap().len(), 2);
    assert_eq!(tipcam(&["classify", &demo("pizza_2"), "--top-k", "0"]).code, 2);
}

#[test]
fn classify_takes_folders_patterns_and_standard_input() {
    needs_asset!();
    let folder = folder();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::copy(demo("pizza_2"), path(&folder, "b.jpg")).unwrap();
    fs::copy(demo("rooster_3"), path(&folder, "below/a.JPG")).unwrap();
    fs::write(path(&folder, "notes.txt"), "no picture").unwrap();
    let sources = |args: &[&str]| -> Vec<String> {
        let lines = tipcam(args).succeeds().json();
        lines.iter().map(|line| line["source"].as_str().unwrap().to_owned()).collect()
    };
    let both = [path(&folder, "b.jpg"), path(&folder, "below/a.JPG")];
    assert_eq!(sources(&["classify", folder.path().to_str().unwrap()]), both);
    assert_eq!(sources(&["classify", &path(&folder, "*.jpg")]), both[..1]);

    let pizza = fs::read(demo("pizza_2")).unwrap();
    let piped = tipcam_reading(&["classify", "-"], &pizza).succeeds().json();
    let read = tipcam(&["classify", &demo("pizza_2")]).json();
    assert_eq!(piped[0]["source"], "-");
    assert_eq!(piped[0]["top"], read[0]["top"]);
}

#[test]
fn unreadable_pictures_are_told_and_the_others_answered() {
    needs_asset!();
    let folder = folder();
    let (broken, empty) = (path(&folder, "broken.jpg"), path(&folder, "empty.jpg"));
    let whole = fs::read(demo("pizza_2")).unwrap();
    fs::write(&broken, &whole[..40]).unwrap();
    fs::write(&empty, "").unwrap();
    let missing = path(&folder, "missing.jpg");
    let done = tipcam(&["classify", &broken, &missing, &empty, &demo("pizza_2")]);
    let done = done.fails_with(&["broken.jpg", "missing.jpg", "empty.jpg"]);
    assert_eq!(done.err.matches("Error: ").count(), 3, "{}", done.err);
    assert_eq!(done.json().len(), 1);
    assert_eq!(done.json()[0]["source"], demo("pizza_2"));
}

#[test]
fn an_empty_folder_is_an_error() {
    needs_asset!();
    let folder = folder();
    let name = folder.path().to_str().unwrap();
    tipcam(&["classify", name]).fails_with(&[name, "no picture"]);
    tipcam(&["watch", name]).fails_with(&[name, "no picture"]);
    tipcam(&["eval", name]).fails_with(&[name]);
    tipcam(&["build", "--shots", name, "-o", &path(&folder, "a.tipcam")]).fails_with(&[name]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_table_is_for_eyes() {
    needs_asset!();
    let done = tipcam(&["classify", &demo("pizza_2"), "--format", "table"]).succeeds();
    assert_eq!(done.out.lines().count(), 1);
    assert!(done.out.contains("pizza") && !done.out.contains('{'), "{}", done.out);
}

#[test]
fn any_number_of_threads_gives_the_same_answer() {
    needs_asset!();
    let answer = |threads: &str| {
        let done = tipcam(&["classify", &demo("elephant_43"), "--threads", threads]).succeeds();
        done.json()[0]["top"].clone()
    };
    assert_eq!(answer("1"), answer("3"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_the_output_is_an_error() {
    needs_asset!();
    for args in [&["classify", &demo("pizza_2")][..], &["watch", "demo"], &["inspect"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = program().args(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("No space left"), "{args:?}: {err}");
    }
}

// damaged and foreign assets

#[test]
fn a_damaged_or_foreign_asset_is_refused_with_its_reason() {
    needs_asset!();
    let folder = folder();
    let asset = own_asset(&folder);
    let whole = fs::read(&asset).unwrap();
    let bad = path(&folder, "bad.tipcam");
    let refused = |bytes: &[u8], words: &[&str]| {
        fs::write(&bad, bytes).unwrap();
        for command in [
            &["classify", &demo("pizza_2"), "--asset", &bad][..],
            &["watch", "demo", "--asset", &bad],
            &["learn", "x", &demo("pizza_2"), "--asset", &bad],
            &["inspect", &bad],
        ] {
            let done = tipcam(command).fails_with(&["bad.tipcam"]).fails_with(words);
            assert_eq!(done.out, "", "{command:?}");
        }
        assert_eq!(fs::read(&bad).unwrap(), bytes, "a refused file stays as it is");
    };
    refused(&whole[..whole.len() - 1000], &["cut short"]);
    refused(&whole[..20], &["cut short"]);
    refused(b"", &["bad.tipcam"]);
    let jpeg = fs::read(demo("pizza_2")).unwrap();
    refused(&jpeg, &["JPEG"]);
    // one bit in the middle of the largest section, which is the encoder's or the cache's
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 4;
    refused(&flipped, &["damaged"]);
    let mut newer = whole.clone();
    newer[8..10].copy_from_slice(&900u16.to_le_bytes());
    refused(&newer, &["version 900", "newer"]);
}

// learn and forget

#[test]
fn a_learned_class_is_recognised_and_a_forgotten_one_is_not() {
    needs_asset!();
    let folder = folder();
    let asset = path(&folder, "mine.tipcam");
    let pictures = [5, 7, 9].map(|width| {
        let picture = path(&folder, &format!("{width}.ppm"));
        write_stripes(&picture, width);
        picture
    });
    let learn = ["learn", "my stripes", &pictures[0], &pictures[1], "--asset", &asset];
    let learned = tipcam(&learn).succeeds().out;
    assert!(learned.contains("my stripes: new, 2 shots"), "{learned}");
    assert!(learned.contains("made from the asset inside"), "{learned}");

    let classify = ["classify", &pictures[2], "--asset", &asset];
    let answer = &tipcam(&classify).succeeds().json()[0];
    assert_eq!(answer["top"][0]["label"], "my stripes", "{answer}");
    assert_eq!(answer["nearest"][0]["label"], "my stripes", "{answer}");
    let key = answer["nearest"][0]["key"].to_string();

    let forgot = tipcam(&["forget", &key, "--asset", &asset]).succeeds().out;
    assert!(forgot.contains("my stripes: 1 shots, was 2"), "{forgot}");
    tipcam(&["forget", &key, "--asset", &asset]).fails_with(&["no key", &key]);

    let forgot = tipcam(&["forget", "my stripes", "--asset", &asset, "--format", "json"]);
    let forgot = &forgot.succeeds().json()[0];
    assert_eq!(forgot["changed"][0]["shots_before"], 1);
    assert!(forgot["changed"][0]["shots_after"].is_null());
    let answer = &tipcam(&classify).succeeds().json()[0];
    let before = &tipcam(&["classify", &pictures[2]]).succeeds().json()[0];
    assert_eq!(answer["top"], before["top"], "as if it had never been learned");
    tipcam(&["forget", "my stripes", "--asset", &asset]).fails_with(&["no class", "my stripes"]);
}

#[test]
fn near_duplicates_are_learned_with_a_warning() {
    needs_asset!();
    let folder = folder();
    let asset = path(&folder, "mine.tipcam");
    let picture = demo("rooster_3");
    let done = tipcam(&["learn", "my cock", &picture, &picture, "--asset", &asset]).succeeds();
    assert!(done.err.contains("Warning: demo/rooster_3.jpg looks like"), "{}", done.err);
    assert!(done.out.contains("my cock: new, 2 shots"), "{}", done.out);
}

#[test]
fn learn_without_a_file_to_change_says_what_to_give() {
    needs_asset!();
    tipcam(&["learn", "cup", &demo("pizza_2")]).fails_with(&["--asset FILE"]);
    tipcam(&["forget", "cup"]).fails_with(&["--asset FILE"]);
}

#[test]
fn a_picture_that_cannot_be_read_does_not_keep_the_others_from_being_learned() {
    needs_asset!();
    let folder = folder();
    let (asset, broken) = (path(&folder, "mine.tipcam"), path(&folder, "broken.png"));
    fs::write(&broken, "no picture at all").unwrap();
    tipcam(&["learn", "toy", &broken, "--asset", &asset])
        .fails_with(&["broken.png", "nothing was learned"]);
    assert!(!Path::new(&asset).exists(), "nothing to keep, nothing written");
    let done = tipcam(&["learn", "toy", &broken, &demo("pizza_2"), "--asset", &asset]);
    assert!(done.fails_with(&["broken.png"]).out.contains("toy: new, 1 shots"));
}

#[test]
fn a_failed_write_leaves_the_old_asset_and_nothing_else() {
    needs_asset!();
    let folder = folder();
    let asset = own_asset(&folder);
    let before = fs::read(&asset).unwrap();
    // a limit on the size of files stands for a full disk
    let program = program();
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$@\"", "bash"])
        .arg(program.get_program())
        .args(program.get_args())
        .args(["learn", "toy", &demo("pizza_2"), "--asset", &asset])
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("own.tipcam: not written, nothing was changed"), "{err}");
    assert!(fs::read(&asset).unwrap() == before);
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["own.tipcam", "stripes.ppm"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    needs_asset!();
    let folder = folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let asset = path(&folder, "mine.tipcam");
    if fs::write(&asset, "").is_ok() {
        println!("left out: a read-only folder (this user may write everywhere)");
        fs::remove_file(&asset).unwrap();
    } else {
        tipcam(&["learn", "toy", &demo("pizza_2"), "--asset", &asset])
            .fails_with(&["mine.tipcam", "no permission"]);
    }
    tipcam(&["learn", "toy", &demo("pizza_2"), "--asset", "/nowhere/mine.tipcam"])
        .fails_with(&["/nowhere/mine.tipcam", "folder does not exist"]);
}

// build, eval, embed, inspect, encoder

/// `animals` and `things`, five photographs each.
fn dataset(folder: &TempDir) -> String {
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
fn write_features(path: &str) {
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
    import("foreign.onnx", &["--calibrate", DEMO]).fails_with(&["foreign.onnx", "node"]);
    assert!(!Path::new(&encoder).exists());
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

// watch

/// The program while it runs; killed if the test forgets it.
struct Running(Child);

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut command = program();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The exit code and stderr, within a minute.
    fn wait(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                let mut err = String::new();
                self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                return (status.code(), err);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_prints_the_fields_of_the_contract_and_accounts_for_every_frame() {
    needs_asset!();
    let done = tipcam(&["watch", "demo", "--rate", "50"]).succeeds();
    let lines = done.json();
    let fields = [
        "v", "source", "frame", "mono_ms", "time", "raw", "stable", "score", "unknown", "top",
        "nearest", "ms", "dropped",
    ];
    assert_eq!(keys(&lines[0]), fields);
    let last = lines.last().unwrap();
    assert_eq!(last["frame"], 9, "the last frame is answered");
    assert_eq!(lines.len() as u64 + last["dropped"].as_u64().unwrap(), 10);
    for field in ["frame", "mono_ms", "dropped"] {
        assert!(lines.is_sorted_by(|a, b| a[field].as_u64() <= b[field].as_u64()), "{field}");
    }
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    assert!(done.err.contains("10 frames"), "{}", done.err);
}

#[test]
fn watch_answers_every_frame_when_it_is_told_to() {
    needs_asset!();
    let lines = tipcam(&["watch", "demo", "--every-frame"]).succeeds().json();
    let frames: Vec<_> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(frames, (0..10).collect::<Vec<_>>());
    assert_eq!(lines[9]["dropped"], 0);
}

#[test]
fn watch_reads_streams_from_standard_input() {
    needs_asset!();
    let count = |args: &[&str], bytes: &[u8]| {
        let all = [&["watch", "-", "--every-frame"][..], args].concat();
        tipcam_reading(&all, bytes).succeeds().json().len()
    };
    let mut y4m = b"YUV4MPEG2 W64 H48 F25:1 C420\n".to_vec();
    for frame in 0..3u8 {
        y4m.extend(b"FRAME\n");
        y4m.extend([60 * frame; 64 * 48]);
        y4m.extend([128; 64 * 48 / 2]);
    }
    assert_eq!(count(&[], &y4m), 3);
    let rgb = vec![90; 64 * 48 * 3 * 2];
    assert_eq!(count(&["--input-format", "rgb24", "--size", "64x48"], &rgb), 2);
    assert_eq!(count(&["--input-format", "yuyv", "--size", "64x48"], &rgb), 3);
    assert_eq!(count(&["--input-format", "yuv420p", "--size", "64x48"], &rgb), 4);
    let mjpeg = ["pizza_2", "rooster_3"].map(|name| fs::read(demo(name)).unwrap()).concat();
    assert_eq!(count(&["--input-format", "mjpeg"], &mjpeg), 2);
    tipcam_reading(&["watch", "-", "--input-format", "rgb24"], &rgb).fails_with(&["--size"]);
}

#[test]
fn watch_tells_what_it_could_not_read_and_goes_on() {
    needs_asset!();
    let folder = folder();
    fs::copy(demo("pizza_2"), path(&folder, "1.jpg")).unwrap();
    fs::write(path(&folder, "2.jpg"), "broken").unwrap();
    fs::copy(demo("rooster_3"), path(&folder, "3.jpg")).unwrap();
    let done = tipcam(&["watch", folder.path().to_str().unwrap(), "--every-frame"]);
    let done = done.fails_with(&["2.jpg", "1 could not be read"]);
    assert_eq!(done.json().len(), 2);
}

#[test]
fn watch_ends_quietly_when_nobody_reads_any_more() {
    needs_asset!();
    let mut running = Running::start(&["watch", "demo", "--loop", "--rate", "50"]);
    let mut line = String::new();
    let mut out = BufReader::new(running.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    let (code, err) = running.wait();
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(serde_json::from_str::<Value>(&line).is_ok());
}

#[cfg(unix)]
#[test]
fn watch_ends_with_whole_lines_on_a_signal() {
    needs_asset!();
    for signal in ["INT", "TERM"] {
        let mut running = Running::start(&["watch", "demo", "--loop", "--rate", "20"]);
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        let mut text = String::new();
        out.read_line(&mut text).unwrap();
        let id = running.0.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        out.read_to_string(&mut text).unwrap();
        let (code, err) = running.wait();
        assert_eq!(code, Some(0), "{signal}: {err}");
        assert!(text.ends_with("}\n"), "{signal}");
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        assert!(err.contains("frames:"), "{signal}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_watch_whose_camera_gives_nothing() {
    needs_asset!();
    // its standard input stays open and silent
    let running = Running::start(&["watch", "-", "--input-format", "rgb24", "--size", "64x48"]);
    std::thread::sleep(Duration::from_millis(1500));
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let (code, err) = running.wait();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("0 frames"), "{err}");
}

#[test]
fn a_camera_is_read_while_nobody_takes_the_output() {
    needs_asset!();
    let mut running =
        Running::start(&["watch", "-", "--input-format", "rgb24", "--size", "64x48", "-k", "32"]);
    let mut camera = running.0.stdin.take().unwrap();
    // far more than pipes hold: if reading waited for the output this would never end
    let frame = vec![90; 64 * 48 * 3];
    for _ in 0..2000 {
        camera.write_all(&frame).unwrap();
    }
    drop(camera);
    let mut text = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["frame"], 1999);
    let answered = text.lines().count() as u64;
    assert_eq!(answered + last["dropped"].as_u64().unwrap(), 2000);
    assert_eq!(running.wait().0, Some(0));
}
