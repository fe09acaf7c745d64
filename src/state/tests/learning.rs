use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::asset::{HeadParams, RowKind};
use crate::fit::OwnedProjector;
use crate::head::{Buffers, Head, best};
use crate::state::Lock;
use crate::state::record::HEADER_LEN;
use crate::state::replay::head_of;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a picture \xff\xd9";

fn open(base: &AssetFile, folder: &Path) -> Store {
    Store::open(base.clone(), folder, Options::default(), None, workers()).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn answer(store: &Store, feature: &[f32]) -> String {
    let file = store.head();
    let asset = file.asset().unwrap();
    let head = Head::new(&asset, kernels::best()).unwrap();
    let mut buffers = Buffers::new(&head);
    head.logits(&[], feature, &mut buffers.workspace()).unwrap();
    asset.labels.unwrap().get(best(&buffers.logits).unwrap()).unwrap().to_owned()
}

#[test]
fn what_is_learned_is_there_after_a_restart_and_the_encoder_is_not_copied() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let mut store = open(&base, folder.path());
    assert!(store.durable() && store.notes().is_empty() && store.generation() == 0);
    let new = shots(&mut Random::new(7), 2);
    let learned = store.learn(" cup ", &new).unwrap();
    assert_eq!((learned.keys, learned.new_class), (vec![6, 7], true));
    assert_eq!(answer(&store, &new[1].feature), "cup");
    let head = store.head();
    let asset = head.asset().unwrap();
    assert!(!asset.has_encoder() && head.bytes().len() < base.bytes().len());
    assert_eq!(asset.container.encoder_id(), base.container().unwrap().encoder_id());
    drop(store);
    let store = open(&base, folder.path());
    assert_eq!(store.head().bytes(), head.bytes());
    assert_eq!(store.undoable(), 1);
}

#[test]
fn a_store_learns_as_the_command_does() {
    let base = asset_in(Space::Trunk, HeadKind::Tip, 1, &[2, 3, 2]);
    // as if there had been enough shots to choose it by
    let params = HeadParams { row_gain: 1.0, ..base.asset().unwrap().head.unwrap() };
    let container = base.container().unwrap();
    let file = Builder::from_container(&container).section(Tag::HEAD, params.encode());
    let base: AssetFile = file.to_bytes().unwrap().try_into().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let project: OwnedProjector = Box::new(move |feature: &[f32]| {
        counted.fetch_add(1, Ordering::Relaxed);
        reversed(feature)
    });
    let mut store =
        Store::in_memory(base.clone(), Options::default(), Some(project), workers()).unwrap();
    store.prepare();
    assert_eq!(store.head().bytes(), head_of(&base).unwrap().bytes());
    let prepared = calls.load(Ordering::Relaxed);
    assert_eq!(store.space(), Space::Trunk);
    let new = shots(&mut Random::new(8), 3);
    store.learn("cup", &new).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), prepared + 3, "only the new shots were projected");
    let new: Vec<_> = new.into_iter().map(|shot| (shot.feature, shot.name)).collect();
    let asset = base.asset().unwrap();
    let change = fit::learn(&asset, "cup", &new, Some(&reversed), workers()).unwrap();
    let bytes = change.apply(&asset.container).to_bytes().unwrap();
    let learned = head_of(&AssetFile::try_from(bytes).unwrap()).unwrap();
    assert_eq!(learned.asset().unwrap().text.unwrap().kind(3), RowKind::Shots);
    assert_eq!(store.head().bytes(), learned.bytes());
}

