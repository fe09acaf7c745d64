//! Unfolding an image into the rows of a matrix product (im2col).

use crate::asset::encoder::Layer;

/// Where a convolution's kernel goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::encoder) struct Window {
    pub(in crate::encoder) height_in: usize,
    pub(in crate::encoder) width_in: usize,
    pub(in crate::encoder) channels_in: usize,
    pub(in crate::encoder) height_out: usize,
    pub(in crate::encoder) width_out: usize,
    pub(in crate::encoder) kernel: usize,
    pub(in crate::encoder) stride: usize,
    pub(in crate::encoder) pad_top: usize,
    pub(in crate::encoder) pad_left: usize,
    /// Columns of the matrix product.
    pub(in crate::encoder) columns: usize,
    /// The image's positions are the rows as they lie.
    pub(in crate::encoder) pointwise: bool,
}

impl Window {
    pub(in crate::encoder) fn of(layer: &Layer) -> Self {
        let (r, from) = (layer.record, layer.shape_in());
        Self {
            height_in: from.height as usize,
            width_in: from.width as usize,
            channels_in: from.channels as usize,
            height_out: r.shape.height as usize,
            width_out: r.shape.width as usize,
            kernel: r.kernel as usize,
            stride: r.stride as usize,
            pad_top: r.pad_top as usize,
            pad_left: r.pad_left as usize,
            columns: layer.columns(),
            pointwise: layer.is_pointwise(),
        }
    }

    /// Rows of the matrix product.
    pub(in crate::encoder) fn positions(&self) -> usize {
        if self.pointwise {
            self.height_in * self.width_in
        } else {
            self.height_out * self.width_out
        }
    }
}

/// Writes the patches under the kernel for the output positions from `first` on, one row of
/// `columns` bytes each: kernel rows, kernel columns, channels, then zeros. `pad` is what lies
/// outside of the image, one value for each channel.
pub(in crate::encoder) fn unfold(
    w: &Window,
    image: &[u8],
    pad: &[u8],
    first: usize,
    out: &mut [u8],
) {
    let c = w.channels_in;
    for (i, row) in out.chunks_exact_mut(w.columns).enumerate() {
        let (y, x) = ((first + i) / w.width_out, (first + i) % w.width_out);
        let (taps, rest) = row.split_at_mut(w.kernel * w.kernel * c);
        rest.fill(0);
        let from_x = (x * w.stride).checked_sub(w.pad_left);
        for (ky, line) in taps.chunks_exact_mut(w.kernel * c).enumerate() {
            let from_y = (y * w.stride + ky).checked_sub(w.pad_top).filter(|y| *y < w.height_in);
            let image = from_y.map(|y| &image[y * w.width_in * c..][..w.width_in * c]);
            // The whole line at once where it lies inside.
            if let (Some(image), Some(x)) = (image, from_x)
                && x + w.kernel <= w.width_in
            {
                line.copy_from_slice(&image[x * c..][..w.kernel * c]);
                continue;
            }
            for (kx, cell) in line.chunks_exact_mut(c).enumerate() {
                let from_x = (x * w.stride + kx).checked_sub(w.pad_left);
                let inside = from_x.filter(|x| *x < w.width_in).zip(image);
                cell.copy_from_slice(inside.map_or(pad, |(x, image)| &image[x * c..][..c]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_at_the_corner_reads_padding_above_and_left() {
        let w = Window {
            height_in: 2,
            width_in: 2,
            channels_in: 1,
            height_out: 1,
            width_out: 1,
            kernel: 3,
            stride: 2,
            pad_top: 1,
            pad_left: 1,
            columns: 12,
            pointwise: false,
        };
        let mut out = [77; 12];
        unfold(&w, &[1, 2, 3, 4], &[9], 0, &mut out);
        assert_eq!(out, [9, 9, 9, 9, 1, 2, 9, 3, 4, 0, 0, 0]);
        let inside = Window { kernel: 2, columns: 4, pad_top: 0, pad_left: 0, ..w };
        unfold(&inside, &[1, 2, 3, 4], &[9], 0, &mut out[..4]);
        assert_eq!(out[..4], [1, 2, 3, 4]);
    }
}
