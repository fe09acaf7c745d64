//! Bytes of any kind give an error or a view, never a panic; and no changed byte goes unnoticed.

use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::asset::container::{Entry, Header, header_crc};

/// Changes header or table of contents and makes the checksum fit again.
pub(super) fn with_header(
    bytes: &mut [u8],
    change: impl FnOnce(&mut Header, &mut [Entry]),
) -> &[u8] {
    let (head, rest) = bytes.split_at_mut(format::HEADER_LEN);
    let header = Header::mut_from_bytes(head).unwrap();
    let toc_len = header.sections as usize * format::ENTRY_LEN;
    let toc = <[Entry]>::mut_from_bytes(&mut rest[..toc_len]).unwrap();
    change(header, toc);
    header.crc = header_crc(header, toc);
    bytes
}

/// Looks at everything that a reader may look at.
fn exercise(bytes: &[u8]) -> Result<(), AssetError> {
    let asset = Asset::open(bytes)?;
    for class in asset.classes() {
        assert!(class.label.len() < bytes.len());
    }
    let around = |n: usize| (0..n.min(40)).chain([n, n + 1, usize::MAX / 2, usize::MAX]);
    if let Some(labels) = asset.labels {
        let mut found = around(labels.count()).filter_map(|i| labels.get(i));
        found.all(|label| labels.find(label).is_some());
    }
    if let Some(text) = asset.text {
        around(text.classes).for_each(|class| {
            let row = text.row(class);
            assert!(row.is_none_or(|row| row.len() == text.dim));
            assert!(class < text.classes || !text.has(class));
        });
    }
    if let Some(cache) = asset.cache {
        for index in around(cache.capacity) {
            assert!(cache.codes(index).count() <= cache.dim);
        }
        let _ = cache.find(cache.next_id);
        let rebuilt = CacheBuilder::from_cache(&cache, cache.classes(), |_| Some(0));
        if let Ok(mut rebuilt) = rebuilt {
            let mut edit = rebuilt.edit()?;
            edit.remove(1);
            edit.remove(usize::MAX);
            edit.weights_mut().fill(1.0);
        }
    }
    if let Some(words) = asset.vocabulary {
        around(words.names.len()).for_each(|i| {
            let _ = words.row(i);
            let _ = words.names.get(i).and_then(|name| words.find(name));
        });
    }
    if let Some(names) = asset.key_names {
        around(names.count()).for_each(|i| {
            let _ = names.get(i);
        });
    }
    if let Some(metrics) = asset.metrics {
        let _ = metrics.get("n");
    }
    if let Some(provenance) = asset.provenance {
        let _ = provenance.get("licence");
    }
    let _ = Description::of("test", &asset);
    read_encoder(&asset.container)?;
    // Both, whatever the other says.
    let (sums, values) = (asset.container.verify(), asset.validate());
    sums.and(values)
}

/// What the encoder reads of its own sections.
fn read_encoder(container: &Container<'_>) -> Result<(), AssetError> {
    let section = |tag: Tag| container.section(tag).ok_or(tag.missing());
    let weights = section(Tag::WEIGHTS)?;
    let layers = encoder::Layers::parse(section(Tag::LAYERS)?, weights.len())?;
    for layer in layers.iter() {
        assert!(layer.macs() > 0 && layer.columns() >= layer.depth());
        let record = layer.record;
        for part in [record.weights, record.scale, record.bias, record.pad] {
            assert!(part.range().end <= weights.len());
        }
    }
    assert!(layers.trunk_dim() > 0);
    encoder::Projection::parse(section(Tag::PROJECTION)?)?;
    Ok(())
}