#[test]
fn each_operation_does_what_it_says() {
    let mut store = Store::in_memory(asset(), Options::default(), None, workers()).unwrap();
    assert!(!store.durable());
    let new = shots(&mut Random::new(7), 2);
    store.learn("cup", &new).unwrap();
    let again = store.learn("cup", &new[..1]).unwrap();
    assert_eq!((again.new_class, &again.duplicates[0].other[..]), (false, "0.jpg"));
    let moved = store.move_key(6, "mug").unwrap();
    assert_eq!((moved.new_class, moved.class), (true, None));
    store.move_key(8, "mug").unwrap();
    assert_eq!(answer(&store, &new[0].feature), "mug");
    let forgotten = store.forget_key(7).unwrap();
    assert_eq!((forgotten.keys, forgotten.class.as_deref()), (vec![7], Some("cup")));
    store.rename_class("mug", "beaker").unwrap();
    assert!(store.rename_class("beaker", "class 0").unwrap_err().to_string().contains("twice"));
    store.learn("zebra", &[]).unwrap();
    assert_eq!(labels(&store), ["class 0", "class 1", "class 2", "beaker", "zebra"]);
    assert_eq!(store.forget_class("beaker").unwrap().keys, [6, 8]);
    assert_eq!(labels(&store), ["class 0", "class 1", "class 2", "zebra"]);
    assert_eq!(store.generation(), 8);
    for label in ["", "  ", "a\nb"] {
        assert!(store.learn(label, &new).unwrap_err().to_string().contains("cannot name a class"));
    }
    let error = store.move_key(99, "cup").unwrap_err().to_string();
    assert!(error.contains("no key 99"), "{error}");
    assert_eq!(store.generation(), 8);
}

#[test]
fn undo_gives_back_every_state_of_before_also_after_a_restart() {
    for kind in [HeadKind::Tip, HeadKind::Gda, HeadKind::TipF, HeadKind::Incremental] {
        let base = asset_of(kind, 1, &[3, 3, 3]);
        let folder = tempfile::tempdir().unwrap();
        let options = || Options { journal_records: 34, ..Options::default() };
        let mut store =
            Store::open(base.clone(), folder.path(), options(), None, workers()).unwrap();
        let mut heads = vec![store.head()];
        // what undo takes back has no state of its own
        for number in (0..60).filter(|number| number % 8 != 5) {
            operate(&mut store, number).unwrap();
            heads.push(store.head());
        }
        assert!(heads.len() > 50 && store.undoable() >= 32);
        drop(store);
        let mut store =
            Store::open(base.clone(), folder.path(), options(), None, workers()).unwrap();
        let mut undone = 0;
        heads.reverse();
        while let Some(last) = store.undo().unwrap() {
            undone += 1;
            assert_eq!(store.head().bytes(), heads[undone].bytes(), "{kind:?}: {}", last.what);
            assert_eq!(last.left, store.undoable());
        }
        assert!(undone >= 32, "{undone}");
        // no id is given twice
        let keys = store.learn("again", &shots(&mut Random::new(9), 1)).unwrap().keys;
        assert!(heads.iter().all(|head| head.asset().unwrap().cache.unwrap().next_id <= keys[0]));
    }
}

#[test]
fn a_shortened_journal_gives_the_same_head_and_few_files() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let options = || Options { journal_records: 40, ..Options::default() };
    let open = || Store::open(base.clone(), folder.path(), options(), None, workers()).unwrap();
    let mut store = open();
    for number in 0..200 {
        operate(&mut store, number).unwrap();
    }
    let head = store.head();
    drop(store);
    assert_eq!(files(folder.path()).len(), 3, "{:?}", files(folder.path()));
    let mut store = open();
    assert_eq!(store.head().bytes(), head.bytes());
    store.compact().unwrap();
    assert_eq!(store.undoable(), 32);
    drop(store);
    assert_eq!(open().head().bytes(), head.bytes());
}

#[test]
fn pictures_come_and_go_with_their_keys() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let mut store = open(&base, folder.path());
    let mut new = shots(&mut Random::new(2), 3);
    new[0].thumbnail = Some(JPEG.to_vec());
    new[1].thumbnail = Some(JPEG.to_vec());
    new[2].thumbnail = Some(b"no picture".to_vec());
    let keys = store.learn("cup", &new).unwrap().keys;
    store.keep_thumbnails(&keys, &new);
    let kept =
        |store: &Store| keys.iter().map(|&key| store.thumbnail(key).is_some()).collect::<Vec<_>>();
    assert_eq!(kept(&store), [true, true, false]);
    // undo brings a forgotten shot back with its picture
    store.forget_key(keys[0]).unwrap();
    store.undo().unwrap();
    drop(store);
    fs::write(folder.path().join("shots/77.jpg"), JPEG).unwrap();
    fs::write(folder.path().join("shots/8.jpg.part"), "half a pict").unwrap();
    fs::write(folder.path().join(format!("shots/{}.jpg", keys[1])), &JPEG[..9]).unwrap();
    let mut store = open(&base, folder.path());
    assert_eq!(kept(&store), [true, false, false]);
    assert_eq!(files(&folder.path().join("shots")).len(), 2, "orphans are gone");
    store.undo().unwrap();
    assert!(files(&folder.path().join("shots")).is_empty());
}

