use std::io::ErrorKind;

use super::faults::{FakeDisk, Platter, Refusal, Step};
use super::*;

const OPERATIONS: usize = 18;

fn open(base: &AssetFile, disk: &FakeDisk) -> Store {
    Store::on(base, Some(Box::new(disk.clone())), short(), None, workers()).unwrap()
}

/// The disk refuses some steps in the middle: those operations fail and change nothing, all others are
/// safe at once.
fn refused(refusal: Refusal) -> usize {
    let base = asset();
    let disk = FakeDisk::default();
    disk.inner().refusal = Some(refusal);
    let mut store = open(&base, &disk);
    let mut failures = 0;
    for number in 0..OPERATIONS {
        let before = store.head();
        if let Err(error) = operate(&mut store, number) {
            failures += 1;
            let error = error.to_string();
            assert!(error.contains("/state/") && error.contains("nothing was changed"), "{error}");
            assert_eq!(before.bytes(), store.head().bytes());
            assert!(!store.durable());
        } else if store.head().bytes() != before.bytes() {
            assert!(store.durable());
            let mut platter = Platter::default();
            disk.inner().steps.iter().for_each(|step| platter.step(step));
            let after = open(&base, &FakeDisk::with(platter.cut()));
            assert!(after.head().bytes() == store.head().bytes(), "{refusal:?}, {number}");
        }
    }
    disk.inner().refusal = None;
    store.learn("at last", &shots(&mut Random::new(3), 1)).unwrap();
    let files = disk.inner().files.clone();
    assert!(open(&base, &FakeDisk::with(files)).head().bytes() == store.head().bytes());
    failures
}

#[test]
fn whatever_the_disk_refuses_is_not_learned_and_the_rest_is_safe() {
    let disk = FakeDisk::default();
    let base = asset();
    let mut store = open(&base, &disk);
    (0..OPERATIONS).for_each(|number| operate(&mut store, number).unwrap());
    let steps = disk.inner().steps.len();
    assert!(disk.inner().steps.iter().any(|step| matches!(step, Step::Rename(..))));
    let mut failures = 0;
    for after in 0..steps {
        for (count, kind) in [(1, ErrorKind::Other), (5, ErrorKind::StorageFull)] {
            failures += refused(Refusal { after, count, kind });
        }
    }
    println!("{} refusals, {failures} operations failed", 2 * steps);
    assert!(failures > steps, "most refusals are felt");
}

#[test]
fn a_full_disk_is_told_with_what_to_do() {
    let disk = FakeDisk::default();
    disk.inner().refusal = Some(Refusal { after: 0, count: 100, kind: ErrorKind::StorageFull });
    let mut store = open(&asset(), &disk);
    let error = store.learn("cup", &shots(&mut Random::new(3), 1)).unwrap_err().to_string();
    assert!(error.contains("/state/journal-1") && error.contains("free some space"), "{error}");
    disk.inner().refusal = None;
    store.learn("cup", &shots(&mut Random::new(3), 1)).unwrap();
}
