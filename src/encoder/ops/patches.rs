//! Unfolding an image into the rows of a matrix product (im2col).

use crate::asset::encoder::Layer;
use crate::kernels::clear;

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
    match w.kernel * w.channels_in {
        0..=8 => unfold_by::<8>(w, image, pad, first, out),
        9..=16 => unfold_by::<16>(w, image, pad, first, out),
        17..=32 => unfold_by::<32>(w, image, pad, first, out),
        _ => unfold_by::<0>(w, image, pad, first, out),
    }
}

/// [`unfold`], whose lines are copied as `N` bytes each where there is room, or as they are (0).
fn unfold_by<const N: usize>(w: &Window, image: &[u8], pad: &[u8], first: usize, out: &mut [u8]) {
    let c = w.channels_in;
    let (row_in, len) = (w.width_in * c, w.kernel * c);
    // Columns whose kernel stays inside of the image.
    let beyond = (w.width_in + w.pad_left).saturating_sub(w.kernel - 1).div_ceil(w.stride);
    let inside = w.pad_left.div_ceil(w.stride)..beyond.min(w.width_out);
    let (mut y, mut x) = (first / w.width_out, first % w.width_out);
    let mut out = &mut out[..];
    while out.len() >= w.columns {
        let top = (y * w.stride).checked_sub(w.pad_top);
        let top = top.filter(|top| inside.contains(&x) && top + w.kernel <= w.height_in);
        let image_from = top.map(|top| &image[top * row_in + (x * w.stride - w.pad_left) * c..]);
        let count = inside.end.saturating_sub(x).min(out.len() / w.columns);
        let mut rows = match image_from {
            Some(image) if N > 0 => copy_many::<N>(w, image, &mut out[..count * w.columns]),
            _ => 0,
        };
        if rows == 0 {
            let (taps, rest) = out[..w.columns].split_at_mut(w.kernel * len);
            match image_from {
                Some(image) => {
                    let lines = image.chunks(row_in).zip(taps.chunks_exact_mut(len));
                    lines.for_each(|(image, line)| line.copy_from_slice(&image[..len]));
                }
                None => at_the_edge(w, image, pad, [y, x], taps),
            }
            clear(rest);
            rows = 1;
        }
        out = &mut out[rows * w.columns..];
        x += rows;
        if x == w.width_out {
            (y, x) = (y + 1, 0);
        }
    }
}

/// Patches next to each other, the first one at the start of `image`. Returns how many were made: for the last
/// ones there may not be room enough.
fn copy_many<const N: usize>(w: &Window, image: &[u8], out: &mut [u8]) -> usize {
    match [w.kernel, w.channels_in, w.columns] {
        // The first layer of most networks.
        [3, 3, 28] => copy_rgb(w, image, out),
        _ => copy::<N>(w, image, out),
    }
}

/// [`copy_many`] of lines of `N` bytes, of which those that are too many are written over by what comes next. There are
/// millions of a few bytes, for which a call takes longer than the copy.
#[inline(never)]
fn copy<const N: usize>(w: &Window, image: &[u8], out: &mut [u8]) -> usize {
    let (len, step) = (w.kernel * w.channels_in, w.stride * w.channels_in);
    let mut lines: [&[u8]; N] = [&[]; N];
    for (line, image) in lines.iter_mut().zip(image.chunks(w.width_in * w.channels_in)) {
        *line = image;
    }
    let lines = &lines[..w.kernel];
    let (mut from, mut to, mut rows) = (0, 0, 0);
    while to + w.columns <= out.len() {
        let patch = &mut out[to..];
        for (i, line) in lines.iter().enumerate() {
            let line = line.get(from..).and_then(|line| line.first_chunk::<N>());
            let place = patch.get_mut(i * len..).and_then(|place| place.first_chunk_mut());
            let (Some(line), Some(place)) = (line, place) else { return rows };
            *place = *line;
        }
        clear(&mut patch[w.kernel * len..w.columns]);
        (from, to, rows) = (from + step, to + w.columns, rows + 1);
    }
    rows
}

/// [`copy_many`] of three lines of 9 taps in 28 columns: constants, half the instructions.
#[inline(never)]
fn copy_rgb(w: &Window, image: &[u8], out: &mut [u8]) -> usize {
    let row_in = w.width_in * w.channels_in;
    let [Some(second), Some(third)] = [row_in, 2 * row_in].map(|at| image.get(at..)) else {
        return 0;
    };
    // All as long as the last one, which may be cut: what fits one fits all.
    let len = third.len().min(row_in);
    let (first, second, third) = (&image[..len], &second[..len], &third[..len]);
    let (patches, _) = out.as_chunks_mut::<28>();
    for (i, patch) in patches.iter_mut().enumerate() {
        let from = i * w.stride * w.channels_in;
        if from + 16 > len {
            return i;
        }
        patch[..16].copy_from_slice(&first[from..from + 16]);
        patch[9..25].copy_from_slice(&second[from..from + 16]);
        patch[18..27].copy_from_slice(&third[from..from + 9]);
        patch[27] = 0;
    }
    patches.len()
}

/// The taps of an output position whose kernel reaches beyond the image.
fn at_the_edge(w: &Window, image: &[u8], pad: &[u8], [y, x]: [usize; 2], taps: &mut [u8]) {
    let c = w.channels_in;
    for (at, cell) in taps.chunks_exact_mut(c).enumerate() {
        let from = |out: usize, tap: usize, before: usize, side: usize| {
            (out * w.stride + tap).checked_sub(before).filter(|from| *from < side)
        };
        let from_y = from(y, at / w.kernel, w.pad_top, w.height_in);
        let from_x = from(x, at % w.kernel, w.pad_left, w.width_in);
        let inside = from_y.zip(from_x).map(|(y, x)| &image[(y * w.width_in + x) * c..][..c]);
        cell.copy_from_slice(inside.unwrap_or(pad));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_those_that_single_taps_make() {
        for [side, kernel, stride, pad, c] in [
            [9, 3, 2, 1, 3],
            [9, 3, 2, 0, 3],
            [8, 3, 1, 1, 4],
            [7, 5, 2, 2, 2],
            [6, 7, 1, 3, 1],
            [4, 2, 2, 0, 5],
            [3, 3, 3, 3, 2],
            [5, 1, 1, 0, 3],
            [6, 5, 1, 2, 3],
            [6, 5, 1, 2, 6],
            [6, 4, 1, 0, 8],
            [6, 3, 1, 1, 21],
        ] {
            let out_side = (side + 2 * pad - kernel) / stride + 1;
            let w = Window {
                height_in: side,
                width_in: side,
                channels_in: c,
                height_out: out_side,
                width_out: out_side,
                kernel,
                stride,
                pad_top: pad,
                pad_left: pad,
                columns: (kernel * kernel * c).next_multiple_of(4),
                pointwise: false,
            };
            let image: Vec<u8> = (0..side * side * c).map(|i| (i * 7 % 251) as u8).collect();
            let padding = vec![252; c];
            for first in 0..w.positions() {
                let mut out = vec![255; (w.positions() - first) * w.columns];
                unfold(&w, &image, &padding, first, &mut out);
                for (i, row) in out.chunks_exact(w.columns).enumerate() {
                    let (y, x) = ((first + i) / out_side, (first + i) % out_side);
                    let mut expected = vec![0; w.columns];
                    let taps = &mut expected[..kernel * kernel * c];
                    at_the_edge(&w, &image, &padding, [y, x], taps);
                    assert_eq!(row, expected, "{w:?} {y} {x}");
                }
            }
        }
    }

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
