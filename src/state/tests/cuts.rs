use super::faults::{FakeDisk, Files, Platter, Step};
use super::*;

/// Enough to have the journal shortened more than once.
const OPERATIONS: usize = 18;

fn open(base: &AssetFile, disk: &FakeDisk) -> Store {
    let disk = Box::new(disk.clone());
    Store::on(base, Some(disk), short(), None, workers()).unwrap()
}

/// The steps of all operations, and the head before the first and after each.
fn recorded(base: &AssetFile) -> (Vec<Step>, Vec<Vec<u8>>) {
    let disk = FakeDisk::default();
    let mut store = open(base, &disk);
    let mut heads = vec![store.head().bytes().to_vec()];
    for number in 0..OPERATIONS {
        operate(&mut store, number).unwrap();
        disk.inner().steps.push(Step::Acknowledged(number + 1));
        heads.push(store.head().bytes().to_vec());
    }
    let steps = disk.inner().steps.clone();
    (steps, heads)
}

/// Opens what a cut left, looks whether it is the state before or after the operation in flight, and
/// that it goes on from there.
struct Survivors<'a> {
    base: &'a AssetFile,
    heads: &'a [Vec<u8>],
    random: Random,
    cuts: usize,
    /// Whether to look closer than at most cuts.
    closely: bool,
}

impl Survivors<'_> {
    /// The state that a cut has left in `files`, where `platter` has what of them is safe.
    fn survive(&mut self, files: Files, mut platter: Platter, acknowledged: usize, what: &str) {
        self.cuts += 1;
        let disk = FakeDisk::with(files.clone());
        let mut store = open(self.base, &disk);
        let head = store.head();
        let next = self.heads.get(acknowledged + 1);
        assert!(
            head.bytes() == self.heads[acknowledged] || Some(head.bytes()) == next.map(|n| &n[..]),
            "{what}, {acknowledged} operations acknowledged: {:?} in {:?}",
            store.notes(),
            files.keys()
        );
        // Opening has mended something: the power goes again, at each of its steps.
        let steps = disk.inner().steps.clone();
        let mut again = platter.clone();
        let sample = self.closely || self.cuts.is_multiple_of(16);
        for step in steps.iter().filter(|_| sample) {
            for left in [again.killed(), again.cut_by_chance(&mut self.random)] {
                self.cuts += 1;
                let second = open(self.base, &FakeDisk::with(left)).head();
                let before = second.bytes() == self.heads[acknowledged];
                assert!(before || second.bytes() == head.bytes(), "{what}, again at {step:?}");
            }
            again.step(step);
        }
        if self.closely || self.cuts.is_multiple_of(8) {
            store.learn("later", &shots(&mut self.random, 1)).unwrap();
            disk.inner().steps.iter().for_each(|step| platter.step(step));
            let after = open(self.base, &FakeDisk::with(platter.cut()));
            assert!(after.head().bytes() == store.head().bytes(), "{what}, learned afterwards");
        }
    }
}

#[test]
fn a_power_cut_at_any_byte_leaves_the_state_before_or_after() {
    let base = asset();
    let (steps, heads) = recorded(&base);
    let shortened = |step: &&Step| matches!(step, Step::Rename(_, to) if to.starts_with("learned"));
    assert!(steps.iter().filter(shortened).count() > 1);
    let mut survivors =
        Survivors { base: &base, heads: &heads, random: Random::new(1), cuts: 0, closely: false };
    let (mut platter, mut acknowledged) = (Platter::default(), 0);
    for step in &steps {
        if let Step::Acknowledged(count) = step {
            acknowledged = *count;
        }
        survivors.closely = step.places() == 1;
        for bytes in 0..step.places() {
            let mut torn = platter.clone();
            if step.places() > 1 {
                torn.part_of(step, bytes);
            }
            let what = format!("cut at byte {bytes} of {}", name(step));
            survivors.survive(torn.killed(), torn.clone(), acknowledged, &what);
            let chance = torn.cut_by_chance(&mut survivors.random);
            for left in [(bytes % 8 == 0).then(|| torn.cut()), Some(chance)].into_iter().flatten() {
                let safe = Platter::with(&left);
                survivors.survive(left, safe, acknowledged, &what);
            }
        }
        platter.step(step);
    }
    survivors.survive(platter.cut(), platter, OPERATIONS, "at the end");
    println!("{} power cuts survived", survivors.cuts);
    assert!(survivors.cuts > 10_000);
}

/// A step without its bytes.
fn name(step: &Step) -> String {
    format!("{step:?}").chars().take(60).collect()
}
