//! What `tipcam build` keeps from one build to the next, and views of photographs.

use super::make::dataset;
use super::*;

/// Photographs of each kind: as many as make a build long enough to be interrupted.
const COPIES: usize = 2;
/// Where the records begin in a file of features.
const HEADER: u64 = 52;

/// Photographs in two classes, no two of the same bytes.
fn photographs(folder: &TempDir) -> (String, usize) {
    let photos = dataset(folder);
    let mut count = 0;
    for class in ["animals", "things"] {
        let class = Path::new(&photos).join(class);
        let files: Vec<_> =
            fs::read_dir(&class).unwrap().map(|entry| entry.unwrap().path()).collect();
        for file in files {
            for copy in 1..COPIES {
                let stem = file.file_stem().unwrap().to_str().unwrap();
                let to = class.join(format!("{stem}-{copy}.jpg"));
                // what comes behind a JPEG's end is not looked at
                fs::write(&to, [&fs::read(&file).unwrap()[..], &[copy as u8]].concat()).unwrap();
            }
            count += COPIES;
        }
    }
    (photos, count)
}

fn build(photos: &str, asset: &str, more: &[&str]) -> Done {
    tipcam(&[&["build", "--shots", photos, "-o", asset, "--format", "json"], more].concat())
}

fn found(done: &Done) -> usize {
    done.json()[0]["kept"]["found"].as_u64().unwrap() as usize
}

#[test]
fn a_build_that_was_killed_goes_on_where_it_stopped() {
    needs_asset!();
    let folder = folder();
    let (photos, count) = photographs(&folder);
    let [whole, asset] = ["whole.tipcam", "a.tipcam"].map(|name| path(&folder, name));
    let kept = format!("{asset}.features");
    let done = build(&photos, &whole, &["--no-resume"]).succeeds();
    assert!(
        done.json()[0].get("kept").is_none() && !Path::new(&format!("{whole}.features")).exists()
    );

    let mut child = program();
    child.args(["build", "--shots", &photos, "-o", &asset]).stdout(Stdio::null());
    let mut child = child.stderr(Stdio::null()).spawn().unwrap();
    let records = |file: &str| {
        let bytes = fs::metadata(file).map_or(0, |file| file.len()).saturating_sub(HEADER);
        bytes as usize / (32 + 4 * 1280 + 4)
    };
    let begun = Instant::now();
    while records(&kept) < 3 && begun.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!Path::new(&asset).exists(), "killed too late");
    let there = records(&kept);
    assert!((3..count).contains(&there), "{there} of {count} were encoded");

    let done = build(&photos, &asset, &[]).succeeds();
    assert_eq!(found(&done), there);
    assert!(fs::read(&asset).unwrap() == fs::read(&whole).unwrap(), "other bytes than in one go");
    println!("{there} of {count} photographs were encoded before the build was killed");

    // one more photograph, and one that is gone
    let stripes = Path::new(&photos).join("things/stripes.ppm");
    write_stripes(stripes.to_str().unwrap(), 8);
    fs::remove_file(Path::new(&photos).join("things/pizza_2-1.jpg")).unwrap();
    let done = build(&photos, &asset, &[]).succeeds();
    assert_eq!((found(&done), &done.json()[0]["shots"]), (count - 1, &count.into()));
    assert_eq!(records(&kept), count, "what is gone is not kept");
    let text = tipcam(&["build", "--shots", &photos, "-o", &asset]).succeeds().out;
    assert!(text.contains(&format!("{count} features from an earlier build")), "{text}");

    // a damaged file is told and not believed
    let mut bytes = fs::read(&kept).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let before = fs::read(&asset).unwrap();
    let done = build(&photos, &asset, &[]).succeeds();
    assert!(done.err.contains("a.tipcam.features: damaged or cut off"), "{}", done.err);
    assert!(found(&done) < count, "{}", done.out);
    assert!(fs::read(&asset).unwrap() == before);

    // what is no such file stays as it is
    fs::write(&kept, "notes of mine").unwrap();
    let done = build(&photos, &asset, &[]).succeeds();
    assert!(
        done.err.contains("a.tipcam.features") && done.err.contains("move or delete"),
        "{}",
        done.err
    );
    assert_eq!(fs::read_to_string(&kept).unwrap(), "notes of mine");
    assert!(fs::read(&asset).unwrap() == before);
}

#[test]
fn views_are_averaged_alike_at_every_build() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let built = |name: &str, more: &[&str]| {
        let asset = path(&folder, name);
        let done = build(&photos, &asset, more).succeeds();
        (fs::read(asset).unwrap(), found(&done))
    };
    let plain = built("plain.tipcam", &[]).0;
    let views = built("a.tipcam", &["--augment", "2"]);
    assert!(views.0 != plain, "views are not the photographs");
    assert!(views.0 == built("b.tipcam", &["--augment", "2", "--threads", "1"]).0);
    let other = built("a.tipcam", &["--augment", "2", "--seed", "1"]);
    assert!(other.0 != views.0 && other.1 == 0, "another seed draws other views");
    assert_eq!(built("a.tipcam", &["--augment", "2", "--seed", "1"]).1, 10);
    assert_eq!(built("a.tipcam", &[]), (plain, 0), "kept views are not taken for photographs");
    // what a photograph is called, and where it stands, does not matter
    let asset = path(&folder, "a.tipcam");
    let shot = |name: &str| {
        let file = tipcam::asset::AssetFile::open(&asset).unwrap();
        let asset = file.asset().unwrap();
        let names = asset.key_names.unwrap();
        let key = (0..names.count()).find(|&key| names.get(key) == Some(name)).unwrap();
        tipcam::fit::keys::decode(&asset.cache.unwrap(), key)
    };
    build(&photos, &asset, &["--augment", "2"]).succeeds();
    let before = shot("things/pizza_2.jpg");
    let things = Path::new(&photos).join("things");
    fs::rename(things.join("pizza_2.jpg"), things.join("a.jpg")).unwrap();
    build(&photos, &asset, &["--augment", "2", "--no-resume"]).succeeds();
    let cosine: f32 = shot("things/a.jpg").iter().zip(&before).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.999, "{cosine}");
    assert_eq!(build(&photos, &asset, &["--augment", "0"]).code, 2);
}

#[test]
fn classes_that_cannot_be_built_are_named_and_nothing_is_written() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (classes, asset) = (path(&folder, "classes.txt"), path(&folder, "a.tipcam"));
    let build = |lines: &str| {
        fs::write(&classes, lines).unwrap();
        build(&photos, &asset, &["--classes", &classes, "--per-class", "1"])
    };
    build("animals\nqwertz\n").fails_with(&["\"qwertz\"", "give it photographs"]);
    build("\n").fails_with(&["classes.txt", "no classes"]);
    assert!(!Path::new(&asset).exists());
    let one = build("animals = my only one\n").succeeds();
    assert_eq!(
        (&one.json()[0]["shots"], &one.json()[0]["leave_one_out_top1"]),
        (&1.into(), &Value::Null)
    );
    let answer = &tipcam(&["classify", &demo("pizza_2"), "--asset", &asset]).succeeds().json()[0];
    assert_eq!(answer["top"][0]["label"], "my only one");
    for head in ["tip", "gda"] {
        tipcam(&["fit", "--head", head, "--asset", &asset]).succeeds();
    }
    tipcam(&["fit", "--asset", &asset]).fails_with(&["held-out shots", "--head"]);
}
