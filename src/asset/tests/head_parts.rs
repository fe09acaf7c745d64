//! The sections that a head has besides text weights and cache.

use super::*;

const CHANNELS: [u16; 3] = [1, 4, 7];

fn linear(has: [bool; 4], weights: &[f32]) -> Result<Vec<u8>, AssetError> {
    let bias = has.map(|has| if has { 0.5 } else { 0.0 });
    Linear::encode(Space::Projected, &has, &bias, weights)
}

fn bank(encoder: EncoderId, channels: &[u16]) -> Result<Vec<u8>, AssetError> {
    let mut keys = CacheBuilder::new(encoder, Space::Trunk, &[0.0; 3], LABELS.len())?;
    // trained keys have any length
    let key = Key { codes: &[127, -3, 60], scale: 0.02, bias: 0.0, weight: 0.7, class: 3 };
    keys.push(&key)?;
    Bank::encode(channels, KEY_DIM, &keys.finish(0)?)
}

/// A linear term without a row for class 2, a bottleneck, and one key of three channels.
pub(super) fn add(asset: Builder<'static>, encoder: EncoderId) -> Builder<'static> {
    let mut weights = vec![0.25; 4 * TEXT_DIM];
    weights[2 * TEXT_DIM..3 * TEXT_DIM].fill(0.0);
    let (down, up) = ([0.5; 2 * KEY_DIM], [-0.5; 2 * KEY_DIM]);
    asset
        .section(Tag::LINEAR, linear([true, true, false, true], &weights).unwrap())
        .section(
            Tag::ADAPTER,
            Adapter::encode_branch(Space::Trunk, KEY_DIM, [0.8, 0.2], &down, &up).unwrap(),
        )
        .section(Tag::BANK, bank(encoder, &CHANNELS).unwrap())
        .section(Tag::META, Meta::encode(&[1.0; 2], 0.5, &[0.25; 4], &[-0.25; 4]).unwrap())
}

#[test]
fn parts_of_a_head_come_back_as_they_were_written() {
    let bytes = sample().to_bytes().unwrap();
    let asset = Asset::open(&bytes).unwrap();
    let linear = asset.linear.unwrap();
    assert_eq!((linear.space, linear.dim), (Space::Projected, TEXT_DIM));
    assert_eq!([0, 1, 2, 3, 4].map(|class| linear.has(class)), [true, true, false, true, false]);
    assert_eq!(linear.weights[0], half::f16::from_f32(0.25).to_bits());
    let Some(Adapter::Branch(branch)) = asset.adapter else { panic!("{:?}", asset.adapter) };
    assert_eq!((branch.space, branch.dim, branch.hidden), (Space::Trunk, KEY_DIM, 2));
    assert_eq!((branch.keep, branch.ratio), (0.8, 0.2));
    assert_eq!((branch.down.len(), branch.up.len()), (2 * KEY_DIM, 2 * KEY_DIM));
    let bank = asset.bank.unwrap();
    assert_eq!((bank.channels, bank.feature_dim), (&CHANNELS[..], KEY_DIM));
    assert_eq!(bank.keys.codes(0).collect::<Vec<_>>(), [127, -3, 60]);
    assert_eq!(bank.keys.shots, [0, 0, 0, 1]);
    let meta = asset.meta.unwrap();
    assert_eq!((meta.dim, meta.bias, meta.gate), (2, 0.5, &[1.0; 2][..]));
    assert!(Meta::encode(&[1.0; 2], 0.5, &[0.25; 4], &[0.25; 3]).is_err());
}

#[test]
fn a_linear_branch_is_square() {
    let square = [0.5; KEY_DIM * KEY_DIM];
    let section = Adapter::encode_branch(Space::Trunk, KEY_DIM, [1.0, 1.0], &[], &square).unwrap();
    let section = AlignedBytes::from(&section[..]);
    let adapter = Adapter::parse(&section).unwrap();
    assert!(matches!(adapter, Adapter::Branch(Branch { hidden: 0, .. })));
    assert!(Adapter::encode_branch(Space::Trunk, KEY_DIM, [1.0, 1.0], &[], &square[1..]).is_err());
    assert!(Adapter::encode_branch(Space::Trunk, 1, [f32::NAN, 1.0], &[], &[1.0]).is_err());
}

#[test]
fn a_projection_reads_the_trunk() {
    let section = Adapter::encode_projection(&[0.5; 6], &[1.0, 2.0], &[0.0, -1.0]).unwrap();
    let mut section = AlignedBytes::from(&section[..]);
    let adapter = Adapter::parse(&section).unwrap();
    assert_eq!((adapter.space(), adapter.dim()), (Space::Projected, 2));
    assert_eq!((adapter.reads(), adapter.hidden()), ((Space::Trunk, 3), 0));
    let Adapter::Projection(projection) = adapter else { panic!("{adapter:?}") };
    assert_eq!((projection.bias, projection.image_mean), (&[1.0, 2.0][..], &[0.0, -1.0][..]));
    assert!(Adapter::encode_projection(&[0.5; 5], &[1.0, 2.0], &[0.0, -1.0]).is_err());
    assert!(Adapter::encode_projection(&[0.5; 6], &[1.0, f32::NAN], &[0.0, -1.0]).is_err());
    section[4] = Space::Trunk as u8;
    let error = Adapter::parse(&section).unwrap_err().to_string();
    assert!(error.contains("replaces the projected feature"), "{error}");
}

#[test]
fn parts_that_contradict_themselves_are_refused() {
    let weights = [0.25; 4 * TEXT_DIM];
    let error = linear([true, true, false, true], &weights).unwrap_err().to_string();
    assert!(error.contains("without a row"), "{error}");
    let error = linear([true; 4], &[1e9; 4 * TEXT_DIM]).unwrap_err().to_string();
    assert!(error.contains("not finite"), "beyond f16: {error}");
    for channels in [&[1, 1, 2][..], &[1, 2, KEY_DIM as u16], &[1, 2]] {
        let error = bank(EncoderId([1; 32]), channels).unwrap_err().to_string();
        assert!(error.contains("BANK"), "{error}");
    }
}

#[test]
fn parts_that_do_not_fit_the_others_are_refused() {
    let two = Linear::encode(Space::Projected, &[true; 2], &[0.0; 2], &[0.0; 2 * TEXT_DIM]);
    let bytes = sample().section(Tag::LINEAR, two.unwrap()).to_bytes().unwrap();
    let error = Asset::open(&bytes).unwrap_err();
    assert!(matches!(error, AssetError::Disagree { what: "classes", .. }), "{error}");
    let narrow = Linear::encode(Space::Projected, &[true; 4], &[0.0; 4], &[0.0; 4]);
    let bytes = sample().section(Tag::LINEAR, narrow.unwrap()).to_bytes().unwrap();
    let error = Asset::open(&bytes).unwrap_err();
    assert!(matches!(error, AssetError::Disagree { what: "dimensions of a feature", .. }));
    let foreign = bank(EncoderId([9; 32]), &CHANNELS).unwrap();
    let bytes = sample().section(Tag::BANK, foreign).to_bytes().unwrap();
    assert!(matches!(Asset::open(&bytes), Err(AssetError::ForeignCache { .. })));
}
