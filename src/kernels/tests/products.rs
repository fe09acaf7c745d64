use std::vec;
use std::vec::Vec;

use super::*;

/// The same product in every form: codes; codes with codes added, in bounds of their own and without; real from
/// rows with units of their own, activation and steps, with reals added; the same without steps and bounds, and
/// without anything added; the mean.
fn products(kernels: &Kernels, pool: &Pool, case: &Product) -> ([Vec<u8>; 3], [Vec<u32>; 4]) {
    let Product { rows, k, n, stride, .. } = *case;
    // Places before, between and after the rows must stay as they were.
    let stride_out = n + 2;
    let w = PackedMatrix { k, n, data: &case.weights, sums: &case.sums };
    // Bounds that become those of a code, which are not looked at any more.
    let q = Requant { lo: 0.25, hi: 254.6, ..Requant::to_codes(&case.units[0], &case.units[1]) };
    let a = Rows::of_codes(&case.a[1..], stride, rows);
    let mut out = vec![0xa5; rows * stride_out + 2];
    kernels.gemm(pool, a, w, q, Added::Nothing, Out::Codes(&mut out[1..]), stride_out);
    let narrow = Requant { lo: 3.0, hi: 251.0, ..q };
    let [in_bounds, with_codes] = [narrow, q].map(|q| {
        let mut with_codes = vec![0xa5; rows * stride_out + 2];
        let added = Added::Codes(&case.codes, 0.37);
        kernels.gemm(pool, a, w, q, added, Out::Codes(&mut with_codes[1..]), stride_out);
        with_codes
    });
    let mut real = vec![-1.5; rows * stride_out + 2];
    let a = Rows { scale: &case.row_scale, zero: &case.row_zero, ..a };
    let (activation, steps) = (case.activation, Some([&case.units[1][..], &case.units[0][..]]));
    let q = Requant { activation, steps, lo: -1e4, hi: 1e4, ..q };
    let added = Added::Real(&case.reals);
    kernels.gemm(pool, a, w, q, added, Out::Real(&mut real[1..]), stride_out);
    let tokens = [added, Added::Nothing].map(|added| {
        let mut tokens = vec![-1.5; rows * stride_out + 2];
        let q = Requant { activation, ..Requant::to_real(q.scale, q.bias) };
        kernels.gemm(pool, a, w, q, added, Out::Real(&mut tokens[1..]), stride_out);
        bits(&tokens)
    });
    let mut mean = vec![-1.0; n + 1];
    let q = Requant { activation: Activation::Linear, steps: None, lo: 0.0, hi: 200.5, ..q };
    kernels.gemm_mean(pool, a, w, q, &mut mean);
    let codes = [out, in_bounds, with_codes];
    for (i, kept) in codes.iter().flat_map(|out| out.iter().enumerate()) {
        let column = (i + stride_out - 1) % stride_out;
        assert!(column < n || *kept == 0xa5, "place {i} between the rows");
    }
    assert_eq!(mean[n], -1.0);
    let [with_reals, alone] = tokens;
    (codes, [bits(&real), with_reals, alone, bits(&mean)])
}

struct Product {
    rows: usize,
    k: usize,
    n: usize,
    stride: usize,
    a: Vec<u8>,
    row_scale: Vec<f32>,
    row_zero: Vec<u8>,
    weights: Vec<i8>,
    sums: Vec<i32>,
    units: [Vec<f32>; 2],
    activation: Activation,
    codes: Vec<u8>,
    reals: Vec<f32>,
}

impl Product {
    fn new(rows: usize, k: usize, n: usize, fill: Fill, random: &mut Random) -> Self {
        let stride = k + random.next() as usize % 2 * 3;
        let plain = fill.weights(n * k, random);
        let mut weights = vec![0; packed_len(k, n)];
        pack(k, n, &plain, &mut weights);
        let mut sums = vec![0; n.next_multiple_of(LANES)];
        row_sums(k, n, &weights, &mut sums);
        // The last row ends with the slice, so that reading past it is seen by a sanitizer.
        let a = fill.codes(1 + (rows - 1) * stride + k, random);
        let (places, gelu) = (rows * (n + 2), crate::math::GELU);
        let activation = match random.next() % 5 {
            0 => Activation::Linear,
            1 => Activation::Gated(gelu),
            2 => Activation::Gated(crate::math::QUICK_GELU),
            3 => Activation::HardSwish,
            _ => Activation::Sigmoid,
        };
        let units = units(k, n, random);
        let codes = Fill::Random.codes(places, random);
        let (row_scale, row_zero) = (random.floats(rows, 0.02), Fill::Random.codes(rows, random));
        let reals = random.floats(places, 3.0);
        Product {
            rows,
            k,
            n,
            stride,
            a,
            row_scale,
            row_zero,
            weights,
            sums,
            units,
            activation,
            codes,
            reals,
        }
    }
}

#[test]
fn what_lies_beyond_any_integer_becomes_the_nearest_code() {
    let mut random = Random::new(6);
    let scratch = vector_tables().map(|kernels| kernels.scratch(16)).max().unwrap_or(0);
    let pool = Pool::new(1, scratch).unwrap();
    for rows in [1, 4, 7, 12, 25] {
        let mut case = Product::new(rows, 16, 37, Fill::Random, &mut random);
        for (i, scale) in case.units[0].iter_mut().enumerate() {
            *scale = [1e30, -1e30, f32::MAX, 1e7, f32::NAN][i % 5];
        }
        let (codes, _) = products(&scalar::KERNELS, &pool, &case);
        assert!(codes[0].contains(&0) && codes[0].contains(&255));
        for kernels in vector_tables() {
            let (got, _) = products(kernels, &pool, &case);
            assert!(got == codes, "{} {rows}", kernels.name());
        }
    }
}

