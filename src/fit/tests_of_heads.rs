//! Every head on made-up features: classes that lack something, changes, choices, wrong inputs.

use std::sync::Arc;

use super::folds::{compare, folds, simplest};
use super::heads::{BY_SIMPLICITY, Setting};
use super::matrix::Matrix;
use super::tests::{DIM, ENCODER, Random, answer, apply, made_up, recipe, workers};
use super::*;
use crate::asset::{Adapter, Asset, HeadKind, Space, Tag};

/// Every head that is more than text and cache.
fn made() -> impl Iterator<Item = HeadKind> {
    HeadKind::ALL.into_iter().filter(|kind| !kind.is_plain())
}

fn method(kind: HeadKind) -> Method<'static> {
    Method { setting: Some(Setting::default_for(kind, true)), ..kind.into() }
}

/// Share of fresh pictures of each class that are recognised.
fn accuracy(bytes: &[u8], shots: &[Shot], classes: usize) -> f64 {
    let mut random = Random(4242);
    let mut right = 0;
    let mut n = 0;
    for class in 0..classes {
        for shot in shots.iter().filter(|shot| shot.class == class).take(2) {
            let picture = random.near(&shot.feature, 0.5);
            right += usize::from(answer(bytes, &picture) == format!("class {class}"));
            n += 1;
        }
    }
    right as f64 / f64::from(n)
}

#[test]
fn every_head_serves_classes_that_lack_text_or_shots() {
    let counts = [8, 3, 0, 8, 6, 1, 8, 8];
    let (classes, shots) = made_up(&counts, |class| class % 4 != 3);
    for kind in made() {
        let method = Method { setting: None, ..kind.into() };
        let built = build(&Recipe { method, ..recipe(&classes, &shots) }).unwrap();
        let bytes = built.to_bytes(ENCODER).unwrap();
        Asset::open(&bytes).unwrap().validate().unwrap();
        let name = kind.name();
        assert!(accuracy(&bytes, &shots, counts.len()) > 0.8, "{name}");
        // A class that has text alone is found by it, and is not taken for the answer to all.
        let text = classes[2].text.as_ref().unwrap();
        assert_eq!(answer(&bytes, text), "class 2", "{name}");
        assert!(built.calibration.temperature > 0.0 && built.held.accuracy().is_some(), "{name}");
    }
}

#[test]
fn every_head_but_zero_shot_can_do_without_text() {
    let (classes, shots) = made_up(&[5; 6], |_| false);
    for kind in made() {
        let built = build(&Recipe { method: method(kind), ..recipe(&classes, &shots) }).unwrap();
        let bytes = built.to_bytes(ENCODER).unwrap();
        assert!(accuracy(&bytes, &shots, 6) > 0.9, "{}", kind.name());
    }
}

#[test]
fn every_head_can_do_with_text_in_another_space() {
    let (mut classes, shots) = made_up(&[5; 6], |class| class != 4);
    // The space of the text is the first half of the trunk's.
    for text in classes.iter_mut().filter_map(|class| class.text.as_mut()) {
        text.truncate(DIM / 2);
        keys::normalize(text);
    }
    for kind in made() {
        let recipe = Recipe {
            method: Method { setting: Some(Setting::default_for(kind, false)), ..kind.into() },
            space: Space::Trunk,
            project: Some(&half),
            ..recipe(&classes, &shots)
        };
        let bytes = build(&recipe).unwrap().to_bytes(ENCODER).unwrap();
        assert!(right(&bytes, &shots) >= 27, "{}", kind.name());
    }
}

/// The first half of a feature.
fn half(trunk: &[f32]) -> Vec<f32> {
    let mut half = trunk[..DIM / 2].to_vec();
    keys::normalize(&mut half);
    half
}

/// How many of pictures near to these shots are answered rightly.
fn right(bytes: &[u8], shots: &[Shot]) -> usize {
    let asset = Asset::open(bytes).unwrap();
    let head = crate::head::Head::new(&asset, crate::kernels::best()).unwrap();
    let mut buffers = crate::head::Buffers::new(&head);
    let mut random = Random(31);
    let right = shots.iter().filter(|shot| {
        let trunk = random.near(&shot.feature, 0.4);
        head.logits(&trunk, &half(&trunk), &mut buffers.workspace()).unwrap();
        crate::head::best(&buffers.logits) == Some(shot.class)
    });
    right.count()
}

/// The same map, which tells its weights.
struct Half;

impl Projector for Half {
    fn project(&self, trunk: &[f32]) -> Vec<f32> {
        half(trunk)
    }

