//! The store on a real directory, and on a disk that loses its power, refuses and forgets.

mod cuts;
mod faults;
mod learning;
mod refusals;
mod switching;

use super::store::Store;
use super::{NewShot, Options, StateError};
use crate::asset::{AssetFile, Builder, EncoderId, HeadKind, Space, Tag, Vocabulary};
use crate::fit::matrix::Workers;
use crate::fit::search::Search;
use crate::fit::{self, ClassSpec, Recipe, Shot, keys};
use crate::kernels;
use crate::random::Random;

const DIM: usize = 8;

/// A feature of unit norm.
fn unit(random: &mut Random) -> Vec<f32> {
    let mut values = random.uniform(DIM, 1.0);
    keys::normalize(&mut values);
    values
}

fn workers() -> Workers {
    Workers { kernels: kernels::best(), threads: 1 }
}

/// An asset with as many classes as counts, "class 0" to "class n"; the first has text. It knows the
/// word "zebra", and has what stands for an encoder.
fn asset_of(kind: HeadKind, encoder: u8, counts: &[usize]) -> AssetFile {
    asset_in(Space::Projected, kind, encoder, counts)
}

/// From the trunk's feature to the projected one.
fn reversed(trunk: &[f32]) -> Vec<f32> {
    trunk.iter().rev().copied().collect()
}

/// The same with keys in this space.
fn asset_in(space: Space, kind: HeadKind, encoder: u8, counts: &[usize]) -> AssetFile {
    let layers = [encoder; 5000];
    let id = EncoderId::of(|tag| (tag == Tag::LAYERS).then_some(&layers[..])).unwrap();
    let mut random = Random::new(u64::from(encoder));
    let mut class =
        |i| ClassSpec { label: format!("class {i}"), text: (i == 0).then(|| unit(&mut random)) };
    let classes: Vec<_> = (0..counts.len()).map(&mut class).collect();
    let shots =
        counts.iter().enumerate().flat_map(|(class, &count)| (0..count).map(move |i| (class, i)));
    let shot =
        |(class, i)| Shot { class, feature: unit(&mut random), name: format!("{class}/{i}.jpg") };
    let shots: Vec<_> = shots.map(shot).collect();
    let recipe = Recipe {
        encoder: id,
        space,
        classes: &classes,
        shots: &shots,
        project: (space == Space::Trunk).then_some(&reversed),
        method: kind.into(),
        search: Search::LeaveOneOut,
        threads: 1,
        kernels: kernels::best(),
    };
    let coded = keys::code(&unit(&mut random), &[0.0; DIM]);
    let words = Vocabulary::encode(&["zebra"], DIM, &[coded.scale], &coded.codes).unwrap();
    let head = fit::build(&recipe).unwrap().to_bytes(id).unwrap();
    let head = AssetFile::try_from(head).unwrap();
    let container = head.container().unwrap();
    let file = Builder::from_container(&container)
        .section(Tag::VOCABULARY, words)
        .section(Tag::LAYERS, &layers[..]);
    file.to_bytes().unwrap().try_into().unwrap()
}

fn asset() -> AssetFile {
    asset_of(HeadKind::Tip, 1, &[2, 1, 2])
}

fn shots(random: &mut Random, count: usize) -> Vec<NewShot> {
    let shot = |i| NewShot { feature: unit(random), name: format!("{i}.jpg"), thumbnail: None };
    (0..count).map(shot).collect()
}

/// A journal that is shortened often.
fn short() -> Options {
    Options { journal_records: 6, undo: 3, ..Options::default() }
}

fn labels(store: &Store) -> Vec<String> {
    let head = store.head();
    head.asset().unwrap().labels.unwrap().iter().map(str::to_owned).collect()
}

fn ids(store: &Store) -> Vec<u64> {
    let head = store.head();
    let cache = head.asset().unwrap().cache.unwrap();
    cache.id[..cache.len].to_vec()
}

/// One of the operations, whatever it does; the same for the same state and number.
fn operate(store: &mut Store, number: usize) -> Result<(), StateError> {
    let mut random = Random::new(number as u64);
    let some = |of: &[u64], n: usize| of[n % of.len()];
    match number % 8 {
        0 | 4 => store.learn(&format!("new {}", number % 3), &shots(&mut random, 2)).map(|_| ()),
        1 => store.learn("class 1", &shots(&mut random, 1)).map(|_| ()),
        2 => {
            store.move_key(some(&ids(store), number), &format!("moved {}", number % 2)).map(|_| ())
        }
        3 => store.forget_key(some(&ids(store), 3 * number)).map(|_| ()),
        5 => store.undo().map(|_| ()),
        6 => {
            let old = labels(store).pop().unwrap();
            store.rename_class(&old, &format!("name {number}"))
        }
        _ => store.forget_class(&labels(store)[number % labels(store).len()]).map(|_| ()),
    }
}