#[test]
fn a_store_can_be_shared_between_threads() {
    fn shared<T: Send>() {}
    shared::<std::sync::Mutex<Store>>();
}

#[test]
fn a_directory_has_one_user() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let _other = Lock::take(folder.path()).unwrap();
    let error =
        Store::open(base, folder.path(), short(), None, workers()).err().unwrap().to_string();
    assert!(error.contains("in use by process") && error.contains("another directory"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_stops_learning_alone() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let place = folder.path().join("file/state");
    fs::write(folder.path().join("file"), "in the way").unwrap();
    let mut store = open(&base, &place);
    assert!(!store.durable() && store.notes()[0].contains("file/state"), "{:?}", store.notes());
    let new = shots(&mut Random::new(4), 1);
    assert!(["class 0", "class 1", "class 2"].contains(&&answer(&store, &new[0].feature)[..]));
    let error = store.learn("cup", &new).unwrap_err().to_string();
    assert!(error.contains("file/state"), "{error}");
    fs::remove_file(folder.path().join("file")).unwrap();
    store.learn("cup", &new).unwrap();
    assert!(store.durable());
    let head = store.head();
    drop(store);
    assert_eq!(open(&base, &place).head().bytes(), head.bytes());
}

#[test]
fn a_torn_end_is_cut_and_damage_in_the_middle_costs_one_operation() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let mut store = open(&base, folder.path());
    for label in ["cup", "mug", "hat"] {
        store.learn(label, &shots(&mut Random::new(4), 1)).unwrap();
    }
    let head = store.head();
    drop(store);
    let journal = folder.path().join("journal-1");
    let whole = fs::read(&journal).unwrap();
    fs::write(&journal, [&whole[..], b"\xA7rec half"].concat()).unwrap();
    let store = open(&base, folder.path());
    assert!(store.notes()[0].contains("last 9 bytes"), "{:?}", store.notes());
    assert_eq!(store.head().bytes(), head.bytes());
    drop(store);
    assert_eq!(fs::read(&journal).unwrap(), whole);

    let middle = HEADER_LEN + (whole.len() - HEADER_LEN) / 2;
    let mut damaged = whole.clone();
    damaged[middle] ^= 1;
    fs::write(&journal, &damaged).unwrap();
    let store = open(&base, folder.path());
    assert!(store.notes()[0].contains("journal-1.damaged"), "{:?}", store.notes());
    assert_eq!(labels(&store)[3..], ["cup", "hat"]);
    drop(store);
    assert_eq!(fs::read(folder.path().join("journal-1.damaged")).unwrap(), damaged);
    let store = open(&base, folder.path());
    assert!(store.notes().is_empty(), "{:?}", store.notes());
    assert_eq!(labels(&store)[3..], ["cup", "hat"]);
}

#[test]
fn a_journal_without_its_first_bytes_leaves_the_snapshot() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let mut store = open(&base, folder.path());
    for number in 0..34 {
        store.learn(&format!("thing {number}"), &shots(&mut Random::new(number), 1)).unwrap();
    }
    store.compact().unwrap();
    drop(store);
    let name = files(folder.path()).into_iter().find(|name| name.starts_with("journal")).unwrap();
    let journal = folder.path().join(&name);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let mut store = open(&base, folder.path());
    assert!(store.notes()[0].contains(&name), "{:?}", store.notes());
    assert_eq!(labels(&store)[3..], ["thing 0", "thing 1"]);
    let keys = store.learn("thing 0", &shots(&mut Random::new(1), 1)).unwrap().keys;
    assert_eq!(keys, [8]);
    drop(store);
    assert_eq!(ids(&open(&base, folder.path())).last(), Some(&8));
}

