use super::search::{Search, defaults};
use super::*;
use crate::asset::{
    AlignedBytes, Asset, Builder, EncoderId, HeadKind, Metrics, RowKind, Space, Tag, Vocabulary,
};
use crate::kernels;

pub(super) const DIM: usize = 32;
pub(super) const ENCODER: EncoderId = EncoderId([9; 32]);

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn unit(&mut self) -> Vec<f32> {
        let mut values: Vec<f32> = (0..DIM)
            .map(|_| {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Nearly normal: a sum of uniform parts of the state.
                (0..4).map(|i| (self.0 >> (20 + 10 * i) & 0x3ff) as f32 / 1024.0).sum::<f32>() - 2.0
            })
            .collect();
        keys::normalize(&mut values);
        values
    }

    pub(super) fn near(&mut self, centre: &[f32], noise: f32) -> Vec<f32> {
        let other = self.unit();
        let mut values: Vec<f32> = centre.iter().zip(other).map(|(c, o)| c + noise * o).collect();
        keys::normalize(&mut values);
        values
    }
}

/// Classes with a centre each; text near to it, shots farther away.
pub(super) fn made_up(
    counts: &[usize],
    text: impl Fn(usize) -> bool,
) -> (Vec<ClassSpec>, Vec<Shot>) {
    let mut random = Random(5);
    let centres: Vec<_> = counts.iter().map(|_| random.unit()).collect();
    let (mut classes, mut shots) = (Vec::new(), Vec::new());
    for (class, (centre, &count)) in centres.iter().zip(counts).enumerate() {
        let vector = random.near(centre, 0.5);
        classes.push(ClassSpec {
            label: format!("class {class}"),
            text: text(class).then_some(vector),
        });
        shots.extend((0..count).map(|i| Shot {
            class,
            feature: random.near(centre, 0.9),
            name: format!("{class}/{i}.jpg"),
        }));
    }
    (classes, shots)
}

pub(super) fn recipe<'r>(classes: &'r [ClassSpec], shots: &'r [Shot]) -> Recipe<'r> {
    Recipe {
        encoder: ENCODER,
        space: Space::Projected,
        classes,
        shots,
        project: None,
        method: HeadKind::Tip.into(),
        search: Search::LeaveOneOut,
        threads: 2,
        kernels: kernels::best(),
    }
}

pub(super) fn workers() -> matrix::Workers {
    matrix::Workers { kernels: kernels::best(), threads: 2 }
}

fn message(recipe: &Recipe<'_>) -> String {
    build(recipe).unwrap_err().to_string()
}

#[test]
fn leave_one_out_chooses_and_calibrates() {
    let (classes, shots) = made_up(&[8; 10], |class| class != 3);
    let built = build(&recipe(&classes, &shots)).unwrap();
    assert_eq!(built.choice.held_out, 80);
    assert!(built.choice.accuracy.unwrap() > 0.9, "{:?}", built.choice);
    assert!(built.calibration.temperature > 0.0 && built.calibration.ece < 0.2);
    let unknown = built.unknown.unwrap();
    assert!(unknown.known_pass > 0.94, "{unknown:?}");
    let bytes = built.to_bytes(ENCODER).unwrap();
    let asset = Asset::open(&bytes).unwrap();
    asset.validate().unwrap();
    assert_eq!(asset.text.unwrap().kind(3), RowKind::Shots);
    assert_eq!(asset.calibration.unwrap(), built.calibration);
    assert_eq!(asset.key_names.unwrap().get(79), Some("9/7.jpg"));
}

#[test]
fn the_same_recipe_gives_the_same_bytes() {
    let (classes, shots) = made_up(&[5, 3, 9, 0, 2, 6, 7], |class| class % 3 != 2 || class == 3);
    let of = |threads, kernels| {
        let recipe = Recipe { threads, kernels, ..recipe(&classes, &shots) };
        build(&recipe).unwrap().sections
    };
    let expected = of(1, kernels::best());
    for kernels in kernels::available() {
        assert_eq!(of(3, kernels), expected, "{}", kernels.name());
    }
}

#[test]
fn single_shots_leave_nothing_to_choose_by() {
    let (classes, shots) = made_up(&[1; 6], |_| true);
    let built = build(&recipe(&classes, &shots)).unwrap();
    let expected = defaults(Space::Projected);
    assert_eq!((built.choice.alpha, built.choice.beta), (expected.alpha, expected.beta));
    assert_eq!((built.choice.held_out, built.unknown), (0, None));
    // Nothing is called unknown without a measurement.
    assert_eq!(built.calibration.unknown_score, 0.0);
    assert_eq!(built.calibration.unknown_cosine, -1.0);
}

