//! Convolutions and linear layers, in tiles.

use std::borrow::Cow;

use super::super::ir::Conv;
use super::{activate, rows};

/// Output channels computed together, and positions.
const LANES: usize = 8;
const ROWS: usize = 4;

/// A convolution laid out for running.
pub(super) struct FloatConv<'a> {
    conv: &'a Conv,
    pub(super) shape_in: [usize; 3],
    shape: [usize; 3],
    /// Dense: `[channels / LANES][depth][LANES]`, the factors in them; depthwise:
    /// `[taps][channels]`.
    weights: Vec<f32>,
}

impl<'a> FloatConv<'a> {
    pub(super) fn new(conv: &'a Conv, shape_in: [usize; 3], shape: [usize; 3]) -> Self {
        let (channels, depth) = (conv.bias.len(), conv.depth());
        let factor = |channel: usize| conv.factors.get(channel).copied().unwrap_or(1.0);
        let weights = if conv.depthwise.is_some() {
            let at = |i: usize| (i % channels, i / channels);
            (0..depth * channels)
                .map(at)
                .map(|(c, tap)| conv.weights[c * depth + tap] * factor(c % shape_in[2]))
                .collect()
        } else {
            let mut panels = vec![0.0; channels.next_multiple_of(LANES) * depth];
            for (at, w) in conv.weights.iter().enumerate() {
                let (n, k) = (at / depth, at % depth);
                let place = (n / LANES * depth + k) * LANES + n % LANES;
                panels[place] = *w * factor(k % shape_in[2]);
            }
            panels
        };
        Self { conv, shape_in, shape, weights }
    }

    /// What the weights are multiplied with, before the factors.
    pub(super) fn input<'x>(&self, x: &'x [f32]) -> Cow<'x, [f32]> {
        match self.conv.norm {
            Some(epsilon) => Cow::Owned(rows::normalized(x, self.shape_in[2], epsilon)),
            None => Cow::Borrowed(x),
        }
    }

    /// Activation, residual and bounds.
    pub(super) fn finish(&self, out: &mut [f32], added: Option<&[f32]>) {
        let Conv { activation, lo, hi, .. } = *self.conv;
        out.iter_mut().for_each(|x| *x = activate(activation, *x));
        if let Some(added) = added {
            out.iter_mut().zip(added).for_each(|(x, r)| *x += r);
        }
        out.iter_mut().for_each(|x| *x = x.clamp(lo, hi));
    }

    /// The convolution with its bias.
    pub(super) fn linear(&self, image: &[f32], pad: &[f32]) -> Vec<f32> {
        let channels = self.conv.bias.len();
        let pointwise = self.conv.kernel == 1 && self.conv.stride == 1;
        let positions = match pointwise {
            true => image.len() / self.shape_in[2],
            false => self.shape[0] * self.shape[1],
        };
        let mut out = vec![0.0; positions * channels];
        if self.conv.depthwise.is_some() {
            self.depthwise(image, pad, &mut out);
            return out;
        }
        let depth = self.conv.depth();
        let unfolded;
        let rows = if pointwise {
            image
        } else {
            let taps = self.conv.kernel * self.conv.kernel;
            let mut rows = Vec::with_capacity(positions * depth);
            for at in 0..positions {
                for tap in 0..taps {
                    rows.extend_from_slice(self.tap(image, pad, at, tap));
                }
            }
            unfolded = rows;
            &unfolded
        };
        for (panel, weights) in self.weights.chunks_exact(LANES * depth).enumerate() {
            for (rows, out) in rows.chunks(ROWS * depth).zip(out.chunks_mut(ROWS * channels)) {
                self.panel(panel, weights, rows, out);
            }
        }
        out
    }

    fn depthwise(&self, image: &[f32], pad: &[f32], out: &mut [f32]) {
        let channels = self.conv.bias.len();
        for (at, out) in out.chunks_exact_mut(channels).enumerate() {
            out.copy_from_slice(&self.conv.bias);
            for (tap, weights) in self.weights.chunks_exact(channels).enumerate() {
                let x = self.tap(image, pad, at, tap);
                // Several outputs of each channel lie one block behind the other.
                for (out, weights) in out.chunks_mut(x.len()).zip(weights.chunks(x.len())) {
                    for ((out, x), w) in out.iter_mut().zip(x).zip(weights) {
                        *out += x * w;
                    }
                }
            }
        }
    }

    /// Up to [`ROWS`] positions of [`LANES`] channels.
    fn panel(&self, panel: usize, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        let (depth, channels) = (self.conv.depth(), self.conv.bias.len());
        let first = panel * LANES;
        let lanes = LANES.min(channels - first);
        let mut sums = [[0.0f32; LANES]; ROWS];
        for sums in &mut sums {
            sums[..lanes].copy_from_slice(&self.conv.bias[first..first + lanes]);
        }
        let count = rows.len() / depth;
        if let (ROWS, Some((a, rest))) = (count, rows.split_at_checked(depth)) {
            let (b, rest) = rest.split_at(depth);
            let (c, d) = rest.split_at(depth);
            let columns = a.iter().zip(b).zip(c).zip(d);
            for (w, (((a, b), c), d)) in weights.chunks_exact(LANES).zip(columns) {
                for (sums, x) in sums.iter_mut().zip([a, b, c, d]) {
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum += x * w;
                    }
                }
            }
        } else {
            for (row, sums) in rows.chunks_exact(depth).zip(&mut sums) {
                for (x, w) in row.iter().zip(weights.chunks_exact(LANES)) {
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum += x * w;
                    }
                }
            }
        }
        for (out, sums) in out.chunks_exact_mut(channels).zip(&sums) {
            out[first..first + lanes].copy_from_slice(&sums[..lanes]);
        }
    }

    /// The channels that tap `tap` of the kernel sees at output position `at`.
    fn tap<'x>(&self, image: &'x [f32], pad: &'x [f32], at: usize, tap: usize) -> &'x [f32] {
        let [height, width, channels] = self.shape_in;
        let Conv { kernel, stride, pad_top, pad_left, .. } = *self.conv;
        let y = (at / self.shape[1] * stride + tap / kernel).checked_sub(pad_top);
        let x = (at % self.shape[1] * stride + tap % kernel).checked_sub(pad_left);
        match (y, x) {
            (Some(y), Some(x)) if y < height && x < width => {
                &image[(y * width + x) * channels..][..channels]
            }
            _ => pad,
        }
    }
}
