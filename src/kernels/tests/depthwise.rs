use std::vec;

use super::*;

#[test]
fn depthwise_has_the_bits_of_the_specification() {
    let mut random = Random::new(2);
    let pools = [1, 2].map(|threads| Pool::new(threads, 0).unwrap());
    for kernel in [1, 2, 3, 5, 6, 7] {
        for stride in [1, 2, 3, 50] {
            for (channels, width_in) in
                [(1, 1), (8, 7), (16, 14), (17, 9), (24, 56), (31, 5), (40, 28), (56, 95), (7, 3)]
            {
                for fill in [Fill::Random, Fill::All(255, 127)] {
                    for are_bytes in [false, true] {
                        let sizes = [kernel, stride, channels, width_in];
                        depthwise_case(sizes, fill, are_bytes, &pools, &mut random);
                    }
                }
            }
        }
    }
}

fn depthwise_case(
    [kernel, stride, channels, width_in]: [usize; 4],
    fill: Fill,
    are_bytes: bool,
    pools: &[Pool; 2],
    random: &mut Random,
) {
    let padded = channels.next_multiple_of(LANES);
    let mut weights = vec![0; (kernel * kernel).div_ceil(2) * padded * 2];
    for tap in 0..kernel * kernel {
        for c in 0..channels {
            weights[(tap / 2 * padded + c) * 2 + tap % 2] = match fill {
                Fill::Random | Fill::Normal if are_bytes => random.next() as i8 as i16,
                Fill::Random | Fill::Normal => random.next() as i16,
                Fill::All(..) if are_bytes => i16::from(i8::MIN),
                Fill::All(..) => i16::MIN,
            };
        }
    }
    let [mut scale, bias] = units(kernel * kernel, channels, random);
    if !are_bytes {
        scale.iter_mut().for_each(|s| *s /= 256.0);
    }
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
        are_bytes,
        requant: Requant::to_codes(&scale, &bias),
        pad: &pad,
    };
    let steps = Some([&bias[..], &bias[..]]);
    let mut great = scale.clone();
    for (i, scale) in great.iter_mut().enumerate() {
        *scale = [*scale, -1e9, f32::INFINITY, 1e30, f32::NAN][i % 5];
    }
    for case in 0..3 {
        if case == 1 {
            // Values that no integer holds.
            d.requant = Requant::to_codes(&great, &bias);
        } else if case == 2 {
            d.stride_out = 2 * channels + 1;
            let q = Requant::to_codes(&scale, &bias);
            d.requant = Requant { activation: Activation::HardSwish, steps, ..q };
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
        are_bytes: true,
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
    let half = |sum: i32| ((sum + 1) / 2).min(255) as u8;
    assert_eq!(out, [upper[0], upper[1], lower[0], lower[1]].map(half));
    assert_eq!(out[0], 107);
}