#[test]
fn recipes_that_cannot_work_are_refused_by_name() {
    let (mut classes, mut shots) = made_up(&[2, 2, 0], |class| class > 0);
    assert!(build(&recipe(&classes, &shots)).is_ok());
    assert!(message(&recipe(&[], &[])).contains("no classes"));
    classes[2].text = None;
    assert!(message(&recipe(&classes, &shots)).contains("\"class 2\" has no photographs"));
    classes.pop();
    classes[1].label = "class 0".into();
    assert!(message(&recipe(&classes, &shots)).contains("named twice"));
    classes[1].label = "class 1".into();
    shots[1].feature = vec![0.0; DIM];
    assert!(message(&recipe(&classes, &shots)).contains("0/1.jpg"));
    shots[1].feature = vec![1.0];
    assert!(message(&recipe(&classes, &shots)).contains("has 1 values instead of 32"));
    shots.remove(1);
    shots[0].class = 7;
    assert!(message(&recipe(&classes, &shots)).contains("class number 7"));
}

/// An asset of three classes with a vocabulary that knows one more, and figures.
fn asset() -> (AlignedBytes, Vec<f32>) {
    let (mut classes, shots) = made_up(&[12, 12, 12, 12], |class| class != 1);
    let zebra = classes.pop().unwrap().text.unwrap();
    let shots: Vec<Shot> = shots.into_iter().filter(|shot| shot.class < 3).collect();
    let coded = keys::code(&zebra, &[0.0; DIM]);
    let words = Vocabulary::encode(&["zebra"], DIM, &[coded.scale], &coded.codes).unwrap();
    let built = build(&recipe(&classes, &shots)).unwrap().to_bytes(ENCODER).unwrap();
    let asset = Asset::open(&built).unwrap();
    let file = Builder::from_container(&asset.container)
        .section(Tag::VOCABULARY, words)
        .section(Tag::METRICS, Metrics::encode(&[("test.top1", 90.0)]).unwrap());
    (file.to_bytes().unwrap(), zebra)
}

pub(super) fn apply(asset: &Asset<'_>, change: &Change) -> AlignedBytes {
    let bytes = change.apply(&asset.container).to_bytes().unwrap();
    Asset::open(&bytes).unwrap().validate().unwrap();
    bytes
}

pub(super) fn answer(bytes: &[u8], feature: &[f32]) -> String {
    let asset = Asset::open(bytes).unwrap();
    let head = crate::head::Head::new(&asset, kernels::best()).unwrap();
    let mut buffers = crate::head::Buffers::new(&head);
    head.logits(&[], feature, &mut buffers.workspace()).unwrap();
    let class = crate::head::best(&buffers.logits).unwrap();
    asset.labels.unwrap().get(class).unwrap().to_owned()
}

#[test]
fn a_learned_class_is_found_and_gone_once_forgotten() {
    let (bytes, zebra) = asset();
    let before = Asset::open(&bytes).unwrap();
    let mut random = Random(77);
    let gnu = random.unit();
    let shots: Vec<_> = (0..4).map(|i| (random.near(&gnu, 0.5), format!("gnu/{i}.jpg"))).collect();
    let change = learn(&before, "gnu", &shots, None, workers()).unwrap();
    assert_eq!(change.keys, [37, 38, 39, 40]);
    assert_eq!(change.class.as_deref(), Some("gnu"));
    let learned = apply(&before, &change);
    let after = Asset::open(&learned).unwrap();
    // Figures of the old head are gone, the vocabulary stays.
    assert!(after.metrics.is_none() && after.vocabulary.is_some());
    let cache = after.cache.unwrap();
    assert_eq!(cache.shots, [12, 12, 12, 4]);
    assert_eq!(cache.weight[36..40], [3.0; 4]);
    assert_eq!(after.text.unwrap().kind(3), RowKind::Shots);
    assert_eq!(answer(&learned, &random.near(&gnu, 0.3)), "gnu");

    let with_zebra = apply(&after, &learn(&after, "zebra", &[], None, workers()).unwrap());
    let both = Asset::open(&with_zebra).unwrap();
    assert!(both.class(4).unwrap().has_text);
    assert_eq!(answer(&with_zebra, &zebra), "zebra");

    let change = forget(&both, Forget::Class("gnu"), None, workers()).unwrap();
    assert_eq!((change.keys.len(), change.class.as_deref()), (4, Some("gnu")));
    let forgotten = apply(&both, &change);
    let labels: Vec<_> = Asset::open(&forgotten)
        .unwrap()
        .labels
        .unwrap()
        .iter()
        .collect::<Vec<_>>()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(labels, ["class 0", "class 1", "class 2", "zebra"]);
    assert_eq!(answer(&forgotten, &zebra), "zebra");
    assert_ne!(answer(&forgotten, &gnu), "gnu");
}

