//! A program that learns is killed again and again, at any moment: nothing that it was told to be kept is
//! lost, and nothing is there that it did not learn.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tipcam::asset::{AssetFile, EncoderId, HeadKind, Space};
use tipcam::fit::matrix::Workers;
use tipcam::fit::search::Search;
use tipcam::fit::{self, ClassSpec, Recipe, Shot, keys};
use tipcam::kernels;
use tipcam::state::{NewShot, Options, Store};

const KILLS: u64 = 60;
const DIM: usize = 64;
/// Names the state directory to the program that is killed: this one, started again.
const CHILD: &str = "TIPCAM_TEST_LEARN_IN";

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// A feature that only this number gives.
fn feature(number: u64) -> Vec<f32> {
    let mut state = number;
    let mut values: Vec<f32> =
        (0..DIM).map(|_| random(&mut state) as f32 / (1u64 << 30) as f32 - 1.0).collect();
    keys::normalize(&mut values);
    values
}

fn base() -> AssetFile {
    let label = |i| ClassSpec { label: format!("class {i}"), text: None };
    let classes: Vec<_> = (0..2).map(label).collect();
    let shots: Vec<_> = (0..2)
        .map(|class| Shot { class, feature: feature(900 + class as u64), name: "base".into() })
        .collect();
    let recipe = Recipe {
        encoder: EncoderId([5; 32]),
        space: Space::Trunk,
        classes: &classes,
        shots: &shots,
        project: None,
        method: HeadKind::CacheOnly.into(),
        search: Search::LeaveOneOut,
        threads: 1,
        kernels: kernels::best(),
    };
    let bytes = fit::build(&recipe).unwrap().to_bytes(recipe.encoder).unwrap();
    bytes.try_into().unwrap()
}

fn open(directory: &Path) -> Store {
    let options = Options { journal_records: 40, ..Options::default() };
    let workers = Workers { kernels: kernels::best(), threads: 1 };
    Store::open(base(), directory, options, None, workers).unwrap()
}

/// Learns shots, each with the feature of its key, and forgets every fifth; says what is done once it is.
fn learn_until_killed(directory: &Path) -> ! {
    let mut store = open(directory);
    let forget = |store: &mut Store, key: u64| {
        store.forget_key(key).unwrap();
        println!("forgot {key}");
    };
    let head = store.head();
    let cache = head.asset().unwrap().cache.unwrap();
    // the one that the last kill has left
    if let Some(&left) = cache.id[..cache.len].iter().find(|&&key| key.is_multiple_of(5)) {
        forget(&mut store, left);
    }
    loop {
        let head = store.head();
        let next = head.asset().unwrap().cache.unwrap().next_id;
        let shot = NewShot { feature: feature(next), name: next.to_string(), thumbnail: None };
        let keys = store.learn(&format!("class {}", next % 7), &[shot]).unwrap().keys;
        println!("learned {}", keys[0]);
        if next.is_multiple_of(5) {
            forget(&mut store, next);
        }
    }
}

/// The last key that was learned and the last that was forgotten, as acknowledged.
#[derive(Clone, Copy, Default)]
struct Told {
    learned: u64,
    forgotten: u64,
}

#[test]
fn a_program_killed_at_any_moment_has_lost_nothing_that_it_acknowledged() {
    if let Some(directory) = env::var_os(CHILD) {
        learn_until_killed(Path::new(&directory));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1;
    let mut told = Told::default();
    for kill in 0..KILLS {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("a_program_killed_at_any_moment_has_lost_nothing_that_it_acknowledged")
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                println!("left out: an emulated program cannot start itself again");
                return;
            }
            other => other.unwrap(),
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // the moment counts from the first thing learned, however slow the machine is
        let first = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("learned"));
        sleep(Duration::from_micros(random(&mut state) % 60_000));
        if let Err(error) = child.kill() {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "it has ended by itself");
        }
        child.wait().unwrap();
        for line in first.into_iter().chain(lines.map_while(Result::ok)) {
            match line.split_once(' ').map(|(what, key)| (what, key.parse())) {
                Some(("learned", Ok(key))) => told.learned = key,
                Some(("forgot", Ok(key))) => told.forgotten = key,
                // cut in the middle, or the test's own
                _ => {}
            }
        }
        look(folder.path(), told, kill);
    }
    println!("{KILLS} kills survived, {} shots learned", told.learned);
    assert!(told.learned > KILLS);
}

fn look(directory: &Path, told: Told, kill: u64) {
    let store = open(directory);
    let head = store.head();
    let asset = head.asset().unwrap();
    let cache = asset.cache.unwrap();
    let there = |key: u64| cache.find(key).is_some();
    let last = cache.next_id - 1;
    assert!(last == told.learned || last == told.learned + 1, "kill {kill}: {last}");
    for key in 3..=told.learned {
        let gone = key.is_multiple_of(5);
        let unsure = gone && key > told.forgotten;
        assert!(unsure || there(key) != gone, "kill {kill}: key {key}, last {last}");
    }
    for index in 2..cache.len {
        let known = keys::decode(&cache, index);
        let cosine: f32 = known.iter().zip(feature(cache.id[index])).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99, "kill {kill}: key {} is not what was learned", cache.id[index]);
    }
}
