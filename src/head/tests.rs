use std::vec::Vec;

use super::*;
use crate::asset::{AlignedBytes, EncoderId};
use crate::fit::search::Search;
use crate::fit::{ClassSpec, Recipe, Shot, build, keys};
use crate::kernels;

const DIM: usize = 24;

/// Unit vectors that repeat from run to run.
fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let mut values: Vec<f32> = (0..DIM).map(|_| next() + 0.3).collect();
    keys::normalize(&mut values);
    values
}

/// An asset: per class, whether it has text and its number of shots. Text of class c is vector(c),
/// its shots are near to that.
fn asset(classes: &[(bool, usize)], alpha: f32, beta: f32) -> AlignedBytes {
    let specs: Vec<ClassSpec> = (0..).zip(classes).map(spec).collect();
    let mut shots = Vec::new();
    for (class, &(_, count)) in classes.iter().enumerate() {
        shots.extend((0..count).map(|i| shot(class, i)));
    }
    built(&specs, &shots, alpha, beta)
}

fn spec((class, &(text, _)): (u64, &(bool, usize))) -> ClassSpec {
    ClassSpec { label: std::format!("class {class}"), text: text.then(|| vector(class + 1)) }
}

fn shot(class: usize, i: usize) -> Shot {
    let noise = vector((1000 + class * 50 + i) as u64);
    let centre = vector(class as u64 + 1);
    let mut feature: Vec<f32> = centre.iter().zip(noise).map(|(c, n)| c + 0.3 * n).collect();
    keys::normalize(&mut feature);
    Shot { class, feature, name: std::format!("{class}/{i}") }
}

fn built(classes: &[ClassSpec], shots: &[Shot], alpha: f32, beta: f32) -> AlignedBytes {
    let recipe = Recipe {
        encoder: EncoderId([1; 32]),
        space: Space::Projected,
        classes,
        shots,
        project: None,
        method: HeadKind::Tip.into(),
        search: Search::Fixed { alpha, beta },
        threads: 1,
        kernels: kernels::best(),
    };
    build(&recipe).unwrap().to_bytes(recipe.encoder).unwrap()
}

fn run(head: &Head<'_>, feature: &[f32]) -> (Buffers, Nearests) {
    let mut buffers = Buffers::new(head);
    let nearests = head.logits(&[], feature, &mut buffers.workspace()).unwrap();
    (buffers, nearests)
}

fn head(bytes: &AlignedBytes) -> Head<'_> {
    Head::new(&Asset::open(bytes).unwrap(), kernels::best()).unwrap()
}

#[test]
fn cosines_come_from_exact_integer_products_on_every_instruction_set() {
    let bytes = asset(&[(true, 20), (true, 17)], 1.0, 5.5);
    let cache = Asset::open(&bytes).unwrap().cache.unwrap();
    let feature = vector(77);
    for kernels in kernels::available() {
        let mut codes = std::vec![0; CodedQuery::codes_len(&cache)];
        let query = CodedQuery::new(kernels, &cache, &feature, &mut codes);
        let CodedQuery { codes, scale, base } = query;
        let mut seen = 0;
        scan(kernels, &cache, &query, 5.5, |key, cosine, affinity| {
            let products = cache.codes(key).zip(codes).map(|(k, &q)| i64::from(k) * i64::from(q));
            let product = products.sum::<i64>() as f32;
            let unit = scale * cache.scale[key];
            assert_eq!(cosine, math::mul_add(product, unit, base + cache.bias[key]));
            assert_eq!(affinity, math::exp(math::mul_add(5.5, cosine, -5.5)));
            assert_eq!(key, seen);
            seen += 1;
        });
        assert_eq!(seen, 37);
    }
}

#[test]
fn logits_have_the_same_bits_on_every_instruction_set() {
    let bytes = asset(&[(true, 3), (false, 5), (true, 0), (true, 1)], 2.0, 5.5);
    let asset = Asset::open(&bytes).unwrap();
    let results = kernels::available().map(|kernels| {
        let head = Head::new(&asset, kernels).unwrap();
        let logits = run(&head, &vector(5)).0.logits;
        logits.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    });
    let results: Vec<_> = results.collect();
    assert!(results.iter().all(|logits| *logits == results[0]));
}

