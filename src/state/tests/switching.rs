use std::path::PathBuf;

use super::faults::{FakeDisk, Platter, Step};
use super::*;
use crate::state::{Begun, PublicKey, Slot, Slots};

fn works(_: &AssetFile) -> Result<(), String> {
    Ok(())
}

/// Assets on a real disk: told apart by their number of classes.
struct Shop(tempfile::TempDir);

impl Shop {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn asset(&self, classes: usize) -> PathBuf {
        let path = self.0.path().join(format!("{classes}.tipcam"));
        let asset = asset_of(HeadKind::Tip, 1, &vec![1; classes]);
        std::fs::write(&path, asset.bytes()).unwrap();
        path
    }
}

/// The number of classes of the asset begun with; 0 without one.
fn classes(begun: &Begun) -> usize {
    begun.file.as_ref().map_or(0, |file| file.asset().unwrap().labels.unwrap().count())
}

#[test]
fn a_new_asset_is_on_trial_and_stays_once_confirmed() {
    let (shop, folder) = (Shop::new(), tempfile::tempdir().unwrap());
    let place = folder.path().join("state");
    let mut slots = Slots::new(&place);
    assert_eq!(classes(&slots.begin().unwrap()), 0);
    assert!(!place.exists());
    assert_eq!(slots.install(&shop.asset(2), None, &works).unwrap(), Slot::A);
    let begun = slots.begin().unwrap();
    assert_eq!((classes(&begun), begun.on_trial), (2, true));
    assert!(slots.confirm(&begun).unwrap() && !slots.confirm(&begun).unwrap());

    assert_eq!(slots.install(&shop.asset(3), None, &works).unwrap(), Slot::B);
    for _ in 0..3 {
        let begun = slots.begin().unwrap();
        assert_eq!((classes(&begun), begun.on_trial), (3, true));
    }
    let begun = slots.begin().unwrap();
    assert_eq!((classes(&begun), begun.on_trial), (2, false));
    assert!(begun.notes[0].contains("b.tipcam: started 3 times"), "{:?}", begun.notes);
    assert!(slots.begin().unwrap().notes.is_empty());

    // who runs the old one says nothing about the new one
    slots.install(&shop.asset(4), None, &works).unwrap();
    let four = slots.begin().unwrap();
    slots.install(&shop.asset(5), None, &works).unwrap();
    assert!(!slots.confirm(&four).unwrap());
    let five = slots.begin().unwrap();
    assert!(classes(&five) == 5 && slots.confirm(&five).unwrap());
    assert_eq!(classes(&slots.begin().unwrap()), 5);
}

#[test]
fn what_is_damaged_unsigned_or_does_not_work_is_not_installed() {
    let (shop, folder) = (Shop::new(), tempfile::tempdir().unwrap());
    let mut slots = Slots::new(folder.path());
    slots.install(&shop.asset(2), None, &works).unwrap();
    let begun = slots.begin().unwrap();
    slots.confirm(&begun).unwrap();
    let path = shop.asset(3);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = PublicKey::given(&pair.pk.to_base64()).unwrap();
    let mut refused =
        |key: Option<&PublicKey>, test: &dyn Fn(&AssetFile) -> Result<(), String>, words| {
            let error = slots.install(&path, key, test).unwrap_err().to_string();
            assert!(error.contains("3.tipcam") && error.contains(words), "{error}");
            let begun = slots.begin().unwrap();
            assert_eq!((classes(&begun), begun.on_trial), (2, false));
        };
    refused(Some(&key), &works, "not signed");
    refused(None, &|_| Err("it sees nothing".into()), "it sees nothing; nothing was changed");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    refused(None, &works, "damaged");
    let head = crate::state::replay::head_of(&AssetFile::from_bytes(&whole).unwrap()).unwrap();
    std::fs::write(&path, head.bytes()).unwrap();
    refused(None, &works, "encoder layers");
    std::fs::write(&path, &whole).unwrap();
    let signature = minisign::sign(None, &pair.sk, &whole[..], None, None).unwrap();
    std::fs::write(shop.0.path().join("3.tipcam.minisig"), signature.into_string()).unwrap();
    slots.install(&path, Some(&key), &works).unwrap();
}

#[test]
fn a_damaged_slot_gives_way_to_the_other_one() {
    let (shop, folder) = (Shop::new(), tempfile::tempdir().unwrap());
    let mut slots = Slots::new(folder.path());
    for count in [2, 3] {
        slots.install(&shop.asset(count), None, &works).unwrap();
        let begun = slots.begin().unwrap();
        slots.confirm(&begun).unwrap();
    }
    for (slot, left) in [("b.tipcam", 2), ("a.tipcam", 0)] {
        let path = folder.path().join(slot);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let begun = slots.begin().unwrap();
        assert_eq!(classes(&begun), left);
        assert!(begun.notes.last().unwrap().contains(slot), "{:?}", begun.notes);
    }
    std::fs::write(folder.path().join("slots"), "nonsense").unwrap();
    assert!(slots.begin().unwrap().notes[0].contains("install one again"));
}

/// Two are installed and confirmed, a third fails on trial: wherever the power goes, what starts is one
/// of those that were to be expected around then.
#[test]
fn a_power_cut_while_installing_or_starting_leaves_an_asset_that_works() {
    let shop = Shop::new();
    let disk = FakeDisk::default();
    let mut slots = Slots::on(Box::new(disk.clone()));
    let mut expected = vec![0];
    let mut mark = |started: usize| {
        let mut inner = disk.inner();
        inner.steps.push(Step::Acknowledged(expected.len()));
        expected.push(started);
    };
    for count in [2, 3] {
        slots.install(&shop.asset(count), None, &works).unwrap();
        mark(count);
        let begun = slots.begin().unwrap();
        mark(count);
        slots.confirm(&begun).unwrap();
        mark(count);
    }
    slots.install(&shop.asset(4), None, &works).unwrap();
    mark(4);
    for started in [4, 4, 3] {
        slots.begin().unwrap();
        mark(started);
    }
    let steps = disk.inner().steps.clone();
    let (mut platter, mut done, mut random, mut cuts) = (Platter::default(), 0, Random::new(1), 0);
    for step in &steps {
        if let Step::Acknowledged(count) = step {
            done = *count;
        }
        for bytes in (0..step.places()).step_by(31) {
            let mut torn = platter.clone();
            if step.places() > 1 {
                torn.part_of(step, bytes);
            }
            for left in [torn.killed(), torn.cut(), torn.cut_by_chance(&mut random)] {
                cuts += 1;
                let begun = Slots::on(Box::new(FakeDisk::with(left))).begin().unwrap();
                let started = classes(&begun);
                let around = &expected[done..expected.len().min(done + 2)];
                // while one is replaced the one before it is there, as if its trial were over
                let fallback = if done < 3 {
                    0
                } else if done < 6 {
                    2
                } else {
                    3
                };
                assert!(
                    around.contains(&started) || started == fallback,
                    "{started} at byte {bytes} after {done}: {around:?}, {:?}",
                    begun.notes
                );
            }
        }
        platter.step(step);
    }
    println!("{cuts} power cuts survived");
}
