//! The float network on the importer's own graph: what the int8 network is measured against.
//!
//! Plain loops in one order without fused multiply-add, so that the figures that an import rests on
//! are the same on every processor and for any number of threads.

use super::ir::{Conv, Net, Op};

/// Output channels computed together, and positions.
const LANES: usize = 8;
const ROWS: usize = 4;

/// A network laid out for running.
pub(super) struct FloatNet<'a> {
    net: &'a Net,
    layers: Vec<FloatLayer<'a>>,
    /// What lies outside of the picture: the preprocessing's mean.
    mean: [f32; 3],
}

struct FloatLayer<'a> {
    conv: &'a Conv,
    inputs: &'a [usize],
    shape_in: [usize; 3],
    shape: [usize; 3],
    /// Dense: `[channels / LANES][depth][LANES]`; depthwise: `[taps][channels]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// What a layer computed for one picture.
pub(super) struct Computed<'a> {
    /// Number of the layer.
    pub(super) layer: usize,
    /// Sum over all positions of each channel, before a residual is added and bounds are applied.
    pub(super) sums: &'a [f64],
    /// The result, channels last; of a pooled convolution before the mean.
    pub(super) result: &'a [f32],
}

impl<'a> FloatNet<'a> {
    pub(super) fn new(net: &'a Net, mean: [f32; 3]) -> Self {
        let layers = net.nodes.iter().filter_map(|node| {
            let Op::Conv(conv) = &node.op else { return None };
            let channels = node.shape[2];
            let depth = conv.depth();
            let weights = if conv.depthwise.is_some() {
                (0..depth * channels)
                    .map(|at| conv.weights[at % channels * depth + at / channels])
                    .collect()
            } else {
                let mut panels = vec![0.0; channels.next_multiple_of(LANES) * depth];
                for (at, w) in conv.weights.iter().enumerate() {
                    let (n, k) = (at / depth, at % depth);
                    panels[(n / LANES * depth + k) * LANES + n % LANES] = *w;
                }
                panels
            };
            Some(FloatLayer {
                conv,
                inputs: &node.inputs,
                shape_in: net.shape(node.inputs[0]),
                shape: node.shape,
                weights,
                bias: conv.bias.clone(),
            })
        });
        Self { net, layers: layers.collect(), mean }
    }

    /// Runs a picture, `[size][size][3]`, shows every layer's result, and gives the trunk.
    pub(super) fn run(&self, picture: &[u8], mut visit: impl FnMut(Computed)) -> Vec<f32> {
        let last_use =
            |value: usize| self.net.nodes.iter().rposition(|n| n.inputs.contains(&value));
        let mut values: Vec<Vec<f32>> = vec![picture.iter().map(|v| f32::from(*v)).collect()];
        let mut trunk = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let zero = vec![0.0; layer.shape_in[2]];
            let pad = if layer.inputs[0] == 0 { &self.mean[..] } else { &zero };
            let mut out = layer.linear(&values[layer.inputs[0]], pad);
            let channels = layer.shape[2];
            let mut sums = vec![0.0; channels];
            for row in out.chunks_exact(channels) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            if layer.conv.residual {
                let added = &values[layer.inputs[1]];
                out.iter_mut().zip(added).for_each(|(x, r)| *x += r);
            }
            let (lo, hi) = (layer.conv.lo, layer.conv.hi);
            out.iter_mut().for_each(|x| *x = x.clamp(lo, hi));
            visit(Computed { layer: i, sums: &sums, result: &out });
            if layer.conv.pooled {
                trunk = mean(&out, channels);
            }
            values.push(out);
            for (value, data) in values.iter_mut().enumerate() {
                if last_use(value).is_none_or(|node| node <= i) {
                    *data = Vec::new();
                }
            }
        }
        trunk
    }
}

/// Mean of each channel over all positions.
fn mean(image: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; channels];
    for row in image.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let positions = image.len() / channels;
    sums.iter().map(|sum| (sum / positions as f64) as f32).collect()
}

impl FloatLayer<'_> {
    /// The convolution with its bias.
    fn linear(&self, image: &[f32], pad: &[f32]) -> Vec<f32> {
        let [height, width, channels] = self.shape;
        let mut out = vec![0.0; height * width * channels];
        if self.conv.depthwise.is_some() {
            for (at, out) in out.chunks_exact_mut(channels).enumerate() {
                out.copy_from_slice(&self.bias);
                for (tap, weights) in self.weights.chunks_exact(channels).enumerate() {
                    let x = self.tap(image, pad, at, tap);
                    for ((out, x), w) in out.iter_mut().zip(x).zip(weights) {
                        *out += x * w;
                    }
                }
            }
            return out;
        }
        let depth = self.conv.depth();
        let unfolded;
        let rows = if self.conv.kernel == 1 && self.conv.stride == 1 {
            image
        } else {
            let taps = self.conv.kernel * self.conv.kernel;
            let positions = 0..height * width;
            unfolded = positions
                .flat_map(|at| (0..taps).map(move |tap| (at, tap)))
                .flat_map(|(at, tap)| self.tap(image, pad, at, tap).iter().copied())
                .collect::<Vec<f32>>();
            &unfolded
        };
        for (rows, out) in rows.chunks(ROWS * depth).zip(out.chunks_mut(ROWS * channels)) {
            for (panel, weights) in self.weights.chunks_exact(LANES * depth).enumerate() {
                self.panel(panel, weights, rows, out);
            }
        }
        out
    }

    /// Up to [`ROWS`] positions of [`LANES`] channels.
    fn panel(&self, panel: usize, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        let (depth, channels) = (self.conv.depth(), self.shape[2]);
        let first = panel * LANES;
        let lanes = LANES.min(channels - first);
        let mut sums = [[0.0f32; LANES]; ROWS];
        for sums in &mut sums {
            sums[..lanes].copy_from_slice(&self.bias[first..first + lanes]);
        }
        let count = rows.len() / depth;
        if let (ROWS, Some((a, rest))) = (count, rows.split_at_checked(depth)) {
            let (b, rest) = rest.split_at(depth);
            let (c, d) = rest.split_at(depth);
            for (k, w) in weights.chunks_exact(LANES).enumerate() {
                let x = [a[k], b[k], c[k], d[k]];
                for (sums, x) in sums.iter_mut().zip(x) {
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
    fn tap<'a>(&self, image: &'a [f32], pad: &'a [f32], at: usize, tap: usize) -> &'a [f32] {
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