#[test]
fn learning_and_forgetting_leave_the_rest_as_it_was() {
    let (bytes, _) = asset();
    let before = Asset::open(&bytes).unwrap();
    let shots = [(Random(3).unit(), "new.jpg".to_owned())];
    let learned = apply(&before, &learn(&before, "class 2", &shots, None, workers()).unwrap());
    let middle = Asset::open(&learned).unwrap();
    assert_eq!(middle.cache.unwrap().shots, [12, 12, 13]);
    let after = apply(&middle, &forget(&middle, Forget::Key(37), None, workers()).unwrap());
    let after = Asset::open(&after).unwrap();
    for tag in [Tag::LABELS, Tag::TEXT, Tag::HEAD, Tag::KEY_NAMES] {
        assert_eq!(after.container.section(tag), before.container.section(tag), "{tag}");
    }
    let (old, new) = (before.cache.unwrap(), after.cache.unwrap());
    assert_eq!((old.keys, old.weight, old.id), (new.keys, new.weight, new.id));
    // An id is never given twice.
    assert_eq!(new.next_id, 38);
}

#[test]
fn near_duplicates_are_named() {
    let (bytes, _) = asset();
    let asset = Asset::open(&bytes).unwrap();
    let key = keys::decode(&asset.cache.unwrap(), 5);
    let mut random = Random(123);
    let fresh = random.unit();
    let shots = [
        (random.near(&key, 0.05), "copy.jpg".to_owned()),
        (fresh.clone(), "fresh.jpg".to_owned()),
        (fresh, "again.jpg".to_owned()),
    ];
    let change = learn(&asset, "class 1", &shots, None, workers()).unwrap();
    let names: Vec<_> =
        change.duplicates.iter().map(|d| (d.name.as_str(), d.other.as_str())).collect();
    assert_eq!(names, [("copy.jpg", "0/5.jpg"), ("again.jpg", "fresh.jpg")]);
    assert_eq!(change.keys.len(), 3);
}

#[test]
fn what_is_not_there_cannot_be_forgotten() {
    let (bytes, _) = asset();
    let asset = Asset::open(&bytes).unwrap();
    let message = |what| forget(&asset, what, None, workers()).unwrap_err().to_string();
    assert!(message(Forget::Class("gnu")).contains("no class \"gnu\""));
    assert!(message(Forget::Key(400)).contains("no key 400"));
    let error = learn(&asset, "gnu", &[], None, workers()).unwrap_err().to_string();
    assert!(error.contains("\"gnu\" has no photographs"), "{error}");
    let blank = [(vec![0.0; DIM], "blank.jpg".to_owned())];
    let error = learn(&asset, "gnu", &blank, None, workers()).unwrap_err().to_string();
    assert!(error.contains("blank.jpg"), "{error}");
}

#[test]
fn a_class_that_loses_all_it_has_goes_and_the_last_one_stays() {
    let (mut classes, mut shots) = made_up(&[1, 1], |_| false);
    let bytes = build(&recipe(&classes, &shots)).unwrap().to_bytes(ENCODER).unwrap();
    let two = Asset::open(&bytes).unwrap();
    let change = forget(&two, Forget::Key(1), None, workers()).unwrap();
    assert_eq!(change.class.as_deref(), Some("class 0"));
    let bytes = apply(&two, &change);
    let one = Asset::open(&bytes).unwrap();
    assert_eq!(one.cache.unwrap().class[0], 0);
    assert!(
        forget(&one, Forget::Key(2), None, workers()).unwrap_err().to_string().contains("last one")
    );

    // With text the class stays without shots.
    classes[0].text = Some(Random(1).unit());
    shots.truncate(2);
    let bytes = build(&recipe(&classes, &shots)).unwrap().to_bytes(ENCODER).unwrap();
    let two = Asset::open(&bytes).unwrap();
    let change = forget(&two, Forget::Key(1), None, workers()).unwrap();
    assert_eq!((change.class.as_deref(), &change.keys[..]), (None, &[1][..]));
    let bytes = apply(&two, &change);
    assert_eq!(Asset::open(&bytes).unwrap().cache.unwrap().shots, [0, 1]);
}

#[test]
fn shots_come_to_an_asset_that_had_only_text() {
    let (classes, shots) = made_up(&[3, 0, 0], |_| true);
    let bytes = build(&recipe(&classes, &[])).unwrap().to_bytes(ENCODER).unwrap();
    let asset = Asset::open(&bytes).unwrap();
    let new: Vec<_> = shots.iter().map(|s| (s.feature.clone(), s.name.clone())).collect();
    let learned = apply(&asset, &learn(&asset, "class 0", &new, None, workers()).unwrap());
    let asset = Asset::open(&learned).unwrap();
    assert_eq!(asset.cache.unwrap().weight[..3], [1.0; 3]);
    assert_eq!(answer(&learned, &shots[1].feature), "class 0");
    assert_eq!(answer(&learned, classes[2].text.as_ref().unwrap()), "class 2");
}