    fn weights(&self) -> Option<Arc<ProjectionWeights>> {
        let mut weight = Matrix::zeros(DIM / 2, DIM);
        (0..DIM / 2).for_each(|i| weight.row_mut(i)[i] = 1.0);
        let zeros = vec![0.0; DIM / 2];
        Some(Arc::new(ProjectionWeights { weight, bias: zeros.clone(), image_mean: zeros }))
    }
}

#[test]
fn prolip_trains_a_projection_that_it_is_told() {
    let (mut classes, shots) = made_up(&[5; 7], |_| true);
    // Text says little of what is to be seen.
    for (class, text) in classes.iter_mut().enumerate() {
        if let Some(text) = &mut text.text {
            *text = half(&Random(7 + class as u64).near(text, 1.5));
        }
    }
    let known: Vec<Shot> = shots.iter().filter(|shot| shot.class < 6).cloned().collect();
    let recipe = |kind: HeadKind| Recipe {
        method: Method { setting: Some(Setting::default_for(kind, false)), ..kind.into() },
        space: Space::Trunk,
        project: Some(&Half),
        ..recipe(&classes[..6], &known)
    };
    let bytes = build(&recipe(HeadKind::ProLip)).unwrap().to_bytes(ENCODER).unwrap();
    let before = Asset::open(&bytes).unwrap();
    before.validate().unwrap();
    let Some(Adapter::Projection(projection)) = before.adapter else { panic!("no projection") };
    assert_eq!((projection.trunk, projection.dim), (DIM, DIM / 2));
    let untrained = build(&recipe(HeadKind::ZeroShot)).unwrap().to_bytes(ENCODER).unwrap();
    let (trained, untrained) = (right(&bytes, &known), right(&untrained, &known));
    assert!(trained > untrained, "{trained} with, {untrained} without");

    let new = shots.iter().filter(|shot| shot.class == 6);
    let new: Vec<_> = new.map(|shot| (shot.feature.clone(), shot.name.clone())).collect();
    let change = learn(&before, "class 6", &new, Some(&Half), workers()).unwrap();
    assert!(change.stale);
    let learned = apply(&before, &change);
    let learned = right(&learned, &shots);
    assert!(learned > trained, "{learned} with one more class, {trained} before");
}

#[test]
fn a_class_without_text_turns_prolip_to_its_linear_form() {
    let (mut classes, shots) = made_up(&[5; 8], |class| class < 6);
    for spec in &mut classes {
        spec.text = spec.text.as_ref().map(|text| half(text));
    }
    let recipe = |count: usize, shots| Recipe {
        method: Method {
            setting: Some(Setting::default_for(HeadKind::ProLip, false)),
            ..HeadKind::ProLip.into()
        },
        space: Space::Trunk,
        project: Some(&Half),
        ..recipe(&classes[..count], shots)
    };
    let known: Vec<Shot> = shots.iter().filter(|shot| shot.class < 6).cloned().collect();
    let mut bytes = build(&recipe(6, &known)).unwrap().to_bytes(ENCODER).unwrap();
    for class in 6..8 {
        let new = shots.iter().filter(|shot| shot.class == class);
        let new: Vec<_> = new.map(|shot| (shot.feature.clone(), shot.name.clone())).collect();
        let asset = Asset::open(&bytes).unwrap();
        let change =
            learn(&asset, &format!("class {class}"), &new, Some(&Half), workers()).unwrap();
        assert!(change.stale);
        bytes = apply(&asset, &change);
    }
    let learned = Asset::open(&bytes).unwrap();
    learned.validate().unwrap();
    let Some(Adapter::Branch(_)) = learned.adapter else { panic!("a projection reads text alone") };
    let again = build(&recipe(8, &shots)).unwrap().to_bytes(ENCODER).unwrap();
    let (learned, again) = (right(&bytes, &shots), right(&again, &shots));
    assert!(learned >= 36 && learned + 2 >= again, "{learned} learned, {again} made again");
}

#[test]
fn shots_that_hardly_differ_are_enough() {
    let (classes, mut shots) = made_up(&[4; 5], |class| class != 3);
    for apart in [0.0, 1e-6, 1e-3] {
        let mut random = Random(11);
        for i in (0..shots.len()).filter(|i| i % 4 > 0) {
            shots[i].feature = random.near(&shots[i / 4 * 4].feature, apart);
        }
        for kind in made() {
            let method = Method { setting: None, ..kind.into() };
            let built = build(&Recipe { method, ..recipe(&classes, &shots) }).unwrap();
            let bytes = built.to_bytes(ENCODER).unwrap();
            Asset::open(&bytes).unwrap().validate().unwrap();
            let right = shots.iter().filter(|shot| {
                answer(&bytes, &random.near(&shot.feature, 0.2)) == format!("class {}", shot.class)
            });
            assert!(right.count() >= 18, "{} {apart}", kind.name());
        }
    }
}

