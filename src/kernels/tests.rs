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
    let also = avx2::detect_without_vnni();
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
    let w = PackedMatrix { k, n, data: &data };
    assert_eq!(w.panels(1..2).n, 3);
    for (i, weight) in data.iter().enumerate() {
        let (in_panel, panel) = (i % w.panel_len(), i / w.panel_len());
        let (row, column) = (panel * 16 + in_panel / 4 % 16, in_panel / 64 * 4 + i % 4);
        let expected = if row < n && column < k { rows[row * k + column] } else { 0 };
        assert_eq!(*weight, expected);
    }
}

/// One product with `kernels`: codes without and with a residual, and the mean.
fn products(kernels: &Kernels, case: &Product) -> (Vec<u8>, Vec<u8>, Vec<u32>) {
    let Product { rows, k, n, lda, .. } = *case;
    // A byte more than needed on either side must stay as it was.
    let mut out = vec![0xa5; rows * n + 2];
    let w = PackedMatrix { k, n, data: &case.weights };
    let q = Requant { scale: &case.units[0], bias: &case.units[1], lo: 0.0, hi: 255.0 };
    kernels.gemm(&case.a[1..], lda, rows, w, q, None, &mut out[1..]);
    let mut with_residual = vec![0xa5; rows * n + 2];
    let residual = Residual { data: &case.residual, scale: 0.37 };
    let narrow = Requant { lo: 3.0, hi: 251.0, ..q };
    kernels.gemm(&case.a[1..], lda, rows, w, narrow, Some(residual), &mut with_residual[1..]);
    let mut mean = vec![-1.0; n + 1];
    kernels.gemm_mean(&case.a[1..], lda, rows, w, Requant { hi: 200.5, ..q }, &mut mean);
    assert_eq!([out[0], with_residual[0]], [0xa5; 2]);
    assert_eq!([out[rows * n + 1], with_residual[rows * n + 1]], [0xa5; 2]);
    assert_eq!(mean[n], -1.0);
    (out, with_residual, bits(&mean))
}

struct Product {
    rows: usize,
    k: usize,
    n: usize,
    lda: usize,
    a: Vec<u8>,
    weights: Vec<i8>,
    units: [Vec<f32>; 2],
    residual: Vec<u8>,
}

impl Product {
    fn new(rows: usize, k: usize, n: usize, fill: Fill, random: &mut Random) -> Self {
        let lda = k + random.next() as usize % 2 * 3;
        let plain = fill.weights(n * k, random);
        let mut weights = vec![0; packed_len(k, n)];
        pack(k, n, &plain, &mut weights);
        // The last row ends with the slice, so that reading past it is seen by a sanitizer.
        let a = fill.codes(1 + (rows - 1) * lda + k, random);
        let residual = Fill::Random.codes(rows * n, random);
        Product { rows, k, n, lda, a, weights, units: units(k, n, random), residual }
    }
}

#[test]
fn products_have_the_bits_of_the_specification() {
    let mut random = Random(1);
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
    for _ in 0..60 {
        let mut size = |most| 1 + random.next() as usize % most;
        cases.push((size(30), size(130), size(70), Fill::Random));
    }
    for (rows, k, n, fill) in cases {
        let case = Product::new(rows, k, n, fill, &mut random);
        let expected = products(&scalar::KERNELS, &case);
        for kernels in vector_tables() {
            let name = kernels.name();
            assert_eq!(products(kernels, &case), expected, "{name} {rows} x {k} x {n} {fill:?}");
        }
    }
}

