//! Unfolding an image into the rows of a matrix product (im2col).

use super::Geometry;

/// Writes the patches under the kernel for the output positions from `first` on, one row of
/// `columns` bytes each: kernel rows, kernel columns, channels, then zeros. `pad` is what lies
/// outside of the image, one value for each channel.
pub(in crate::encoder) fn unfold(
    g: &Geometry,
    image: &[u8],
    pad: &[u8],
    first: usize,
    out: &mut [u8],
) {
    let c = g.channels_in;
    for (i, row) in out.chunks_exact_mut(g.columns).enumerate() {
        let (y, x) = ((first + i) / g.width_out, (first + i) % g.width_out);
        let (taps, rest) = row.split_at_mut(g.kernel * g.kernel * c);
        rest.fill(0);
        for (tap, cell) in taps.chunks_exact_mut(c).enumerate() {
            let from_y = (y * g.stride + tap / g.kernel).checked_sub(g.pad_top);
            let from_x = (x * g.stride + tap % g.kernel).checked_sub(g.pad_left);
            let inside = from_y
                .filter(|y| *y < g.height_in)
                .zip(from_x.filter(|x| *x < g.width_in))
                .map(|(y, x)| (y * g.width_in + x) * c);
            cell.copy_from_slice(inside.map_or(pad, |at| &image[at..at + c]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_at_the_corner_reads_padding_above_and_left() {
        let g = Geometry {
            height_in: 2,
            width_in: 2,
            channels_in: 1,
            height_out: 1,
            width_out: 1,
            channels_out: 1,
            kernel: 3,
            stride: 2,
            pad_top: 1,
            pad_left: 1,
            columns: 12,
            pointwise: false,
            macs: 9,
            lo: 0.0,
            hi: 255.0,
        };
        let mut out = [77; 12];
        unfold(&g, &[1, 2, 3, 4], &[9], 0, &mut out);
        assert_eq!(out, [9, 9, 9, 9, 1, 2, 9, 3, 4, 0, 0, 0]);
    }
}
