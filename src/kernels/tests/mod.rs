//! Every instruction set against the scalar specification, bit for bit.

extern crate std;

mod affinity;
mod depthwise;
mod products;
mod rows;

use std::vec::Vec;
use std::{println, vec};

use super::*;
use crate::random::Random;

/// Test data.
trait Draw {
    fn next(&mut self) -> u32;

    /// In -1..1.
    fn float(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    /// About normal, with this deviation.
    fn normal(&mut self, deviation: i32) -> i32 {
        let sum: i32 = (0..12).map(|_| (self.next() >> 16) as i32).sum();
        ((sum - 6 * (1 << 16)) * deviation) >> 16
    }

    fn floats(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.float() * scale).collect()
    }
}

impl Draw for Random {
    fn next(&mut self) -> u32 {
        (self.draw() >> 32) as u32
    }
}

/// How test data are filled: at random, or with an extreme value all over.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Random,
    /// As networks have them: most near the middle, few pairs of products beyond 16 bits.
    Normal,
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
                Fill::Normal => (128 + random.normal(38)).clamp(0, 255) as u8,
                Fill::All(code, _) => code,
            })
            .collect()
    }

    fn weights(self, len: usize, random: &mut Random) -> Vec<i8> {
        (0..len)
            .map(|_| match self {
                Fill::Random => (random.next() % 255) as i32 as i8,
                Fill::Normal => random.normal(38).clamp(-127, 127) as i8,
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
