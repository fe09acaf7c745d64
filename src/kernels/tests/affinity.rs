use std::vec;
use std::vec::Vec;

use super::*;

/// Cosines and affinities of one panel, as bits.
fn affinities(kernels: &Kernels, panel: &[i8], q: &Query, units: &[Vec<f32>; 2]) -> [Vec<u32>; 2] {
    let (mut cos, mut aff) = ([0.0; LANES], [0.0; LANES]);
    let [scale, bias] = units.each_ref().map(|u| u[..].first_chunk().unwrap());
    kernels.affinity(panel, q, scale, bias, &mut cos, &mut aff);
    [bits(&cos), bits(&aff)]
}

#[test]
fn affinities_have_the_bits_of_the_specification() {
    let mut random = Random::new(4);
    for fill in [Fill::Random, Fill::All(0, 127), Fill::All(0, -127)] {
        for k in [0, 4, 8, 12, 16, 20, 28, 32, 36, 64, 132, 512, 1280] {
            for beta in [0.0, 1.0, 5.5, 60.0] {
                let panel = fill.weights(1 + k * LANES, &mut random);
                let codes = fill.weights(1 + k, &mut random);
                let scale = 1.0 / (1.0 + k as f32 * 4000.0);
                let units = [random.floats(16, 0.5), random.floats(16, 0.3)];
                for keys in [panel.len(), usize::MAX] {
                    let q = Query { codes: &codes[1..], scale, base: 0.1, beta, keys };
                    let expected = affinities(&scalar::KERNELS, &panel[1..], &q, &units);
                    for kernels in vector_tables() {
                        let got = affinities(kernels, &panel[1..], &q, &units);
                        assert_eq!(got, expected, "{} {k} {beta} {fill:?}", kernels.name());
                    }
                }
            }
        }
    }
}

#[test]
fn exp_has_one_result_over_its_whole_range() {
    // cos is the key's bias here, so a sharpness of 1 makes the affinity exp(bias - 1).
    let q = Query { codes: &[], scale: 0.0, base: 0.0, beta: 1.0, keys: 0 };
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