#[test]
fn with_text_and_equal_shots_the_logits_are_tip_adapters() {
    let classes = [(true, 3); 5];
    let bytes = asset(&classes, 1.5, 5.5);
    let asset = Asset::open(&bytes).unwrap();
    assert_eq!(asset.cache.unwrap().weight[..15], [1.0; 15]);
    let text: Vec<f32> = (1..=5).flat_map(vector).collect();
    let shots = (0..5).flat_map(|class| (0..3).map(move |i| shot(class, i)));
    let (keys, labels): (Vec<_>, Vec<u32>) =
        shots.map(|shot| (shot.feature, shot.class as u32)).unzip();
    let keys = keys.concat();
    let float = crate::fit::reference::Reference {
        text: &text,
        keys: &keys,
        labels: &labels,
        classes: 5,
        dim: DIM,
        alpha: 1.5,
        beta: 5.5,
    };
    let feature = vector(99);
    let (buffers, _) = run(&head(&bytes), &feature);
    let (zero_shot, cache) = (float.zero_shot(&feature), float.cache(&feature));
    // Text rows are centred: their logits differ by one number for all classes.
    let shift = f64::from(buffers.zero_shot[0]) - zero_shot[0];
    for class in 0..5 {
        let difference = f64::from(buffers.zero_shot[class]) - zero_shot[class] - shift;
        assert!(difference.abs() < 0.1, "{difference}");
        assert!((f64::from(buffers.cache[class]) / cache[class] - 1.0).abs() < 0.03);
        assert_eq!(buffers.logits[class], buffers.zero_shot[class] + buffers.cache[class]);
    }
}

#[test]
fn weights_make_up_for_unequal_shots() {
    let bytes = asset(&[(true, 8), (true, 2), (true, 1)], 1.0, 5.5);
    let cache = Asset::open(&bytes).unwrap().cache.unwrap();
    assert_eq!(cache.weight[..8], [1.0; 8]);
    assert_eq!(cache.weight[8..11], [4.0, 4.0, 8.0]);
}

#[test]
fn a_class_without_shots_is_not_put_back() {
    let bytes = asset(&[(true, 6), (true, 0), (true, 6), (true, 6)], 200.0, 5.5);
    let head = head(&bytes);
    for class in 0..4 {
        assert_eq!(best(&run(&head, &shot(class, 40).feature).0.logits), Some(class));
    }
    // Its cache term lies among those of the others, not at 0.
    let (buffers, _) = run(&head, &vector(500));
    let others = [0, 2, 3].map(|class| buffers.cache[class]);
    assert!(buffers.cache[1] > 0.3 * others.iter().copied().fold(f32::INFINITY, f32::min));
}

#[test]
fn a_class_without_text_is_not_put_back() {
    let bytes = asset(&[(true, 6), (false, 6), (true, 6), (true, 6)], 1.0, 5.5);
    let head = head(&bytes);
    for class in 0..4 {
        assert_eq!(best(&run(&head, &shot(class, 40).feature).0.logits), Some(class));
    }
}

#[test]
fn each_kind_answers_only_with_classes_that_have_what_it_needs() {
    let bytes = asset(&[(true, 2), (false, 2), (true, 0)], 1.0, 5.5);
    let tip = head(&bytes);
    let out = |kind| {
        let logits = run(&tip.with_kind(kind).unwrap(), &vector(3)).0.logits;
        logits.iter().map(|logit| logit.is_finite()).collect::<Vec<bool>>()
    };
    assert_eq!(out(HeadKind::Tip), [true, true, true]);
    assert_eq!(out(HeadKind::ZeroShot), [true, false, true]);
    assert_eq!(out(HeadKind::CacheOnly), [true, true, false]);
}

