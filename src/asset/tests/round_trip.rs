//! What is written is what is read.

use half::f16;

use super::*;
use crate::kernels;

#[test]
fn sections_come_back_as_they_were_written() {
    let bytes = sample().to_bytes().unwrap();
    let asset = Asset::open(&bytes).unwrap();
    assert_eq!(asset.preprocess, Some(PREPROCESS));
    assert_eq!(asset.head, Some(HEAD));
    assert_eq!(asset.calibration, Some(CALIBRATION));
    assert_eq!(asset.labels.unwrap().iter().collect::<Vec<_>>(), LABELS);
    assert_eq!(asset.labels.unwrap().find("señal"), Some(2));
    assert_eq!(asset.labels.unwrap().find("senal"), None);
    assert_eq!(asset.prompts.unwrap().iter().collect::<Vec<_>>(), ["a photo of a {}."]);
    assert_eq!(asset.key_names.unwrap().get(20), Some("shots/20.jpg"));
    assert_eq!(asset.metrics.unwrap().get("test.top1"), Some(91.5));
    assert_eq!(asset.metrics.unwrap().iter().count(), 2);
    assert_eq!(asset.provenance.unwrap().get("licence"), Some("CC BY 4.0"));
    assert_eq!(asset.provenance.unwrap().get("CC BY 4.0"), None);
}

#[test]
fn text_weights_come_back_rounded_to_f16() {
    let weights = [0.6, -0.8, 0.0, 1.0, 3.0, 0.0];
    let kinds = [RowKind::Text, RowKind::Text, RowKind::Shots];
    let section = TextWeights::encode(&kinds, &[1.5, 2.5, 0.0], &[0.0, 0.0], &weights).unwrap();
    let section = AlignedBytes::from(&section[..]);
    let view = TextWeights::parse(&section).unwrap();
    view.validate().unwrap();
    let row: Vec<f32> =
        view.row(0).unwrap().iter().map(|&bits| f16::from_bits(bits).to_f32()).collect();
    assert_eq!(row, [f16::from_f32(0.6).to_f32(), f16::from_f32(-0.8).to_f32()]);
    assert_eq!(view.bias, [1.5, 2.5, 0.0]);
    assert_eq!((view.has(1), view.has(2), view.has(3)), (true, false, false));
    assert_eq!((view.kind(2), view.kind(3)), (RowKind::Shots, RowKind::Empty));
    assert!(TextWeights::encode(&[RowKind::Text], &[0.0], &[0.0], &[0.0, 1.0]).is_err());
}

#[test]
fn names_of_the_vocabulary_are_found() {
    let bytes = sample().to_bytes().unwrap();
    let words = Asset::open(&bytes).unwrap().vocabulary.unwrap();
    for (i, name) in ["accordion", "camera", "zebra"].into_iter().enumerate() {
        assert_eq!(words.find(name), Some(i));
    }
    for name in ["", "a", "cameras", "zz"] {
        assert_eq!(words.find(name), None, "{name}");
    }
    assert!(Vocabulary::encode(&["b", "a"], 1, &[1.0, 1.0], &[1, 1]).is_err());
}

#[test]
fn limits_are_named() {
    let long = "x".repeat(limits::MAX_LABEL_BYTES + 1);
    let error = Labels::encode(&[&long]).unwrap_err().to_string();
    assert_eq!(error, "65 bytes in one label: at most 64 are possible");
    let many = vec!["x"; limits::MAX_CLASSES + 1];
    let error = Labels::encode(&many).unwrap_err().to_string();
    assert_eq!(error, "4097 classes: at most 4096 are possible");
}

/// Every key of a cache: id, class, weight, codes.
fn keys(cache: &Cache<'_>) -> Vec<(u64, u32, f32, Vec<i8>)> {
    let key = |i: usize| (cache.id[i], cache.class[i], cache.weight[i], cache.codes(i).collect());
    (0..cache.len).map(key).collect()
}

#[test]
fn keys_lie_as_the_kernels_want_them() {
    let section = cache(EncoderId([2; 32])).finish(0).unwrap();
    let view = Cache::parse(&section).unwrap();
    view.validate().unwrap();
    assert_eq!((view.len, view.capacity), (KEYS, 32));
    let rows: Vec<i8> = (0..view.capacity).flat_map(|i| view.codes(i)).collect();
    let mut packed = vec![0; kernels::packed_len(KEY_DIM, view.capacity)];
    kernels::pack(KEY_DIM, view.capacity, &rows, &mut packed);
    assert_eq!(view.keys, packed);
    let mut codes = vec![1; view.capacity * KEY_DIM];
    (0..).zip(codes.chunks_exact_mut(KEY_DIM)).for_each(|(i, codes)| view.codes_into(i, codes));
    assert_eq!(codes, rows);
    assert_eq!(panels::packed_len(KEY_DIM, 33), Some(kernels::packed_len(KEY_DIM, 33)));
}

#[test]
fn a_removed_key_leaves_the_others_in_order() {
    for gone in [0, 1, 15, 16, KEYS - 1] {
        let mut builder = cache(EncoderId([2; 32]));
        let mut expected = keys(&builder.view().unwrap());
        let removed = expected.remove(gone);
        let mut edit = builder.edit().unwrap();
        edit.remove(gone);
        edit.remove(KEYS);
        assert_eq!(edit.len(), KEYS - 1);
        let view = builder.view().unwrap();
        view.validate().unwrap();
        assert_eq!(keys(&view), expected);
        assert_eq!(view.find(removed.0), None);
        assert_eq!(view.find(expected[3].0), Some(3));
        // The same as never having had room for it.
        let without =
            CacheBuilder::from_cache(&cache(EncoderId([2; 32])).view().unwrap(), 4, |i| {
                (i != gone).then(|| class_of(i))
            });
        let (without, builder) = (without.unwrap().finish(0), builder.finish(0));
        assert_eq!(*without.unwrap(), *builder.unwrap());
    }
}

#[test]
fn an_id_is_never_used_twice() {
    let mut builder = cache(EncoderId([2; 32]));
    builder.edit().unwrap().remove(KEYS - 1);
    let key = Key { codes: &[127; KEY_DIM], scale: 0.1, bias: 0.0, weight: 1.0, class: 2 };
    assert_eq!(builder.push(&key).unwrap(), KEYS as u64 + 1);
    let section = builder.finish(0).unwrap();
    let again = CacheBuilder::from_cache(&Cache::parse(&section).unwrap(), 5, |_| Some(4)).unwrap();
    assert_eq!(again.view().unwrap().next_id, KEYS as u64 + 2);
    assert_eq!(again.view().unwrap().shots, [0, 0, 0, 0, KEYS as u32]);
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut section = cache(EncoderId([2; 32])).finish(3).unwrap();
    let before = section.clone();
    let mut edit = CacheMut::parse(&mut section).unwrap();
    let key = Key { codes: &[1; KEY_DIM], scale: 0.1, bias: 0.0, weight: 1.0, class: 0 };
    assert!(edit.push(&Key { codes: &[1; KEY_DIM + 1], ..key }).is_err());
    assert!(edit.push(&Key { class: LABELS.len() as u32, ..key }).is_err());
    assert_eq!(*section, *before);

    let mut edit = CacheMut::parse(&mut section).unwrap();
    for _ in KEYS..32 {
        edit.push(&key).unwrap();
    }
    let full = edit.push(&key).unwrap_err();
    assert_eq!(full.to_string(), "33 keys in this cache's room: at most 32 are possible");
    assert_eq!(edit.shots()[0], 6 + 11);
}
