//! `tipcam fit`, and heads other than Tip-Adapter in the other commands.

use super::make::{dataset, write_features};
use super::*;

const HEADS: [&str; 10] = [
    "tip",
    "cache",
    "gda",
    "ss-text",
    "ape",
    "tip-f",
    "ape-t",
    "clip-adapter",
    "meta-adapter",
    "prolip",
];

#[test]
fn an_asset_gets_another_head_that_answers_and_learns() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let (tip, gda) = (path(&folder, "tip.tipcam"), path(&folder, "gda.tipcam"));
    tipcam(&["build", "--shots", &photos, "-o", &tip]).succeeds();
    let done = tipcam(&["fit", "--head", "gda", "--asset", &tip, "-o", &gda]).succeeds();
    assert!(done.out.contains("head gda") && done.out.contains("held-out shots"), "{}", done.out);
    let told = &tipcam(&["inspect", &gda, "--format", "json"]).succeeds().json()[0];
    assert_eq!(told["head"]["kind"], "gda");
    assert_eq!(told["cache"]["keys"], 10, "the shots stay");
    assert!(told["sections"].as_array().unwrap().iter().any(|section| section["tag"] == "LINR"));

    let summary = tipcam(&["eval", &photos, "--asset", &gda]).succeeds().json();
    let summary = summary.last().unwrap();
    assert_eq!((&summary["head"], &summary["top1"]), (&"gda".into(), &100.0.into()));
    tipcam(&["eval", &photos, "--asset", &gda, "--head", "ape"])
        .fails_with(&["made for head \"gda\"", "tipcam fit --head ape"]);

    let stripes = path(&folder, "stripes.ppm");
    write_stripes(&stripes, 8);
    tipcam(&["learn", "stripes", &stripes, "--asset", &gda]).succeeds();
    let answer = &tipcam(&["classify", &stripes, "--asset", &gda]).succeeds().json()[0];
    assert_eq!(answer["top"][0]["label"], "stripes");
    tipcam(&["forget", "stripes", "--asset", &gda]).succeeds();
    let answer = &tipcam(&["classify", &demo("pizza_2"), "--asset", &gda]).succeeds().json()[0];
    assert_eq!(answer["top"][0]["label"], "things");
}

#[test]
fn a_trained_head_says_when_it_should_be_made_again() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let asset = path(&folder, "mine.tipcam");
    tipcam(&["build", "--shots", &photos, "--head", "tip-f", "-o", &asset]).succeeds();
    let stripes = path(&folder, "stripes.ppm");
    write_stripes(&stripes, 8);
    let learned = tipcam(&["learn", "things", &stripes, "--asset", &asset]).succeeds();
    assert!(learned.err.contains("tipcam fit --head tip-f --asset"), "{}", learned.err);
    tipcam(&["fit", "--head", "tip-f", "--asset", &asset]).succeeds();
    let told = &tipcam(&["inspect", &asset, "--format", "json"]).succeeds().json()[0];
    assert_eq!(told["cache"]["keys"], 11);
}

#[test]
fn negatives_set_the_thresholds_of_unknown() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let asset = path(&folder, "mine.tipcam");
    tipcam(&["build", "--shots", &photos, "-o", &asset]).succeeds();
    let negatives = folder.path().join("negatives");
    fs::create_dir(&negatives).unwrap();
    for width in [2, 5, 16] {
        write_stripes(negatives.join(format!("{width}.ppm")).to_str().unwrap(), width);
    }
    let negatives = negatives.to_str().unwrap();
    let args =
        ["fit", "--head", "tip", "--asset", &asset, "--negatives", negatives, "--format", "json"];
    let told = &tipcam(&args).succeeds().json()[0];
    assert_eq!((&told["head"], &told["held_out"]), (&"tip".into(), &10.into()));
    assert!(told["foreign_refused"].as_f64().unwrap() > 0.9, "{told}");
    assert!(told["known_pass"].as_f64().unwrap() > 0.8, "{told}");
    let answer = &tipcam(&["classify", &format!("{negatives}/5.ppm"), "--asset", &asset]);
    assert!(answer.out.contains("\"unknown\":true"), "{}", answer.out);
    tipcam(&["fit", "--head", "tip", "--asset", &asset, "--negatives", "/nowhere"])
        .fails_with(&["/nowhere"]);
}

#[test]
fn validation_photographs_choose_the_head() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let asset = path(&folder, "mine.tipcam");
    tipcam(&["build", "--shots", &photos, "-o", &asset]).succeeds();
    let labels = ["animals", "things"];
    let more = folder.path().join("more");
    for (class, label) in labels.iter().enumerate() {
        fs::create_dir_all(more.join(label)).unwrap();
        for i in 0..16 {
            let to = more.join(label).join(format!("{i}.ppm"));
            write_stripes(to.to_str().unwrap(), if class == 0 { 2 + i } else { 40 + i });
        }
    }
    let more = more.to_str().unwrap();
    let fit = |dir: &str| tipcam(&["fit", "--asset", &asset, "--validation", dir]);
    let done = fit(more).succeeds();
    assert!(done.err.contains("taken"), "the comparison that ten shots do not allow: {}", done.err);
    assert!(done.out.contains("head "), "{}", done.out);

    let before = fs::read(&asset).unwrap();
    let few = folder.path().join("few");
    fs::create_dir_all(few.join(labels[0])).unwrap();
    write_stripes(few.join(labels[0]).join("1.ppm").to_str().unwrap(), 3);
    fit(few.to_str().unwrap()).fails_with(&["few", "1 photographs", "32"]);
    let foreign = folder.path().join("foreign");
    fs::create_dir_all(foreign.join("nobody")).unwrap();
    write_stripes(foreign.join("nobody/1.ppm").to_str().unwrap(), 3);
    fit(foreign.to_str().unwrap()).fails_with(&["nobody", "no class of that name"]);
    fit("/nowhere").fails_with(&["/nowhere"]);
    assert!(fs::read(&asset).unwrap() == before, "a failure changes nothing");
}

#[test]
fn heads_cannot_be_compared_on_a_few_shots() {
    needs_asset!();
    let folder = folder();
    let photos = dataset(&folder);
    let asset = path(&folder, "mine.tipcam");
    tipcam(&["build", "--shots", &photos, "-o", &asset]).succeeds();
    let before = fs::read(&asset).unwrap();
    tipcam(&["fit", "--asset", &asset]).fails_with(&["10 held-out shots", "--head"]);
    tipcam(&["fit"]).fails_with(&["--asset FILE", "-o OUT"]);
    assert!(fs::read(&asset).unwrap() == before, "a failure changes nothing");
}

#[test]
fn every_head_is_evaluated_on_cached_features() {
    let folder = folder();
    let file = path(&folder, "features.safetensors");
    write_features(&file);
    for head in HEADS {
        let args = ["eval", "--features", &file, "--shots", "2", "--head", head];
        let lines = tipcam(&args).succeeds().json();
        let summary = lines.last().unwrap();
        assert_eq!((&summary["head"], &summary["top1"]), (&head.into(), &100.0.into()));
    }
    tipcam(&["eval", "--features", &file, "--head", "auto"]).fails_with(&["held-out shots"]);
    assert_eq!(tipcam(&["eval", "--features", &file, "--head", "best"]).code, 2);
}
