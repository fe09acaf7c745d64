//! Every instruction set against the scalar specification, bit for bit.

extern crate std;

use std::vec::Vec;
use std::{println, vec};

use super::*;

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// In -1..1.
    fn float(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.float() * scale).collect()
    }
}

/// How test data are filled: at random, or with an extreme value all over.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Random,
    /// Activation, weight.
    All(u8, i8),
}

const FILLS: [Fill; 5] =
    [Fill::Random, Fill::All(255, 127), Fill::All(255, -127), Fill::All(0, 127), Fill::All(128, 1)];

impl Fill {
    fn codes(self, len: usize, random: &mut Random) -> Vec<u8> {
        (0..len)
            .map(|_| match self {
                Fill::Random => random.next() as u8,
                Fill::All(code, _) => code,
            })
            .collect()
    }

    fn weights(self, len: usize, random: &mut Random) -> Vec<i8> {
        (0..len)
            .map(|_| match self {
                Fill::Random => (random.next() % 255) as i32 as i8,
                Fill::All(_, weight) => weight,
            })
            .map(|w| w.max(-127))
            .collect()
    }
}

/// Every table that the processor can run, the specification left out.
fn vector_tables() -> impl Iterator<Item = &'static Kernels> {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    let also = avx512::detect_without_vbmi();
    #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
    let also = None;
    available().filter(|k| k.isa() != Isa::Scalar).chain(also)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Scales that bring sums of `k` products near 0..=255, with both clamps reached.
fn units(k: usize, n: usize, random: &mut Random) -> [Vec<f32>; 2] {
    let padded = n.next_multiple_of(LANES);
    let scale = 0.02 / (k as f32).sqrt();
    let scale = (0..padded).map(|_| (random.float() + 1.5) * scale).collect();
    [scale, (0..padded).map(|_| random.float() * 90.0 + 100.0).collect()]
}

#[test]
fn the_processor_is_the_one_meant() {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    let features = std::format!(
        "avx2 {} fma {} avxvnni {} avx512vnni {}",
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("fma"),
        std::is_x86_feature_detected!("avxvnni"),
        std::is_x86_feature_detected!("avx512vnni")
    );
    #[cfg(all(feature = "std", target_arch = "aarch64"))]
    let features = std::format!(
        "dotprod {} i8mm {}",
        std::arch::is_aarch64_feature_detected!("dotprod"),
        std::arch::is_aarch64_feature_detected!("i8mm")
    );
    #[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let features = "not asked for";
    let names: Vec<_> = available().map(Kernels::name).collect();
    println!("{}: {features}; kernels {names:?}", std::env::consts::ARCH);
    assert_eq!(names[0], "scalar");
    // In no_std tests the variable is read here and not by `best`.
    let forced = std::env::var(FORCE).ok().filter(|_| cfg!(feature = "std"));
    assert_eq!(best().name(), forced.as_deref().unwrap_or(names.last().unwrap()));
    for isa in Isa::ALL {
        assert_eq!(Isa::parse(isa.name()), Some(isa));
    }
    assert_eq!(Isa::parse("sse"), None);
}

#[test]
fn packing_puts_every_weight_where_panels_have_it() {
    let (k, n) = (6, 19);
    let rows: Vec<i8> = (0..k * n).map(|i| i as i8).collect();
    let mut data = vec![55; packed_len(k, n)];
    pack(k, n, &rows, &mut data);
    let mut sums = vec![0; n.next_multiple_of(LANES)];
    row_sums(k, n, &data, &mut sums);
    let expected: Vec<i32> =
        rows.chunks_exact(k).map(|row| row.iter().map(|w| i32::from(*w)).sum()).collect();
    assert_eq!(sums[..n], expected);
    let w = PackedMatrix { k, n, data: &data, sums: &sums };
    assert_eq!(w.only(1..2).n, 3);
    for (i, weight) in data.iter().enumerate() {
        let (in_panel, panel) = (i % w.panel_len(), i / w.panel_len());
        let (row, column) = (panel * 16 + in_panel / 4 % 16, in_panel / 64 * 4 + i % 4);
        let expected = if row < n && column < k { rows[row * k + column] } else { 0 };
        assert_eq!(*weight, expected);
    }
}