#[test]
fn text_alone_and_shots_alone_are_enough() {
    let text = asset(&[(true, 0), (true, 0)], 1.0, 5.5);
    let (buffers, nearests) = run(&head(&text), &vector(1));
    assert_eq!(best(&buffers.logits), Some(0));
    assert!(nearests.is_empty());
    let error = head(&text).with_kind(HeadKind::CacheOnly).err().unwrap();
    assert!(std::format!("{error}").contains("cache"), "{error}");

    let shots = asset(&[(false, 1), (false, 1)], 1.0, 5.5);
    let (buffers, nearests) = run(&head(&shots), &shot(1, 30).feature);
    assert_eq!(best(&buffers.logits), Some(1));
    assert_eq!(nearests.len(), 2);
    assert!(head(&shots).with_kind(HeadKind::ZeroShot).is_err());
}

#[test]
fn one_class_alone() {
    let bytes = asset(&[(true, 1)], 1.0, 5.5);
    let (buffers, _) = run(&head(&bytes), &vector(9));
    let mut p = [0.0];
    probabilities(&buffers.logits, Temperature::ONE, &mut p);
    assert_eq!(p, [1.0]);
}

#[test]
fn beta_zero_counts_shots() {
    let bytes = asset(&[(true, 2), (true, 2)], 3.0, 0.0);
    assert_eq!(run(&head(&bytes), &vector(9)).0.cache, [6.0, 6.0]);
}

#[test]
fn equal_keys_count_each_and_the_earlier_is_named_first() {
    let spec = [spec((0, &(true, 0))), spec((1, &(true, 0)))];
    let shots = [shot(0, 0), shot(0, 0), shot(1, 0), shot(1, 1)];
    let bytes = built(&spec, &shots, 1.0, 5.5);
    let (buffers, nearests) = run(&head(&bytes), &shots[0].feature);
    assert_eq!(nearests[..2].iter().map(|n| n.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(nearests[0].cosine, nearests[1].cosine);
    assert!((nearests[0].cosine - 1.0).abs() < 0.01);
    assert!((buffers.cache[0] - 2.0).abs() < 0.1, "{:?}", buffers.cache);
}

#[test]
fn the_nearest_keys_come_in_order() {
    let bytes = asset(&[(true, 20), (true, 20)], 1.0, 5.5);
    let cache = Asset::open(&bytes).unwrap().cache.unwrap();
    let feature = vector(42);
    let (_, nearests) = run(&head(&bytes), &feature);
    let mut codes = std::vec![0; CodedQuery::codes_len(&cache)];
    let query = CodedQuery::new(kernels::best(), &cache, &feature, &mut codes);
    let mut all = Vec::new();
    scan(kernels::best(), &cache, &query, 1.0, |key, cosine, _| all.push((cosine, key)));
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let found: Vec<_> = nearests.iter().map(|nearest| (nearest.cosine, nearest.key)).collect();
    assert_eq!(found, all[..NEAREST]);
}

#[test]
fn features_without_direction_are_refused() {
    let bytes = asset(&[(true, 2), (true, 2)], 1.0, 5.5);
    let head = head(&bytes);
    let mut buffers = Buffers::new(&head);
    let mut refused = |feature: &[f32]| {
        head.logits(&[], feature, &mut buffers.workspace()).err().map(|e| std::format!("{e}"))
    };
    assert!(refused(&[0.0; DIM]).unwrap().contains("length 0"));
    assert!(refused(&[f32::NAN; DIM]).unwrap().contains("NaN"));
    assert!(refused(&[1.0; DIM]).unwrap().contains("instead of 1"));
    assert!(refused(&[1.0]).unwrap().contains("this asset wants 24"));
    assert_eq!(refused(&vector(1)), None);
}

#[test]
fn a_workspace_of_another_size_is_refused() {
    let bytes = asset(&[(true, 2), (true, 2)], 1.0, 5.5);
    let head = head(&bytes);
    let mut buffers = Buffers::new(&head);
    let mut workspace = buffers.workspace();
    workspace.cache = &mut [];
    let error = head.logits(&[], &vector(1), &mut workspace).unwrap_err();
    assert_eq!(error, HeadError::Workspace { slice: "cache", expected: 2, found: 0 });
}