#[test]
fn products_have_the_bits_of_the_specification() {
    let mut random = Random::new(1);
    // The least scratch that a product may ask for.
    let scratch = vector_tables().map(|kernels| kernels.scratch(20_000)).max().unwrap_or(0);
    let pools = [1, 3].map(|threads| Pool::new(threads, scratch).unwrap());
    let mut cases: Vec<(usize, usize, usize, Fill)> = Vec::new();
    for fill in FILLS {
        for rows in [1, 2, 3, 4, 5, 7, 11, 12, 13, 17, 25] {
            cases.push((rows, 27, 37, fill));
        }
        for k in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 28, 31, 36, 63, 100] {
            cases.push((7, k, 33, fill));
        }
        for n in [1, 2, 8, 15, 16, 17, 24, 31, 32, 40, 48, 49, 80] {
            cases.push((5, 20, n, fill));
        }
        cases.push((3, 2100, 18, fill));
    }
    // As many rows as networks have; more than a block; so many inputs that a block has few rows.
    cases.extend([
        (50, 64, 130, Fill::Random),
        (50, 768, 40, Fill::Normal),
        (6, 34, 17, Fill::Normal),
        (23, 131, 48, Fill::Normal),
        (197, 20, 70, Fill::Random),
        (49, 132, 66, Fill::Random),
        (16, 64, 16, Fill::Random),
        (33, 200, 50, Fill::All(255, -127)),
        (700, 67, 33, Fill::Random),
        (6200, 100, 20, Fill::Random),
        (5000, 20, 160, Fill::Random),
        (41, 20_000, 20, Fill::Random),
    ]);
    for _ in 0..60 {
        let mut size = |most| 1 + random.next() as usize % most;
        cases.push((size(30), size(130), size(70), Fill::Random));
    }
    for (rows, k, n, fill) in cases {
        let case = Product::new(rows, k, n, fill, &mut random);
        let expected = products(&scalar::KERNELS, &pools[0], &case);
        for kernels in vector_tables() {
            for pool in &pools {
                let (name, threads) = (kernels.name(), pool.threads());
                let found = products(kernels, pool, &case);
                assert_eq!(found, expected, "{name} {rows} x {k} x {n} {fill:?} {threads}");
            }
        }
    }
}

#[test]
fn the_specification_multiplies() {
    // 2 rows x 3 inputs, 2 outputs; checked by hand.
    let mut weights = vec![0; packed_len(3, 2)];
    pack(3, 2, &[1, -2, 3, 4, 5, -6], &mut weights);
    let mut sums = vec![0; 16];
    row_sums(3, 2, &weights, &mut sums);
    let w = PackedMatrix { k: 3, n: 2, data: &weights, sums: &sums };
    let q = Requant::to_codes(&[0.5; 16], &[1.0; 16]);
    let codes = [10, 20, 31, 255, 0, 1];
    let a = Rows::of_codes(&codes, 3, 2);
    let (kernels, pool) = (&scalar::KERNELS, Pool::new(1, 0).unwrap());
    let mut out = [0; 4];
    kernels.gemm(&pool, a, w, q, Added::Nothing, Out::Codes(&mut out), 2);
    // Sums 63, -46, 258, 1014: 32.5 goes up, below 0, 130, above 255.
    assert_eq!(out, [33, 0, 130, 255]);
    let mut mean = [0.0; 2];
    kernels.gemm_mean(&pool, a, w, Requant { hi: 1000.0, ..q }, &mut mean);
    assert_eq!(mean, [(32.5 + 130.0) / 2.0, 508.0 / 2.0]);
    // With 10 and 1 taken off the codes the sums are 43, -76, 256, 1011; the second row counts twice.
    let a = Rows { scale: &[1.0, 2.0], zero: &[10, 1], ..a };
    let mut out = [0.0; 4];
    let q = Requant::to_real(q.scale, q.bias);
    kernels.gemm(&pool, a, w, q, Added::Real(&[0.25; 4]), Out::Real(&mut out), 2);
    assert_eq!(out, [22.75, -36.75, 257.25, 1012.25]);
}

#[test]
#[should_panic(expected = "gemm: out")]
fn an_output_that_is_too_short_is_refused() {
    let w = PackedMatrix { k: 1, n: 1, data: &[0; 64], sums: &[0; 16] };
    let q = Requant::to_codes(&[1.0; 16], &[0.0; 16]);
    let (a, pool) = (Rows::of_codes(&[1, 2], 1, 2), Pool::new(1, 0).unwrap());
    best().gemm(&pool, a, w, q, Added::Nothing, Out::Codes(&mut [0]), 1);
}

#[test]
#[should_panic(expected = "gemm: codes")]
fn sizes_that_overflow_are_refused() {
    let w = PackedMatrix { k: 1, n: 1, data: &[0; 64], sums: &[0; 16] };
    let q = Requant::to_codes(&[1.0; 16], &[0.0; 16]);
    let (a, pool) = (Rows::of_codes(&[1, 2], usize::MAX / 2, 4), Pool::new(1, 0).unwrap());
    best().gemm(&pool, a, w, q, Added::Nothing, Out::Codes(&mut [0; 4]), 1);
}
