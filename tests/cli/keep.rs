//! Damaged and foreign assets, and what `learn` and `forget` keep whole.

use super::*;

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

#[test]
fn several_learn_into_one_file_at_once_and_nothing_is_lost() {
    needs_asset!();
    let folder = folder();
    let asset = own_asset(&folder);
    let pictures = ["butterfly_68", "dalmatian_28", "elephant_43", "flamingo_59"];
    let learn = |picture: &str| {
        let thing = format!("my {picture}");
        let mut command = program();
        command.args(["learn", &thing, &demo(picture), "--asset", &asset]).stdout(Stdio::null());
        command.spawn().unwrap()
    };
    for mut child in pictures.map(learn) {
        assert!(child.wait().unwrap().success());
    }
    let classes = tipcam(&["inspect", &asset, "--classes"]).succeeds().out;
    for picture in pictures {
        assert!(classes.contains(&format!("my {picture}")), "{classes}");
    }
}

#[test]
fn an_asset_is_installed_on_trial_and_what_does_not_work_is_not() {
    needs_asset!();
    let folder = folder();
    let (asset, state) = (own_asset(&folder), path(&folder, "state"));
    let install = |file: &str, more: &[&str]| {
        tipcam(&[&["install", file, "--state", &state][..], more].concat())
    };
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = pair.pk.to_base64();
    install(&asset, &["--public-key", &key]).fails_with(&["own.tipcam", "not signed"]);
    install(&asset, &["--public-key", "no key"]).fails_with(&["no key", "minisign.pub"]);
    assert!(!Path::new(&state).exists());

    let contents = fs::read(&asset).unwrap();
    let signature = minisign::sign(None, &pair.sk, &contents[..], None, None).unwrap();
    fs::write(format!("{asset}.minisig"), signature.into_string()).unwrap();
    let done = install(&asset, &["--public-key", &key]).succeeds().out;
    assert!(done.contains("a.tipcam, on trial"), "{done}");
    assert_eq!(fs::read(Path::new(&state).join("a.tipcam")).unwrap(), contents);

    let picture = path(&folder, "stripes.ppm");
    install(&picture, &[]).fails_with(&["stripes.ppm", "not a tipcam asset"]);
    let done = install(&asset, &["--format", "json"]).succeeds();
    assert_eq!(done.json()[0]["signed"], false);
}