#[test]
fn the_threads_and_the_instruction_set_change_no_head() {
    let (classes, shots) = made_up(&[4, 5, 3, 4], |class| class != 1);
    for kind in made() {
        let of = |threads, kernels| {
            let recipe =
                Recipe { threads, kernels, method: method(kind), ..recipe(&classes, &shots) };
            build(&recipe).unwrap().sections
        };
        let expected = of(1, crate::kernels::best());
        for kernels in crate::kernels::available() {
            assert!(of(3, kernels) == expected, "{} with {}", kind.name(), kernels.name());
        }
    }
}

#[test]
fn seeds_matter_to_random_starts_alone() {
    let (classes, shots) = made_up(&[4; 4], |_| true);
    for kind in made() {
        let of = |seed| {
            let method = Method { seed, ..method(kind) };
            build(&Recipe { method, ..recipe(&classes, &shots) }).unwrap().sections
        };
        let random = matches!(kind, HeadKind::ClipAdapter | HeadKind::MetaAdapter);
        assert_eq!(of(1) != of(2), random, "{}", kind.name());
    }
}

#[test]
fn what_is_learned_is_what_is_fitted_anew() {
    let (classes, shots) = made_up(&[6, 6, 6, 6, 6], |class| class != 4);
    let first: Vec<Shot> = shots.iter().filter(|shot| shot.class < 4).cloned().collect();
    let new: Vec<_> = shots.iter().filter(|shot| shot.class == 4).collect();
    let new: Vec<_> = new.into_iter().map(|s| (s.feature.clone(), s.name.clone())).collect();
    for kind in made() {
        let name = kind.name();
        let recipe = Recipe { method: method(kind), ..recipe(&classes[..4], &first) };
        let bytes = build(&recipe).unwrap().to_bytes(ENCODER).unwrap();
        let before = Asset::open(&bytes).unwrap();
        let change = learn(&before, "class 4", &new, None, workers()).unwrap();
        let trained = [HeadKind::TipF, HeadKind::ApeT, HeadKind::ClipAdapter, HeadKind::ProLip];
        assert_eq!(change.stale, trained.contains(&kind), "{name}");
        let learned = apply(&before, &change);
        let after = Asset::open(&learned).unwrap();
        assert!(accuracy(&learned, &shots, 5) > 0.85, "{name}");

        if matches!(kind, HeadKind::Gda | HeadKind::SsText | HeadKind::Ape) {
            let ingredients = Ingredients::of(&after).unwrap();
            let task = ingredients.recipe(kind.into(), None, workers()).task(0.0);
            let task = super::heads::Task { row_gain: after.head.unwrap().row_gain, ..task };
            let model =
                super::heads::fit(kind, &task.with_rows(), method(kind).setting.unwrap(), &|_| {});
            for (tag, section) in sections::encode(&model, ENCODER, Space::Projected, 5).unwrap() {
                assert!(after.container.section(tag) == Some(&section), "{name}: {tag}");
            }
        }
        let change = forget(&after, Forget::Class("class 1"), None, workers()).unwrap();
        let forgotten = apply(&after, &change);
        assert_ne!(answer(&forgotten, &first[7].feature), "class 1", "{name}");
        assert_eq!(answer(&forgotten, &first[1].feature), "class 0", "{name}");
        assert_eq!(answer(&forgotten, &first[19].feature), "class 3", "{name}");
    }
}

#[test]
fn an_asset_gets_another_head_and_keeps_its_shots() {
    let (classes, shots) = made_up(&[6; 4], |_| true);
    let bytes = build(&recipe(&classes, &shots)).unwrap().to_bytes(ENCODER).unwrap();
    let asset = Asset::open(&bytes).unwrap();
    let ingredients = Ingredients::of(&asset).unwrap();
    let made = build(&ingredients.recipe(HeadKind::ApeT.into(), None, workers())).unwrap();
    let other = apply(&asset, &refit(&asset, &made).unwrap());
    let other = Asset::open(&other).unwrap();
    assert_eq!(other.head.unwrap().kind, HeadKind::ApeT);
    assert!(other.bank.is_some() && other.linear.is_some());
    assert_eq!(other.container.section(Tag::CACHE), asset.container.section(Tag::CACHE));
    // And back: nothing of the other head stays.
    let back = build(&ingredients.recipe(HeadKind::Tip.into(), None, workers())).unwrap();
    let back = apply(&other, &refit(&other, &back).unwrap());
    let back = Asset::open(&back).unwrap();
    assert!(back.bank.is_none() && back.linear.is_none());
    let head = crate::head::Head::new(&back, crate::kernels::best()).unwrap();
    let error = head.with_kind(HeadKind::Gda).err().unwrap().to_string();
    assert!(error.contains("tipcam fit --head gda"), "{error}");
}