/// The same product in every form: codes; codes with codes added; real from rows with units of their
/// own, activation and steps, with reals added; the mean.
fn products(kernels: &Kernels, pool: &Pool, case: &Product) -> (Vec<u8>, Vec<u8>, [Vec<u32>; 2]) {
    let Product { rows, k, n, stride, .. } = *case;
    // Places before, between and after the rows must stay as they were.
    let stride_out = n + 2;
    let w = PackedMatrix { k, n, data: &case.weights, sums: &case.sums };
    let q = Requant::to_codes(&case.units[0], &case.units[1]);
    let a = Rows::of_codes(&case.a[1..], stride, rows);
    let mut out = vec![0xa5; rows * stride_out + 2];
    kernels.gemm(pool, a, w, q, Added::Nothing, Out::Codes(&mut out[1..]), stride_out);
    let mut with_codes = vec![0xa5; rows * stride_out + 2];
    let added = Added::Codes(&case.codes, 0.37);
    let narrow = Requant { lo: 3.0, hi: 251.0, ..q };
    kernels.gemm(pool, a, w, narrow, added, Out::Codes(&mut with_codes[1..]), stride_out);
    let mut real = vec![-1.5; rows * stride_out + 2];
    let a = Rows { scale: &case.row_scale, zero: &case.row_zero, ..a };
    let (activation, steps) = (case.activation, Some([&case.units[1][..], &case.units[0][..]]));
    let q = Requant { activation, steps, lo: -1e4, hi: 1e4, ..q };
    let added = Added::Real(&case.reals);
    kernels.gemm(pool, a, w, q, added, Out::Real(&mut real[1..]), stride_out);
    let mut mean = vec![-1.0; n + 1];
    let q = Requant { activation: Activation::Linear, steps: None, lo: 0.0, hi: 200.5, ..q };
    kernels.gemm_mean(pool, a, w, q, &mut mean);
    for (i, kept) in [&out, &with_codes].into_iter().flat_map(|out| out.iter().enumerate()) {
        let column = (i + stride_out - 1) % stride_out;
        assert!(column < n || *kept == 0xa5, "place {i} between the rows");
    }
    assert_eq!(mean[n], -1.0);
    (out, with_codes, [bits(&real), bits(&mean)])
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
fn products_have_the_bits_of_the_specification() {
    let mut random = Random(1);
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
    // Sums 63, -46, 258, 1014: 32.5 to even, below 0, 130, above 255.
    assert_eq!(out, [32, 0, 130, 255]);
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
fn depthwise_has_the_bits_of_the_specification() {
    let mut random = Random(2);
    let pools = [1, 2].map(|threads| Pool::new(threads, 0).unwrap());
    for kernel in [1, 2, 3, 5, 6, 7] {
        for stride in [1, 2, 3, 50] {
            for (channels, width_in) in
                [(1, 1), (8, 7), (16, 14), (17, 9), (24, 56), (31, 5), (40, 28), (56, 95), (7, 3)]
            {
                for fill in [Fill::Random, Fill::All(255, 127)] {
                    depthwise_case(kernel, stride, channels, width_in, fill, &pools, &mut random);
                }
            }
        }
    }
}

fn depthwise_case(
    kernel: usize,
    stride: usize,
    channels: usize,
    width_in: usize,
    fill: Fill,
    pools: &[Pool; 2],
    random: &mut Random,
) {
    let padded = channels.next_multiple_of(LANES);
    let mut weights = vec![0; (kernel * kernel).div_ceil(2) * padded * 2];
    for tap in 0..kernel * kernel {
        for c in 0..channels {
            weights[(tap / 2 * padded + c) * 2 + tap % 2] = match fill {
                Fill::Random => random.next() as i16,
                Fill::All(..) => i16::MIN,
            };
        }
    }
    let [mut scale, bias] = units(kernel * kernel, channels, random);
    scale.iter_mut().for_each(|s| *s /= 256.0);
    let height_in = 1 + random.next() as usize % 5;
    let image = fill.codes(1 + height_in * width_in * channels, random);
    let pad = Fill::Random.codes(channels, random);
    let before = (kernel - 1) / 2;
    let mut d = Depthwise {
        channels,
        kernel,
        stride,
        pad_top: before,
        pad_left: before,
        height_in,
        width_in,
        height_out: height_in.div_ceil(stride),
        width_out: width_in.div_ceil(stride),
        stride_out: channels,
        weights: &weights,
        requant: Requant::to_codes(&scale, &bias),
        pad: &pad,
    };
    let steps = Some([&bias[..], &bias[..]]);
    for gated in [false, true] {
        if gated {
            d.stride_out = 2 * channels + 1;
            d.requant = Requant { activation: Activation::HardSwish, steps, ..d.requant };
        }
        let len = d.height_out * d.width_out * d.stride_out + 1;
        let mut expected = vec![0xa5; len];
        scalar::KERNELS.depthwise(&pools[0], &d, &image[1..], &mut expected);
        for kernels in vector_tables() {
            for pool in pools {
                let mut out = vec![0xa5; len];
                kernels.depthwise(pool, &d, &image[1..], &mut out);
                let name = kernels.name();
                assert_eq!(out, expected, "{name} {kernel} / {stride} {channels} x {width_in}");
            }
        }
    }
}

#[test]
fn the_specification_convolves() {
    // Side 3, one channel, taps 1 to 9 over three equal rows 1 2 3; the padding is 10.
    let mut weights = vec![0; 5 * LANES * 2];
    for tap in 0..9 {
        weights[tap / 2 * LANES * 2 + tap % 2] = tap as i16 + 1;
    }
    let d = Depthwise {
        channels: 1,
        kernel: 3,
        stride: 2,
        pad_top: 1,
        pad_left: 1,
        height_in: 3,
        width_in: 3,
        height_out: 2,
        width_out: 2,
        stride_out: 1,
        weights: &weights,
        requant: Requant::to_codes(&[0.5; 16], &[0.0; 16]),
        pad: &[10],
    };
    let pool = Pool::new(1, 0).unwrap();
    let mut out = [0; 4];
    scalar::KERNELS.depthwise(&pool, &d, &[1, 2, 3, 1, 2, 3, 1, 2, 3], &mut out);
    // Rows of padding, 1 2 3, 1 2 3, then 1 2 3, 1 2 3, padding; columns 10 1 2, then 2 3 10.
    // Taps of the columns weigh 12, 15, 18 in all, 1, 2, 3 in the first row, 7, 8, 9 in the last.
    let upper = [10 * 12 + 15 + 2 * 18 + 9 * 2 + 8 * 3, 2 * 12 + 3 * 15 + 10 * 18 + 8 + 7 * 2];
    let lower = [10 * 12 + 15 + 2 * 18 + 9 * 8 + 8 * 9, 2 * 12 + 3 * 15 + 10 * 18 + 8 * 7 + 7 * 8];
    let half = |sum: i32| crate::math::round_even(sum as f32 * 0.5).min(255.0) as u8;
    assert_eq!(out, [upper[0], upper[1], lower[0], lower[1]].map(half));
    assert_eq!(out[0], 106);
}

/// Rows of real values with the shapes and extremes that the row kernels meet.
fn real_rows(random: &mut Random) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    for len in [1, 3, 4, 15, 16, 17, 31, 33, 64, 100, 197, 768, 773] {
        rows.push(random.floats(len, 3.0));
        rows.push(vec![-2.5; len]);
        rows.push(vec![0.0; len]);
        let mut outlier = random.floats(len, 1.0);
        outlier[len / 2] = 80.0;
        rows.push(outlier);
        rows.push(random.floats(len, 1e-34));
    }
    rows
}

#[test]
fn rows_of_reals_have_the_bits_of_the_specification() {
    let mut random = Random(5);
    for row in real_rows(&mut random) {
        let len = row.len();
        let padded = len.next_multiple_of(4) + 4;
        let (gain, shift) = (random.floats(len, 2.0), random.floats(len, 0.5));
        for kernels in vector_tables() {
            let name = kernels.name();
            for (epsilon, factors) in [(None, &[][..]), (Some(1e-5), &[]), (Some(1e-6), &gain)] {
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
    let mut random = Random(6);
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
    let mut random = Random(7);
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
    let mut random = Random(3);
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
fn f16_rows_are_widened_exactly() {
    // 1, the smallest subnormal, the largest number.
    let mut out = [0.0; 3];
    scalar::KERNELS.matvec_f16(&[0x3c00, 0x0001, 0x7bff], &[1.0], &mut out);
    assert_eq!(out, [1.0, 1.0 / 16_777_216.0, 65504.0]);
}

/// Cosines and affinities of one panel, as bits.
fn affinities(kernels: &Kernels, panel: &[i8], q: &Query, units: &[Vec<f32>; 2]) -> [Vec<u32>; 2] {
    let (mut cos, mut aff) = ([0.0; LANES], [0.0; LANES]);
    let [scale, bias] = units.each_ref().map(|u| u[..].first_chunk().unwrap());
    kernels.affinity(panel, q, scale, bias, &mut cos, &mut aff);
    [bits(&cos), bits(&aff)]
}

#[test]
fn affinities_have_the_bits_of_the_specification() {
    let mut random = Random(4);
    for fill in [Fill::Random, Fill::All(0, 127), Fill::All(0, -127)] {
        for k in [0, 4, 8, 12, 16, 20, 28, 32, 36, 64, 132, 512, 1280] {
            for beta in [0.0, 1.0, 5.5, 60.0] {
                let panel = fill.weights(1 + k * LANES, &mut random);
                let codes = fill.weights(1 + k, &mut random);
                let scale = 1.0 / (1.0 + k as f32 * 4000.0);
                let q = Query { codes: &codes[1..], scale, base: 0.1, beta };
                let units = [random.floats(16, 0.5), random.floats(16, 0.3)];
                let expected = affinities(&scalar::KERNELS, &panel[1..], &q, &units);
                for kernels in vector_tables() {
                    let got = affinities(kernels, &panel[1..], &q, &units);
                    assert_eq!(got, expected, "{} {k} {beta} {fill:?}", kernels.name());
                }
            }
        }
    }
}

#[test]
fn exp_has_one_result_over_its_whole_range() {
    // cos is the key's bias here, so a sharpness of 1 makes the affinity exp(bias - 1).
    let q = Query { codes: &[], scale: 0.0, base: 0.0, beta: 1.0 };
    let mut x = -100.0;
    while x < 100.0 {
        let bias: Vec<f32> = (0..16).map(|i| x + i as f32 * 0.0011).collect();
        let units = [vec![0.0; 16], bias];
        let expected = affinities(&scalar::KERNELS, &[], &q, &units);
        for (aff, bias) in expected[1].iter().zip(&units[1]) {
            assert_eq!(*aff, crate::math::exp(bias - 1.0).to_bits());
        }
        for kernels in vector_tables() {
            assert_eq!(affinities(kernels, &[], &q, &units), expected, "{} {x}", kernels.name());
        }
        x += 0.017;
    }
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