#[test]
fn a_damaged_snapshot_and_a_newer_journal_are_refused_and_stay() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let mut store = open(&base, folder.path());
    for number in 0..34 {
        store.learn(&format!("thing {number}"), &shots(&mut Random::new(number), 1)).unwrap();
    }
    store.compact().unwrap();
    drop(store);
    let refuse = |name: &str, at: usize, with: u8, words: &str| {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= with;
        fs::write(&path, &bytes).unwrap();
        let error = Store::open(base.clone(), folder.path(), short(), None, workers());
        let error = error.err().unwrap().to_string();
        assert!(error.contains(name) && error.contains(words), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        fs::write(&path, whole).unwrap();
    };
    let names = files(folder.path());
    refuse(&names[0], 8, 2, "newer");
    refuse(&names[1], 2000, 1, "move it away");
    open(&base, folder.path());
}

#[test]
fn another_encoder_is_refused_and_another_base_takes_the_shots_over() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    for compacted in [false, true] {
        let place = folder.path().join(compacted.to_string());
        let mut store = open(&base, &place);
        let mut new = shots(&mut Random::new(2), 2);
        new[1].thumbnail = Some(JPEG.to_vec());
        let keys = store.learn("cup", &new).unwrap().keys;
        store.keep_thumbnails(&keys, &new);
        let lone = shots(&mut Random::new(3), 1);
        store.learn("class 0", &lone).unwrap();
        store.move_key(keys[1], "mug").unwrap();
        store.forget_key(keys[0]).unwrap();
        store.forget_class("class 1").unwrap();
        if compacted {
            for number in 0..32 {
                store.rename_class("mug", &format!("mug {number}")).unwrap();
                store.rename_class(&format!("mug {number}"), "mug").unwrap();
            }
            store.compact().unwrap();
        }
        drop(store);

        let other = asset_of(HeadKind::Tip, 2, &[2, 1, 2]);
        let error = Store::open(other, &place, short(), None, workers()).err().unwrap().to_string();
        assert!(error.contains("journal-") && error.contains("nothing was deleted"), "{error}");

        let larger = asset_of(HeadKind::Tip, 1, &[2, 1, 2, 4]);
        let store = open(&larger, &place);
        assert!(store.notes()[0].contains("2 learned shots"), "{:?}", store.notes());
        assert_eq!(labels(&store), ["class 0", "class 1", "class 2", "class 3", "mug"]);
        assert_eq!(answer(&store, &new[1].feature), "mug");
        let (ids, head) = (ids(&store), store.head());
        assert_eq!(ids.len(), 11);
        let pictures: Vec<_> = ids.iter().filter(|&&id| store.thumbnail(id).is_some()).collect();
        assert_eq!(pictures.len(), 1);
        let of_picture = head.asset().unwrap().cache.unwrap().find(*pictures[0]).unwrap();
        assert_eq!(head.asset().unwrap().cache.unwrap().class[of_picture], 4);
        drop(store);
        let store = open(&larger, &place);
        assert!(store.notes().is_empty() && store.head().bytes() == head.bytes());
    }
}

#[test]
fn a_thousand_operations_are_read_again_as_they_were() {
    let (base, folder) = (asset(), tempfile::tempdir().unwrap());
    let options = || Options { journal_records: 2000, ..Options::default() };
    let open = || Store::open(base.clone(), folder.path(), options(), None, workers()).unwrap();
    let mut store = open();
    for number in 0..1000 {
        store
            .learn(&format!("class {}", number % 20), &shots(&mut Random::new(number), 1))
            .unwrap();
    }
    let head = store.head();
    drop(store);
    let begun = std::time::Instant::now();
    let store = open();
    println!("1,000 operations read in {:?}", begun.elapsed());
    assert_eq!(store.head().bytes(), head.bytes());
    assert_eq!(store.undoable(), 1000);
}