#[test]
fn heads_are_compared_on_the_same_folds() {
    let (classes, shots) = made_up(&[6; 8], |_| true);
    let recipe = recipe(&classes, &shots);
    let compared = super::compare(&recipe, &BY_SIMPLICITY, &|_, _| {}).unwrap();
    assert_eq!(compared.len(), BY_SIMPLICITY.len());
    let top = compared.iter().map(|c| c.accuracy).fold(0.0, f64::max);
    let chosen = simplest(&compared).unwrap();
    let errors = compared.iter().filter(|c| c.accuracy == top).map(|c| c.error);
    assert!(chosen.accuracy >= top - errors.fold(0.0, f64::max));
    let place = BY_SIMPLICITY.iter().position(|&kind| kind == chosen.kind).unwrap();
    assert!(compared[..place].iter().all(|simpler| simpler.accuracy < top));

    let task = recipe.task(0.0);
    let few = task.pick(&[0, 1, 6, 7, 12, 13]);
    let error = compare(&BY_SIMPLICITY, &few, &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("6 held-out shots") && error.contains("add shots"), "{error}");
}

#[test]
fn validation_pictures_choose_where_they_are_given() {
    // The shots are those of the next class: text and shots say the opposite of each other.
    let (classes, mut shots) = made_up(&[4; 8], |_| true);
    shots.iter_mut().for_each(|shot| shot.class = (shot.class + 1) % 8);
    let mut random = Random(5);
    let mut near = |class: usize, feature: &[f32]| Shot {
        class,
        feature: random.near(feature, 0.3),
        name: "validation.jpg".to_owned(),
    };
    let as_text: Vec<Shot> =
        (0..40).map(|i| near(i % 8, classes[i % 8].text.as_ref().unwrap())).collect();
    let as_shots: Vec<Shot> = shots.iter().map(|shot| near(shot.class, &shot.feature)).collect();
    let by = |kind: HeadKind, validation| {
        let method = Method { validation, ..kind.into() };
        Recipe { method, ..recipe(&classes, &shots) }
    };
    for kind in [HeadKind::Tip, HeadKind::Ape] {
        let alpha = |validation| build(&by(kind, validation)).unwrap().choice.alpha;
        assert!(alpha(&as_text[..]) < 0.1 * alpha(&as_shots[..]), "{}", kind.name());
    }
    let accuracy = |validation, kind: HeadKind| {
        let compared = super::compare(&by(kind, validation), &[kind], &|_, _| {}).unwrap();
        compared[0].accuracy
    };
    assert!(accuracy(&as_text[..], HeadKind::ZeroShot) > 0.9);
    assert!(accuracy(&as_shots[..], HeadKind::ZeroShot) < 0.1);
    assert!(accuracy(&as_shots[..], HeadKind::CacheOnly) > 0.9);

    let compare =
        |validation| super::compare(&by(HeadKind::Tip, validation), &BY_SIMPLICITY, &|_, _| {});
    let few = build(&by(HeadKind::Gda, &as_text[..31])).unwrap_err();
    for error in [compare(&as_text[..31]).unwrap_err(), few].map(|error| error.to_string()) {
        assert!(error.contains("31 validation photographs"), "{error}");
    }
    let mut wrong = as_text.clone();
    wrong[3].class = 8;
    let error = compare(&wrong[..]).unwrap_err().to_string();
    assert!(error.contains("validation.jpg"), "{error}");
}

