//! Y'CbCr to RGB with the BT.601 matrix in 16-bit fixed point, chroma repeated (not interpolated).
//!
//! Written here because conversion libraries round differently on each instruction set, and a
//! frame has to give the same bits on every processor.

/// Which values stand for black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Y from 16 to 235, what cameras and video files use.
    Limited,
    /// Y from 0 to 255.
    Full,
}

/// Fixed-point factors: of Y, of Cr in red, of Cb and Cr in green, of Cb in blue.
struct Matrix {
    black: i32,
    y: i32,
    red_cr: i32,
    green_cb: i32,
    green_cr: i32,
    blue_cb: i32,
}

impl Range {
    const fn matrix(self) -> Matrix {
        match self {
            Self::Limited => Matrix {
                black: 16,
                y: 76_309,
                red_cr: 104_597,
                green_cb: -25_675,
                green_cr: -53_279,
                blue_cb: 132_201,
            },
            Self::Full => Matrix {
                black: 0,
                y: 65_536,
                red_cr: 91_881,
                green_cb: -22_554,
                green_cr: -46_802,
                blue_cb: 116_130,
            },
        }
    }
}

impl Matrix {
    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let y = (i32::from(y) - self.black) * self.y + (1 << 15);
        let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
        [y + cr * self.red_cr, y + cb * self.green_cb + cr * self.green_cr, y + cb * self.blue_cb]
            .map(|value| (value >> 16).clamp(0, 255) as u8)
    }
}

/// How many luma samples share a chroma sample, across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chroma {
    /// Grey only.
    None,
    /// 4:2:0, 4:2:2, 4:4:4, 4:1:1, ...
    Shared(usize, usize),
}

/// Bytes of the planes of one frame; odd sides round the chroma planes up.
pub(super) fn planar_len(width: usize, height: usize, chroma: Chroma) -> usize {
    let planes = match chroma {
        Chroma::None => 0,
        Chroma::Shared(across, down) => 2 * width.div_ceil(across) * height.div_ceil(down),
    };
    width * height + planes
}

/// Converts the planes Y, Cb, Cr, whose luma rows begin `stride` bytes apart, to packed RGB.
///
/// There are [`planar_len`] bytes of them, with `stride` for the width.
pub(super) fn planar(
    planes: &[u8],
    width: usize,
    stride: usize,
    chroma: Chroma,
    range: Range,
    out: &mut [u8],
) {
    let matrix = range.matrix();
    let height = out.len() / 3 / width;
    let (luma, colors) = planes.split_at(stride * height);
    let rows = luma.chunks_exact(stride).zip(out.chunks_exact_mut(width * 3));
    for (y, (luma, out)) in rows.enumerate() {
        let luma = &luma[..width];
        let out = out.as_chunks_mut::<3>().0;
        match chroma {
            Chroma::None => {
                for (&y, out) in luma.iter().zip(out) {
                    *out = matrix.rgb(y, 128, 128);
                }
            }
            Chroma::Shared(across, down) => {
                let (cb, cr) = colors.split_at(colors.len() / 2);
                let stride = stride.div_ceil(across);
                let row = y / down * stride..(y / down + 1) * stride;
                let colors = cb[row.clone()].iter().zip(&cr[row]);
                let groups = luma.chunks(across).zip(out.chunks_mut(across));
                for ((luma, out), (&cb, &cr)) in groups.zip(colors) {
                    for (&y, out) in luma.iter().zip(out) {
                        *out = matrix.rgb(y, cb, cr);
                    }
                }
            }
        }
    }
}

/// Bytes of one NV12 frame: a plane of Y, then rows of Cb Cr pairs that two rows share.
pub(super) fn nv12_len(stride: usize, height: usize) -> usize {
    stride * height + stride.next_multiple_of(2) * height.div_ceil(2)
}

/// Converts a plane of Y and one of Cb Cr pairs, [`nv12_len`] bytes, to packed RGB.
pub(super) fn nv12(planes: &[u8], width: usize, stride: usize, range: Range, out: &mut [u8]) {
    let matrix = range.matrix();
    let height = out.len() / 3 / width;
    let (luma, colors) = planes.split_at(stride * height);
    let colors = colors.chunks_exact(stride.next_multiple_of(2));
    let two_rows = luma.chunks(stride * 2).zip(out.chunks_mut(width * 6));
    for ((luma, out), colors) in two_rows.zip(colors) {
        for (luma, out) in luma.chunks_exact(stride).zip(out.chunks_exact_mut(width * 3)) {
            let pairs = luma[..width].chunks(2).zip(out.as_chunks_mut::<3>().0.chunks_mut(2));
            for ((luma, out), &[cb, cr]) in pairs.zip(colors.as_chunks::<2>().0) {
                for (&y, out) in luma.iter().zip(out) {
                    *out = matrix.rgb(y, cb, cr);
                }
            }
        }
    }
}