#[test]
fn the_specification_multiplies() {
    // 2 rows x 3 inputs, 2 outputs; checked by hand.
    let mut weights = vec![0; packed_len(3, 2)];
    pack(3, 2, &[1, -2, 3, 4, 5, -6], &mut weights);
    let w = PackedMatrix { k: 3, n: 2, data: &weights };
    let q = Requant { scale: &[0.5; 16], bias: &[1.0; 16], lo: 0.0, hi: 255.0 };
    let a = [10, 20, 31, 255, 0, 1];
    let mut out = [0; 4];
    scalar::KERNELS.gemm(&a, 3, 2, w, q, None, &mut out);
    // Sums 63, -46, 258, 1014: 32.5 to even, below 0, 130, above 255.
    assert_eq!(out, [32, 0, 130, 255]);
    let mut mean = [0.0; 2];
    scalar::KERNELS.gemm_mean(&a, 3, 2, w, Requant { hi: 1000.0, ..q }, &mut mean);
    assert_eq!(mean, [(32.5 + 130.0) / 2.0, 508.0 / 2.0]);
}

#[test]
fn depthwise_has_the_bits_of_the_specification() {
    let mut random = Random(2);
    for kernel in [1, 2, 3, 5, 6, 7] {
        for stride in [1, 2, 3, 50] {
            for (channels, width_in) in
                [(1, 1), (8, 7), (16, 14), (17, 9), (24, 56), (31, 5), (40, 28), (56, 95), (7, 3)]
            {
                for fill in [Fill::Random, Fill::All(255, 127)] {
                    depthwise_case(kernel, stride, channels, width_in, fill, &mut random);
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
    let pixels = fill.codes(1 + width_in * channels, random);
    let pixels = &pixels[1..];
    let pad = Fill::Random.codes(channels, random);
    let pad_left = (kernel - 1) / 2;
    let d = Depthwise {
        channels,
        kernel,
        stride,
        pad_left,
        width_in,
        width_out: width_in.div_ceil(stride),
        weights: &weights,
        requant: Requant { scale: &scale, bias: &bias, lo: 0.0, hi: 255.0 },
        pad: &pad,
    };
    // Rows outside of the image above, below, on both sides and nowhere.
    for outside in [0..0, 0..pad_left, kernel - pad_left..kernel, 0..kernel] {
        let rows: Vec<&[u8]> =
            (0..kernel).map(|y| if outside.contains(&y) { &[][..] } else { pixels }).collect();
        let mut expected = vec![0xa5; d.width_out * channels + 1];
        scalar::KERNELS.depthwise(&d, &rows, &mut expected);
        for kernels in vector_tables() {
            let mut out = vec![0xa5; d.width_out * channels + 1];
            kernels.depthwise(&d, &rows, &mut out);
            let name = kernels.name();
            assert_eq!(out, expected, "{name} {kernel} / {stride} {channels} x {width_in}");
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
        pad_left: 1,
        width_in: 3,
        width_out: 2,
        weights: &weights,
        requant: Requant { scale: &[0.5; 16], bias: &[0.0; 16], lo: 0.0, hi: 255.0 },
        pad: &[10],
    };
    let row = &[1, 2, 3][..];
    let mut out = [0; 2];
    scalar::KERNELS.depthwise(&d, &[row, row, row], &mut out);
    // Columns weigh 12, 15, 18: 10 1 2 gives 171, 2 3 10 gives 249.
    assert_eq!(out, [86, 124]);
    scalar::KERNELS.depthwise(&d, &[&[], row, row], &mut out);
    // Without the first row 11, 13, 15, and 10 times 6: 213 and 271.
    assert_eq!(out, [106, 136]);
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
    let w = PackedMatrix { k: 1, n: 1, data: &[0; 64] };
    let q = Requant { scale: &[1.0; 16], bias: &[0.0; 16], lo: 0.0, hi: 255.0 };
    best().gemm(&[1, 2], 1, 2, w, q, None, &mut [0]);
}

#[test]
#[should_panic(expected = "gemm: a")]
fn sizes_that_overflow_are_refused() {
    let w = PackedMatrix { k: 1, n: 1, data: &[0; 64] };
    let q = Requant { scale: &[1.0; 16], bias: &[0.0; 16], lo: 0.0, hi: 255.0 };
    best().gemm(&[1, 2], usize::MAX / 2, 4, w, q, None, &mut [0; 4]);
}
