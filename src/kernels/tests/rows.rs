use std::vec;
use std::vec::Vec;

use super::*;

/// Rows of real values with the shapes and extremes that the row kernels meet.
fn real_rows(random: &mut Random) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    // The last one's probabilities, where all are the same, add up to more than 16 bits in each lane.
    for len in [1, 3, 4, 15, 16, 17, 31, 33, 64, 100, 197, 768, 773, 9000] {
        rows.push(random.floats(len, 3.0));
        rows.push(vec![-2.5; len]);
        rows.push(vec![0.0; len]);
        let mut outlier = random.floats(len, 1.0);
        outlier[len / 2] = 80.0;
        rows.push(outlier.clone());
        outlier[len / 3] = -1e30;
        rows.push(outlier);
        rows.push(random.floats(len, 1e-34));
    }
    rows
}

#[test]
fn rows_of_reals_have_the_bits_of_the_specification() {
    let mut random = Random::new(5);
    for row in real_rows(&mut random) {
        let len = row.len();
        let padded = len.next_multiple_of(4) + 4;
        let (gain, shift) = (random.floats(len, 2.0), random.floats(len, 0.5));
        for kernels in vector_tables() {
            let name = kernels.name();
            for (epsilon, factors) in
                [(None, &[][..]), (None, &gain), (Some(1e-5), &[]), (Some(1e-6), &gain)]
            {
                let q = Quantize { len, epsilon, factors };
                let results = [&scalar::KERNELS, kernels].map(|kernels| {
                    let mut codes = vec![7; padded];
                    let (scale, zero) = kernels.quantize(&q, &row, &mut codes);
                    (scale.to_bits(), zero, codes)
                });
                assert_eq!(results[0], results[1], "{name} quantize {len} {epsilon:?}");
            }
            let tables = [&scalar::KERNELS, kernels];
            let results = tables.map(|kernels| {
                let mut out = vec![0.0; len];
                kernels.normalize(1e-5, &gain, &shift, &row, &mut out);
                let mut codes = vec![7; padded];
                let over = kernels.softmax(&row, &mut codes);
                (bits(&out), codes, over.to_bits())
            });
            assert_eq!(results[0], results[1], "{name} {len}");
        }
    }
}

#[test]
fn packed_reals_have_the_bits_of_the_specification() {
    let mut random = Random::new(6);
    for (rows, columns) in [(1, 1), (5, 64), (16, 4), (17, 33), (50, 64), (197, 80), (3, 7)] {
        let stride = columns + 5;
        let mut data = random.floats(rows * stride, 2.0);
        data[stride * (rows / 2)..][..columns].fill(0.0);
        let v = Values { data: &data, stride, rows, columns };
        let packs = |kernels: &Kernels| {
            let n = rows.next_multiple_of(LANES);
            let (mut keys, mut scale, mut sums) =
                (vec![9; packed_len(columns, rows)], vec![9.0; n], vec![9; n]);
            kernels.pack_keys(&v, &mut keys, &mut scale, &mut sums);
            let mut again = vec![0; n];
            row_sums(columns, rows, &keys, &mut again);
            assert_eq!(sums, again, "sums of keys");
            let n = columns.next_multiple_of(LANES);
            let (mut values, mut factor, mut totals) =
                (vec![9; packed_len(rows, columns)], vec![9.0; n], vec![9; n]);
            kernels.pack_values(&v, &mut values, &mut factor, &mut totals);
            let mut again = vec![0; n];
            row_sums(rows, columns, &values, &mut again);
            assert_eq!(totals, again, "sums of values");
            (keys, bits(&scale), values, bits(&factor))
        };
        let expected = packs(&scalar::KERNELS);
        for kernels in vector_tables() {
            assert_eq!(packs(kernels), expected, "{} {rows} x {columns}", kernels.name());
        }
    }
}

#[test]
fn scaled_codes_have_the_bits_of_the_specification() {
    let mut random = Random::new(7);
    for channels in [1, 15, 16, 17, 40, 96] {
        let [scale, bias] = units(4, channels, &mut random);
        let row = Fill::Random.codes(channels, &mut random);
        let q = Requant { activation: Activation::HardSwish, ..Requant::to_codes(&scale, &bias) };
        let scaled = |kernels: &Kernels| {
            let mut out = vec![0; channels];
            kernels.scale_codes(&q, &row, &mut out);
            out
        };
        for kernels in vector_tables() {
            assert_eq!(scaled(kernels), scaled(&scalar::KERNELS), "{} {channels}", kernels.name());
        }
    }
}