/// Bytes of a row of YUYV; an odd width has a whole last group.
pub(super) fn yuyv_row(width: usize) -> usize {
    width.div_ceil(2) * 4
}

/// Converts rows of Y Cb Y Cr groups that begin `stride` bytes apart to packed RGB.
pub(super) fn yuyv(groups: &[u8], width: usize, stride: usize, range: Range, out: &mut [u8]) {
    let matrix = range.matrix();
    let rows = groups.chunks_exact(stride).zip(out.chunks_exact_mut(width * 3));
    for (groups, out) in rows {
        let pairs = out.as_chunks_mut::<3>().0.chunks_mut(2);
        for (&[y0, cb, y1, cr], out) in groups.as_chunks::<4>().0.iter().zip(pairs) {
            for (out, y) in out.iter_mut().zip([y0, y1]) {
                *out = matrix.rgb(y, cb, cr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition (ITU-R BT.601) in floating point.
    fn exact(y: u8, cb: u8, cr: u8, range: Range) -> [f64; 3] {
        let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
        let (y, scale) = match range {
            Range::Limited => ((y - 16.0) * 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (y, 1.0),
        };
        let (cb, cr) = (cb * scale, cr * scale);
        [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
    }

    #[test]
    fn every_fifth_colour_is_within_rounding_of_the_definition() {
        for range in [Range::Limited, Range::Full] {
            for (y, cb, cr) in (0..=255u8).step_by(5).flat_map(|y| {
                (0..=255u8)
                    .step_by(5)
                    .flat_map(move |cb| (0..=255u8).step_by(5).map(move |cr| (y, cb, cr)))
            }) {
                let got = range.matrix().rgb(y, cb, cr);
                for (got, want) in got.iter().zip(exact(y, cb, cr, range)) {
                    let error = (f64::from(*got) - want.clamp(0.0, 255.0)).abs();
                    assert!(error < 0.51, "{range:?} {y} {cb} {cr}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn black_and_white_are_exact() {
        assert_eq!(Range::Limited.matrix().rgb(16, 128, 128), [0; 3]);
        assert_eq!(Range::Limited.matrix().rgb(235, 128, 128), [255; 3]);
        assert_eq!(Range::Full.matrix().rgb(255, 128, 128), [255; 3]);
    }

    #[test]
    fn odd_sides_share_their_last_chroma() {
        assert_eq!(planar_len(3, 3, Chroma::Shared(2, 2)), 9 + 8);
        let mut planes = vec![128; 17];
        // The chroma of the last column and row is red.
        planes[9 + 4 + 3] = 255;
        let mut out = vec![0; 27];
        planar(&planes, 3, 3, Chroma::Shared(2, 2), Range::Full, &mut out);
        let red = Range::Full.matrix().rgb(128, 128, 255);
        assert_eq!(out[24..], red);
        assert_eq!(out[..24], [128; 24]);

        let mut out = vec![0; 9];
        yuyv(&[10, 128, 20, 128, 30, 128, 99, 128], 3, 8, Range::Full, &mut out);
        assert_eq!(out, [10, 10, 10, 20, 20, 20, 30, 30, 30]);
    }

    #[test]
    fn the_layouts_agree() {
        let (width, height) = (6, 4);
        let y: Vec<u8> = (0..24).map(|i| i * 10).collect();
        let (cb, cr): (Vec<u8>, Vec<u8>) = (0..12).map(|i| (i * 20, 255 - i * 20)).unzip();
        let planes = [y.clone(), cb.clone(), cr.clone()].concat();
        let packed: Vec<u8> = y
            .chunks(2)
            .zip(cb.iter().zip(&cr))
            .flat_map(|(y, (&cb, &cr))| [y[0], cb, y[1], cr])
            .collect();
        let (mut a, mut b) = (vec![0; 72], vec![0; 72]);
        assert_eq!(planes.len(), planar_len(width, height, Chroma::Shared(2, 1)));
        planar(&planes, width, width, Chroma::Shared(2, 1), Range::Limited, &mut a);
        yuyv(&packed, width, yuyv_row(width), Range::Limited, &mut b);
        assert_eq!(a, b);
    }
}
