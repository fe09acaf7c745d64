//! Chroma upsampling and colour conversion of libjpeg (`jdsample.c`, `jdcolor.c`).

use super::Component;

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColorModel {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// Writes row `y` of a component at full size into `out` (at least `width * across` samples).
/// `across` and `down` say how much smaller the component is.
pub(super) fn upsample(
    component: &Component,
    y: usize,
    (across, down): (usize, usize),
    out: &mut [u8],
) {
    let row = y / down;
    let near = component.row(row);
    let wide = near.len() > 2;
    match (across, down) {
        (1, 1) => out[..near.len()].copy_from_slice(near),
        (2, 1) if wide => triangle(near.len(), out, |x| u32::from(near[x]), 2, (1, 2)),
        (2, 2) if wide => {
            let far = component.row(neighbour(component, row, y % 2));
            let sum = |x: usize| 3 * u32::from(near[x]) + u32::from(far[x]);
            triangle(near.len(), out, sum, 4, (8, 7));
        }
        (1, 2) => {
            let far = component.row(neighbour(component, row, y % 2));
            let bias = 1 + (y % 2) as u32;
            for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
                *out = ((3 * u32::from(near) + u32::from(far) + bias) >> 2) as u8;
            }
        }
        _ => {
            for (out, &sample) in out.chunks_mut(across).zip(near) {
                out.fill(sample);
            }
        }
    }
}

/// The row that lies nearer to the upper (`phase` 0) or lower half of a row; at the border itself.
fn neighbour(component: &Component, row: usize, phase: usize) -> usize {
    if phase == 0 { row.saturating_sub(1) } else { (row + 1).min(component.height - 1) }
}

/// Doubles a row: each sample is 3/4 the nearer and 1/4 the farther one. `bits` is the fixed point
/// of the result, `bias` the rounding of the left and of the right half.
fn triangle(
    len: usize,
    out: &mut [u8],
    sample: impl Fn(usize) -> u32,
    bits: u32,
    (left, right): (u32, u32),
) {
    // At both ends the sample stands for its missing neighbour.
    let mut before = sample(0);
    let mut here = before;
    for (x, out) in out.as_chunks_mut::<2>().0[..len].iter_mut().enumerate() {
        let after = if x + 1 < len { sample(x + 1) } else { here };
        out[0] = ((3 * here + before + left) >> bits) as u8;
        out[1] = ((3 * here + after + right) >> bits) as u8;
        (before, here) = (here, after);
    }
}

/// Converts full-size rows of the components to RGB as libjpeg and then PIL do.
pub(super) fn convert(model: ColorModel, rows: [&[u8]; 4], out: &mut [u8]) {
    let out = out.as_chunks_mut::<3>().0;
    let [a, b, c, d] = rows;
    match model {
        ColorModel::Grey => {
            for (out, &grey) in out.iter_mut().zip(a) {
                *out = [grey; 3];
            }
        }
        ColorModel::Rgb => {
            for (((out, &r), &g), &b) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = [r, g, b];
            }
        }
        ColorModel::YCbCr => {
            for (((out, &y), &cb), &cr) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = rgb(y, cb, cr);
            }
        }
        // Inverted by Adobe's custom, which PIL assumes of every one: 255 is no ink.
        ColorModel::Cmyk => {
            for ((((out, &c), &m), &y), &k) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *out = [c, m, y].map(|ink| without_ink(255 - ink, k));
            }
        }
        ColorModel::Ycck => {
            for ((((out, &y), &cb), &cr), &k) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *out = rgb(y, cb, cr).map(|ink| without_ink(ink, k));
            }
        }
    }
}

fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    const HALF: i32 = 1 << 15;
    [
        y + ((91_881 * cr + HALF) >> 16),
        y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16),
        y + ((116_130 * cb + HALF) >> 16),
    ]
    .map(|value| value.clamp(0, 255) as u8)
}

/// White less `ink`, darkened to `light`, with PIL's rounding.
fn without_ink(ink: u8, light: u8) -> u8 {
    let product = u32::from(ink) * u32::from(light) + 128;
    light - (((product >> 8) + product) >> 8) as u8
}