#[test]
fn the_specification_quantizes() {
    let mut codes = [9; 6];
    let q = Quantize { len: 4, epsilon: None, factors: &[] };
    let (scale, zero) = scalar::KERNELS.quantize(&q, &[-1.0, 0.0, 0.5, 4.1], &mut codes);
    // A range of 5.1 in 255 steps of 0.02; zero is code 50.
    assert!((scale - 0.02).abs() < 1e-7);
    assert_eq!((zero, codes), (50, [0, 50, 75, 255, 0, 0]));
    let mut codes = [9; 4];
    let over = scalar::KERNELS.softmax(&[1.0, 1.0, -200.0], &mut codes);
    assert_eq!((over, codes), (1.0 / 510.0, [255, 255, 0, 0]));
}

#[test]
fn float_sums_have_the_bits_of_the_specification() {
    let mut random = Random::new(3);
    for len in (0..70).chain([512, 1280, 1283]) {
        let (a, b) = (random.floats(len + 1, 3.0), random.floats(len + 1, 1.0));
        let expected = scalar::KERNELS.dot_f32(&a[1..], &b[1..]);
        for rows in [1, 3, 4, 9] {
            // Any f16 but infinities and NaN, subnormal ones included.
            let w: Vec<u16> = (0..rows * len)
                .map(|_| random.next() as u16)
                .map(|h| if h & 0x7c00 == 0x7c00 { h & 0x83ff } else { h })
                .collect();
            let mut expected = vec![0.0; rows];
            scalar::KERNELS.matvec_f16(&w, &a[1..], &mut expected);
            for kernels in vector_tables() {
                let mut out = vec![0.0; rows];
                kernels.matvec_f16(&w, &a[1..], &mut out);
                assert_eq!(bits(&out), bits(&expected), "{} {rows} x {len}", kernels.name());
            }
        }
        for kernels in vector_tables() {
            let dot = kernels.dot_f32(&a[1..], &b[1..]);
            assert_eq!(dot.to_bits(), expected.to_bits(), "{} {len}", kernels.name());
        }
    }
}

#[test]
fn dot_products_of_many_rows_have_the_bits_of_single_ones() {
    let mut random = Random::new(8);
    for (rows, columns, k) in
        [(1, 1, 1), (7, 5, 33), (3, 2, 16), (4, 9, 64), (13, 11, 1283), (2, 3, 0)]
    {
        let (a, b) = (random.floats(rows * k, 3.0), random.floats(columns * k, 1.0));
        let single =
            |i: usize, j: usize| scalar::KERNELS.dot_f32(&a[i * k..][..k], &b[j * k..][..k]);
        let expected: Vec<u32> =
            (0..rows * columns).map(|at| single(at / columns, at % columns).to_bits()).collect();
        for kernels in available() {
            let mut out = vec![9.0; rows * columns];
            kernels.dots_f32(&a, &b, k, &mut out);
            assert_eq!(bits(&out), expected, "{} {rows} x {columns} x {k}", kernels.name());
        }
    }
    // Products that are rounded to -0, in lanes beyond a row's end too.
    let (a, b) = ([1e-30f32; 3 * 17], [-1e-30f32; 2 * 17]);
    for kernels in available() {
        let mut out = [1.0; 6];
        kernels.dots_f32(&a, &b, 17, &mut out);
        let expected = scalar::KERNELS.dot_f32(&a[..17], &b[..17]);
        assert!(out.iter().all(|sum| sum.to_bits() == expected.to_bits()), "{}", kernels.name());
    }
    // More columns than stay in a cache.
    let (k, columns) = (2048, 40);
    let (a, b) = (random.floats(5 * k, 1.0), random.floats(columns * k, 1.0));
    let mut expected = vec![0.0; 5 * columns];
    scalar::KERNELS.dots_f32(&a, &b, k, &mut expected);
    for kernels in vector_tables() {
        let mut out = vec![0.0; 5 * columns];
        kernels.dots_f32(&a, &b, k, &mut out);
        assert_eq!(bits(&out), bits(&expected), "{}", kernels.name());
    }
}

#[test]
fn f16_rows_are_widened_exactly() {
    // 1, the smallest subnormal, the largest number.
    let mut out = [0.0; 3];
    scalar::KERNELS.matvec_f16(&[0x3c00, 0x0001, 0x7bff], &[1.0], &mut out);
    assert_eq!(out, [1.0, 1.0 / 16_777_216.0, 65504.0]);
}
