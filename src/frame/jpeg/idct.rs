//! The inverse DCT of libjpeg (`jidctint.c`, "islow"): 13-bit fixed point, rounded between the
//! passes to 2 fractional bits. Its exact roundings are what makes the pixels equal to PIL's.

use core::array::from_fn;

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

/// Eight columns (or rows) side by side.
type Lanes = [i32; 8];

fn add(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| a[i].wrapping_add(b[i]))
}

fn sub(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| a[i].wrapping_sub(b[i]))
}

fn mul(a: Lanes, factor: i32) -> Lanes {
    from_fn(|i| a[i].wrapping_mul(factor))
}

fn round_shift(a: Lanes, bits: u32) -> Lanes {
    from_fn(|i| a[i].wrapping_add(1 << (bits - 1)) >> bits)
}

/// One pass over eight lanes (Loeffler, Ligtenberg and Moschytz, 12 multiplications).
fn pass(x: [Lanes; 8], shift: u32) -> [Lanes; 8] {
    let z1 = mul(add(x[2], x[6]), 4433);
    let even2 = add(z1, mul(x[6], -15137));
    let even3 = add(z1, mul(x[2], 6270));
    let even0 = mul(add(x[0], x[4]), 1 << CONST_BITS);
    let even1 = mul(sub(x[0], x[4]), 1 << CONST_BITS);
    let sums = [add(even0, even3), add(even1, even2), sub(even1, even2), sub(even0, even3)];

    let z5 = mul(add(add(x[7], x[3]), add(x[5], x[1])), 9633);
    let z1 = mul(add(x[7], x[1]), -7373);
    let z2 = mul(add(x[5], x[3]), -20995);
    let z3 = add(mul(add(x[7], x[3]), -16069), z5);
    let z4 = add(mul(add(x[5], x[1]), -3196), z5);
    let odd = [
        add(mul(x[1], 12299), add(z1, z4)),
        add(mul(x[3], 25172), add(z2, z3)),
        add(mul(x[5], 16819), add(z2, z4)),
        add(mul(x[7], 2446), add(z1, z3)),
    ];
    from_fn(|i| {
        let value = if i < 4 { add(sums[i], odd[i]) } else { sub(sums[7 - i], odd[7 - i]) };
        round_shift(value, shift)
    })
}

fn transpose(x: [Lanes; 8]) -> [Lanes; 8] {
    from_fn(|row| from_fn(|column| x[column][row]))
}

/// Dequantizes one block (natural order) and writes its 8x8 samples to `out`, rows `stride` apart.
pub(super) fn block(coefficients: &[i16; 64], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let value = |i: usize| i32::from(coefficients[i]).wrapping_mul(i32::from(quant[i]));
    let rows = if coefficients[1..].iter().all(|&c| c == 0) {
        // The same roundings on a flat block: exact in the first pass.
        let flat = round_shift([value(0).wrapping_mul(1 << PASS1_BITS); 8], PASS1_BITS + 3);
        [flat; 8]
    } else {
        let columns = from_fn(|row| from_fn(|column| value(row * 8 + column)));
        let rows = pass(columns, CONST_BITS - PASS1_BITS);
        transpose(pass(transpose(rows), CONST_BITS + PASS1_BITS + 3))
    };
    for (row, out) in rows.iter().zip(out.chunks_mut(stride)) {
        for (value, out) in row.iter().zip(out) {
            *out = value.wrapping_add(128).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_definition_everywhere() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i32
        };
        for round in 0..200 {
            let mut coefficients = [0i16; 64];
            for _ in 0..=round % 40 {
                coefficients[(random() % 64) as usize] = (random() % 60 - 30) as i16;
            }
            let mut out = [0; 64];
            block(&coefficients, &[3; 64], &mut out, 8);
            for (i, &got) in out.iter().enumerate() {
                let mut sum = 0.0;
                for (k, &c) in coefficients.iter().enumerate() {
                    let cosine = |n: usize, f: usize| {
                        let scale = if f == 0 { 0.5f64.sqrt() } else { 1.0 };
                        scale * ((2 * n + 1) as f64 * f as f64 * core::f64::consts::PI / 16.0).cos()
                    };
                    sum += f64::from(c) * 3.0 / 4.0 * cosine(i % 8, k % 8) * cosine(i / 8, k / 8);
                }
                let want = (sum + 128.0).clamp(0.0, 255.0);
                assert!((f64::from(got) - want).abs() < 0.8, "{got} for {want}");
            }
        }
    }

    #[test]
    fn the_flat_way_is_the_long_way() {
        for dc in -2048..2048 {
            let mut coefficients = [0; 64];
            coefficients[0] = dc;
            let mut out = [0; 64];
            block(&coefficients, &[1; 64], &mut out, 8);
            let mut columns = [[0; 8]; 8];
            columns[0][0] = i32::from(dc);
            let rows = transpose(pass(columns, 11));
            assert_eq!(out[9], (pass(rows, 18)[1][1] + 128).clamp(0, 255) as u8);
        }
    }

    #[test]
    fn damaged_coefficients_do_not_overflow() {
        block(&[i16::MIN; 64], &[u16::MAX; 64], &mut [0; 64], 8);
    }
}
