//! The greatest code of each window. Codes keep the order of what they stand for, so this is exact.

use tract_core::internal::*;

use super::{Compute, Engine, Input, codes, codes_of};
use crate::asset::encoder::Layer;
use crate::kernels::Out;

/// Where the windows of a pool lie.
#[derive(Clone, Copy, Debug)]
pub(in crate::encoder) struct Windows {
    /// Height, width, channels of the input.
    pub(in crate::encoder) from: [usize; 3],
    /// Columns of the result.
    pub(in crate::encoder) width: usize,
    pub(in crate::encoder) kernel: usize,
    pub(in crate::encoder) stride: usize,
    pub(in crate::encoder) pad_top: usize,
    pub(in crate::encoder) pad_left: usize,
}

impl Windows {
    /// Positions of the result from `first` on; `out` has whole ones. Nothing outside of the image
    /// counts.
    pub(in crate::encoder) fn greatest<T: Copy + PartialOrd>(
        &self,
        image: &[T],
        least: T,
        first: usize,
        out: &mut [T],
    ) {
        let [height, width, channels] = self.from;
        for (i, out) in out.chunks_exact_mut(channels).enumerate() {
            let (y, x) = ((first + i) / self.width, (first + i) % self.width);
            out.fill(least);
            for row in inside(y * self.stride, self.pad_top, self.kernel, height) {
                for column in inside(x * self.stride, self.pad_left, self.kernel, width) {
                    let at = (row * width + column) * channels;
                    for (y, x) in out.iter_mut().zip(&image[at..at + channels]) {
                        *y = if *x > *y { *x } else { *y };
                    }
                }
            }
        }
    }
}

/// What of a window of `kernel` from `start - pad` on lies within `len`.
fn inside(start: usize, pad: usize, kernel: usize, len: usize) -> std::ops::Range<usize> {
    start.saturating_sub(pad)..(start + kernel).saturating_sub(pad).min(len)
}

/// Codes to codes of the same steps.
pub(super) struct MaxPool(Windows);

impl MaxPool {
    pub(super) fn new(layer: &Layer) -> Self {
        let r = layer.record;
        let [kernel, stride, pad_top, pad_left] =
            [r.kernel, r.stride, r.pad_top, r.pad_left].map(|x| x as usize);
        let (from, width) = (layer.shape_in().sides(), r.shape.width as usize);
        Self(Windows { from, width, kernel, stride, pad_top, pad_left })
    }
}

impl Compute for MaxPool {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let image = codes_of(inputs, 0)?;
        engine.pool.split(codes(out)?, self.0.from[2], |first, out, _| {
            self.0.greatest(image, 0, first, out);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_at_the_edges_see_only_the_image() {
        // 3 x 3 with one channel; windows of 3, step 2, padded by 1.
        let image = [9u8, 1, 2, 3, 4, 5, 6, 7, 8];
        let windows =
            Windows { from: [3, 3, 1], width: 2, kernel: 3, stride: 2, pad_top: 1, pad_left: 1 };
        let mut out = [0; 4];
        windows.greatest(&image, 0, 0, &mut out);
        assert_eq!(out, [9, 5, 7, 8]);
        windows.greatest(&image, 0, 2, &mut out[..2]);
        assert_eq!(out[..2], [7, 8]);
    }
}