#[test]
fn every_shorter_file_is_refused() {
    let bytes = sample().to_bytes().unwrap();
    exercise(&bytes).unwrap();
    for len in 0..bytes.len() {
        let error = exercise(&bytes[..len]).unwrap_err();
        let expected = matches!(error, AssetError::Truncated { found, needed }
            if found == len as u64 && needed > found && needed <= bytes.len() as u64);
        assert!(expected || len == 0 && error == AssetError::BadMagic, "{len}: {error}");
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let mut bytes = sample().to_bytes().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(exercise(&bytes).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn bytes_behind_the_file_do_not_matter() {
    let bytes = sample().to_bytes().unwrap();
    let mut longer = bytes.to_vec();
    longer.extend([0xff; 100]);
    let longer = AlignedBytes::from(&longer[..]);
    exercise(&longer).unwrap();
    assert_eq!(Container::open(&longer).unwrap().bytes(), &*bytes);
}

#[test]
fn bytes_at_an_odd_address_are_refused() {
    let bytes = sample().to_bytes().unwrap();
    for shift in 1..container::BASE_ALIGN {
        let mut shifted = AlignedBytes::zeroed(bytes.len() + shift);
        shifted[shift..].copy_from_slice(&bytes);
        let error = exercise(&shifted[shift..]).unwrap_err();
        assert_eq!(error, AssetError::Misaligned { align: container::BASE_ALIGN });
    }
}

#[test]
fn a_newer_format_is_named_and_a_newer_detail_is_read() {
    let mut bytes = sample().to_bytes().unwrap();
    let newer = with_header(&mut bytes, |header, _| header.minor += 7);
    exercise(newer).unwrap();
    // Whatever the rest looks like: its checksum is that version's business.
    bytes[8] = 9;
    assert_eq!(exercise(&bytes), Err(AssetError::TooNew { found: 9, supported: 1 }));
}

/// Sections of any contents and length, with checksums that fit.
#[test]
fn sealed_nonsense_never_panics() {
    let mut random = Random(2026);
    let bytes = sample().to_bytes().unwrap();
    let container = Container::open(&bytes).unwrap();
    let sections: Vec<_> = container.sections().collect();
    let mut survivors = 0;
    for round in 0..20_000 {
        let mut builder = Builder::from_container(&container);
        for _ in 0..=random.below(2) {
            let (tag, range, _) = sections[random.below(sections.len())].clone();
            let mut section = container.bytes()[range].to_vec();
            match random.below(4) {
                0 => section.truncate(random.below(section.len())),
                1 => section.extend((0..random.below(200)).map(|_| random.0 as u8)),
                _ => {}
            }
            for _ in 0..random.below(4) {
                // Counts lie at the start: they deserve most of the trouble.
                let reach =
                    if random.below(2) == 0 { section.len().min(64) } else { section.len() };
                let at = random.below(reach);
                if let Some(byte) = section.get_mut(at) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, random.0 as u8][round % 6];
                }
            }
            builder = builder.section(tag, section);
        }
        survivors += usize::from(exercise(&builder.to_bytes().unwrap()).is_ok());
    }
    // Some rounds change nothing, or only what carries no meaning; most must be noticed.
    assert!((100..10_000).contains(&survivors), "{survivors}");
}

/// Tables of contents of any contents, with checksums that fit.
#[test]
fn sealed_nonsense_in_the_header_never_panics() {
    let mut random = Random(1);
    let original = sample().to_bytes().unwrap();
    let words = [0, 1, 63, 64, 65, 1 << 31, 1 << 32, u64::MAX - 63, u64::MAX];
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        let mut renamed = false;
        let changed = with_header(&mut bytes, |header, toc| {
            let word = match random.below(3) {
                0 => random.next(),
                1 => words[random.below(words.len())],
                _ => original.len() as u64 - random.below(300) as u64,
            };
            let count = toc.len();
            let entry = &mut toc[random.below(count)];
            match random.below(5) {
                0 => entry.offset = word,
                1 => entry.len = word,
                2 => {
                    entry.tag = Tag::ALL[random.below(Tag::ALL.len())];
                    renamed = true;
                }
                3 => header.file_len = word,
                _ => entry.crc = word as u32,
            }
        });
        let (sound, same) = (exercise(changed).is_ok(), changed == &*original);
        // A section of a free name may be taken for that: its bytes are the encoder's business.
        assert!(sound == same || renamed);
    }
    for sections in [0, 1, 14, 16, 64, 65, u32::MAX] {
        let mut bytes = original.clone();
        bytes[12..16].copy_from_slice(&sections.to_le_bytes());
        assert!(exercise(&bytes).is_err(), "{sections} sections");
    }
}

#[test]
fn values_without_meaning_are_found() {
    let bytes = sample().to_bytes().unwrap();
    let container = Container::open(&bytes).unwrap();
    let check = |tag: Tag, change: &dyn Fn(&mut [u8]), what: &str| {
        let mut section = AlignedBytes::from(container.section(tag).unwrap());
        change(&mut section);
        let bytes = Builder::from_container(&container).section(tag, &*section);
        let error = exercise(&bytes.to_bytes().unwrap()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(&tag.to_string()), "{error}");
    };
    let view = Cache::parse(container.section(Tag::CACHE).unwrap()).unwrap();
    let start = container.section(Tag::CACHE).unwrap().as_ptr() as usize;
    let at = |slice: &[u8]| slice.as_ptr() as usize - start;
    let (class, scale, id, shots, weight, mean) = (
        at(view.class.as_bytes()),
        at(view.scale.as_bytes()),
        at(view.id.as_bytes()),
        at(view.shots.as_bytes()),
        at(view.weight.as_bytes()),
        at(view.mean.as_bytes()),
    );
    check(Tag::CACHE, &|s| s[class] = 200, "class that does not exist");
    check(Tag::CACHE, &|s| s[scale + 3] = 0x7f, "not a usable number");
    check(Tag::CACHE, &|s| s[scale + 3] = 0x40, "length 1");
    check(Tag::CACHE, &|s| s[id] = 5, "ascend");
    check(Tag::CACHE, &|s| s[shots] += 1, "counted wrong");
    check(Tag::CACHE, &|s| s[weight + 4 * KEYS + 3] = 1, "room");
    check(Tag::CACHE, &|s| s[mean..mean + 4].fill(0xff), "mean");
    check(Tag::LABELS, &|s| s[128] = 0xff, "UTF-8");
    check(Tag::LABELS, &|s| s[64 + 4] = 0, "empty");
    check(Tag::TEXT, &|s| s[64] = 3, "row of a class");
    check(Tag::TEXT, &|s| s[64 + 3] = 1, "length 1");
    check(Tag::HEAD, &|s| s[0] = 200, "unknown to this version");
    check(Tag::CALIBRATION, &|s| s[3] |= 0x80, "temperature");
    check(Tag::CALIBRATION, &|s| s[23] |= 0x80, "temperature");
    check(Tag::PREPROCESS, &|s| s[4] = 9, "resize mode");
    check(Tag::VOCABULARY, &|s| s[128] = b'z', "ascending");
}