#[test]
fn plain_heads_are_measured_and_calibrated_by_their_own_answers() {
    // Text and shots say the opposite of each other; three classes have no text.
    let (classes, mut shots) = made_up(&[6; 8], |class| class < 5);
    shots.iter_mut().for_each(|shot| shot.class = (shot.class + 1) % 8);
    let built = |kind: HeadKind| {
        build(&Recipe { method: kind.into(), ..recipe(&classes, &shots) }).unwrap()
    };
    let [zero_shot, cache] = [HeadKind::ZeroShot, HeadKind::CacheOnly].map(built);
    assert!(zero_shot.choice.accuracy.unwrap() < 0.1, "{:?}", zero_shot.choice);
    assert!(cache.choice.accuracy.unwrap() > 0.9, "{:?}", cache.choice);
    for built in [&zero_shot, &cache] {
        let (temperature, ece) = (built.calibration.temperature, built.calibration.ece);
        assert!(temperature.is_finite() && temperature > 0.0 && ece.is_finite());
    }
    // Whoever is always wrong must not be sure of it.
    let mean = |built: &Built| {
        let sure: Vec<f32> = built.known.iter().map(|seen| seen.0).collect();
        sure.iter().sum::<f32>() / sure.len() as f32
    };
    assert!(mean(&zero_shot) < 0.5 * mean(&cache), "{} {}", mean(&zero_shot), mean(&cache));
}

#[test]
fn one_shot_of_each_class_is_enough_with_validation_pictures() {
    let (classes, shots) = made_up(&[1; 6], |_| true);
    let mut random = Random(6);
    let validation: Vec<Shot> = (0..36)
        .map(|i| Shot { feature: random.near(&shots[i % 6].feature, 0.4), ..shots[i % 6].clone() })
        .collect();
    let method = Method { validation: &validation, ..HeadKind::Tip.into() };
    let recipe = Recipe { method, ..recipe(&classes, &shots) };
    let compared = super::compare(&recipe, &BY_SIMPLICITY, &|_, _| {}).unwrap();
    assert!(compared.iter().any(|c| c.accuracy > 0.9), "{compared:?}");
    let built = build(&recipe).unwrap();
    assert!(built.choice.alpha.is_finite() && built.choice.alpha > 0.0);
}

#[test]
fn folds_hold_every_shot_out_once_and_never_a_whole_class() {
    let labels = [0, 0, 0, 0, 0, 1, 2, 2, 0];
    let folds = folds(&labels, 3);
    let mut all: Vec<usize> = folds.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 6, 7, 8], "the single shot of class 1 stays");
    for fold in &folds {
        for class in [0, 2] {
            let held = fold.iter().filter(|&&i| labels[i] == class).count();
            assert!(held < labels.iter().filter(|&&label| label == class).count());
        }
    }
    assert!(super::folds::folds(&[0, 1, 2], 3).is_empty());
    assert!(super::folds::folds(&[], 0).is_empty());
}

#[test]
fn one_shot_in_all_and_one_class_alone_are_enough() {
    let (classes, shots) = made_up(&[1, 0, 0], |_| true);
    let (single, own) = made_up(&[3], |_| true);
    for kind in made() {
        let method = Method { setting: None, ..kind.into() };
        let built = build(&Recipe { method, ..recipe(&classes, &shots) }).unwrap();
        let bytes = built.to_bytes(ENCODER).unwrap();
        Asset::open(&bytes).unwrap().validate().unwrap();
        assert_eq!(built.choice.held_out, 0);
        assert_eq!(answer(&bytes, &shots[0].feature), "class 0", "{}", kind.name());
        let built = build(&Recipe { method, ..recipe(&single, &own) }).unwrap();
        let bytes = built.to_bytes(ENCODER).unwrap();
        assert_eq!(answer(&bytes, &own[0].feature), "class 0", "{}", kind.name());
    }
}

#[test]
fn text_without_any_shot_is_answered_by_text() {
    let (classes, _) = made_up(&[0, 0, 0], |_| true);
    for kind in made() {
        let built = build(&Recipe { method: method(kind), ..recipe(&classes, &[]) }).unwrap();
        let bytes = built.to_bytes(ENCODER).unwrap();
        assert_eq!(answer(&bytes, classes[1].text.as_ref().unwrap()), "class 1");
    }
}

#[test]
fn trainings_bring_their_loss_down() {
    let (mut classes, shots) = made_up(&[6; 6], |_| true);
    // Text that says the wrong thing leaves much to learn.
    let texts: Vec<_> = classes.iter().map(|class| class.text.clone()).collect();
    (0..6).for_each(|class| classes[class].text.clone_from(&texts[(class + 1) % 6]));
    for kind in [HeadKind::TipF, HeadKind::ApeT, HeadKind::ClipAdapter, HeadKind::ProLip] {
        let losses = std::cell::RefCell::new(Vec::new());
        let task = recipe(&classes, &shots).task(0.0);
        let setting = Setting::default_for(kind, true);
        let _ = super::heads::fit(kind, &task, setting, &|now| losses.borrow_mut().push(now.loss));
        let losses = losses.into_inner();
        assert!(losses.len() >= 10, "{}", kind.name());
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first, "{}: {first} to {last}", kind.name());
    }
}
