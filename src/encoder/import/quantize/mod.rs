//! From float layers to layers of the encoder, given what the layers before really give.

mod conv;
mod depthwise;
mod dynamic;
mod float;

pub(super) use float::can_stay as can_stay_in_float;

use super::calibrate::Observed;
use super::elements::added;
use super::ir::{Net, Op};
use super::layer::{Data, NewLayer, Parts, shape};
use super::steps::Steps;
use crate::asset::encoder::{Element, Function, LayerKind, LayerRecord, NO_VALUE, Value};
use crate::encoder::ops::Nest;
use crate::kernels::{Activation, LANES};

/// What is known of a network when its layers are made.
pub(super) struct Plan<'a> {
    pub(super) net: &'a Net,
    /// Of every value.
    pub(super) elements: &'a [Element],
    /// Of every value; empty for real ones.
    pub(super) steps: &'a [Steps],
    /// Of every node.
    pub(super) observed: &'a [Observed],
    /// The preprocessing's mean.
    pub(super) mean: [f32; 3],
    /// Of every node: whether its weights stay in float.
    pub(super) float: &'a [bool],
}

impl Plan<'_> {
    /// Makes the layer of node `i`. `inputs` are the first value that it reads, one for each
    /// calibration picture.
    pub(super) fn layer(&self, i: usize, inputs: &[Data]) -> NewLayer {
        let node = &self.net.nodes[i];
        let kind = match &node.op {
            Op::Conv(conv) if conv.depthwise.is_some() => LayerKind::Depthwise,
            Op::Conv(_) if self.float[i] => LayerKind::Float,
            Op::Conv(_) => LayerKind::Conv,
            Op::Norm { .. } => LayerKind::Norm,
            Op::Attention(_) => LayerKind::Attention,
            Op::Tokens(_) => LayerKind::Tokens,
            Op::Rows { .. } => LayerKind::Rows,
            Op::Constant(_) => LayerKind::Constant,
            Op::Scale { .. } => LayerKind::Scale,
            Op::MaxPool(_) => LayerKind::MaxPool,
            Op::Codes => LayerKind::Codes,
            Op::Strided(_) => LayerKind::Strided,
            Op::Join { .. } => LayerKind::Join,
            Op::Softmax => LayerKind::Softmax,
            _ => LayerKind::Mean,
        };
        let mut numbers = [NO_VALUE; 3];
        let mut values = [None; 3];
        for (at, value) in node.inputs.iter().enumerate() {
            numbers[at] = *value as u32;
            let element = self.elements[*value];
            values[at] = Some(Value { shape: shape(self.net.shape(*value)), element });
        }
        let mut layer = NewLayer {
            name: node.name.clone(),
            kind,
            record: LayerRecord {
                kind: kind as u32,
                inputs: numbers,
                element: self.elements[i + 1] as u32,
                shape: match &node.op {
                    Op::Conv(conv) if conv.pooled => shape([1, 1, node.shape[2]]),
                    _ => shape(node.shape),
                },
                name_len: node.name.len() as u32,
                ..LayerRecord::default()
            },
            inputs: values,
            parts: Parts::default(),
        };
        self.fill(i, &mut layer, inputs);
        layer
    }

    fn fill(&self, i: usize, layer: &mut NewLayer, inputs: &[Data]) {
        let node = &self.net.nodes[i];
        let (r, parts) = (&mut layer.record, &mut layer.parts);
        match &node.op {
            Op::Conv(conv) if conv.depthwise.is_some() => {
                depthwise::fill(self, i, conv, layer, inputs);
            }
            Op::Conv(conv) if layer.kind == LayerKind::Float => {
                float::fill(self, i, conv, layer, inputs);
            }
            Op::Conv(conv) => match self.elements[node.inputs[0]] {
                Element::Codes => conv::fill(self, i, conv, layer, inputs),
                Element::Real => dynamic::fill(self, i, conv, layer),
            },
            Op::Norm { epsilon, gain, shift } => {
                r.epsilon = *epsilon;
                (r.scale, r.bias) = (parts.add(gain), parts.add(shift));
            }
            Op::Attention(attention) => {
                r.heads = attention.heads as u32;
                r.factor = attention.scale;
                r.at = [attention.q_at, attention.k_at, attention.v_at].map(|at| at as u32);
            }
            Op::Tokens(tokens) => {
                r.mean = u32::from(tokens.mean);
                (r.values, r.add) = (parts.add(&tokens.prefix), parts.add(&tokens.add));
                self.reals_of(i, layer);
            }
            Op::Rows { start, .. } => r.at[0] = *start as u32,
            Op::Constant(values) => r.values = parts.add(values),
            Op::Scale { activation, lo, hi } => {
                r.set_activation(*activation);
                self.reals_of(i, layer);
                let (_, zero) = self.codes_after(i, layer);
                let bounds = [*lo, *hi];
                self.code_bounds(i, layer, bounds, &zero);
            }
            Op::MaxPool(pool) => {
                (r.kernel, r.stride) = (pool.kernel as u32, pool.stride as u32);
                (r.pad_top, r.pad_left) = (pool.pad_top as u32, pool.pad_left as u32);
            }
            Op::Codes => {
                self.codes_after(i, layer);
                (layer.record.lo, layer.record.hi) = (0.0, 255.0);
            }
            Op::Strided(nest) => strided(nest, r, parts),
            Op::Join { runs } => r.kept = *runs as u32,
            Op::Softmax => (),
            _ => self.reals_of(i, layer),
        }
    }

    /// Writes what the codes of the first input stand for, if it has codes: `real = fma(code, scale,
    /// bias)`.
    fn reals_of(&self, i: usize, layer: &mut NewLayer) {
        let value = self.net.nodes[i].inputs[0];
        if self.elements[value] == Element::Real {
            return;
        }
        let Steps { step, zero } = &self.steps[value];
        let scale: Vec<f32> = step.iter().map(|step| *step as f32).collect();
        let bias = step.iter().zip(zero).map(|(step, zero)| (-step * f64::from(*zero)) as f32);
        layer.record.scale = layer.parts.add(&padded(scale));
        layer.record.bias = layer.parts.add(&padded(bias.collect()));
    }

    /// Writes the steps from real values to the node's codes; returns codes per unit and zeros, with
    /// what an added value takes off.
    fn codes_after(&self, i: usize, layer: &mut NewLayer) -> (Vec<f32>, Vec<f32>) {
        let Steps { step, zero } = &self.steps[i + 1];
        let (ratio, less) = self.ratio(i);
        let per_unit: Vec<f32> = step.iter().map(|step| (1.0 / step) as f32).collect();
        let zero = zero.iter().enumerate().map(|(n, zero)| {
            let zero = f64::from(*zero);
            (zero - ratio * less.get(n).copied().unwrap_or(0.0)) as f32
        });
        let zero: Vec<f32> = zero.collect();
        layer.record.step = layer.parts.add(&padded(per_unit.clone()));
        layer.record.zero = layer.parts.add(&padded(zero.clone()));
        (per_unit, zero)
    }

    /// Steps of the result per step of the value that is added, and that value's zero points.
    fn ratio(&self, i: usize) -> (f64, Vec<f64>) {
        match added(&self.net.nodes[i]) {
            Some(value) if self.elements[value] == Element::Codes => {
                // The same for every channel: both sides share a profile.
                let ratio = self.steps[value].step[0] / self.steps[i + 1].step[0];
                (ratio, self.steps[value].zero.iter().map(|zero| f64::from(*zero)).collect())
            }
            _ => (0.0, Vec::new()),
        }
    }

    /// Everything after the integer sum of a convolution: `unit` is a sum's real value for each
    /// channel, `bias` what is added to it.
    fn finish(&self, i: usize, layer: &mut NewLayer, units: &[f64], bias: &[f64]) {
        let Op::Conv(conv) = &self.net.nodes[i].op else { return };
        let floats = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        layer.record.set_activation(conv.activation);
        let (ratio, less) = self.ratio(i);
        layer.record.factor = ratio as f32;
        if self.elements[i + 1] == Element::Real {
            layer.record.scale = layer.parts.add(&self.arrange(layer, floats(units)));
            layer.record.bias = layer.parts.add(&self.arrange(layer, floats(bias)));
            let finite = |x: f32| x.clamp(f32::MIN, f32::MAX);
            (layer.record.lo, layer.record.hi) = (finite(conv.lo), finite(conv.hi));
            return;
        }
        let Steps { step, zero } = &self.steps[i + 1];
        let zero: Vec<f64> = zero.iter().map(|zero| f64::from(*zero)).collect();
        if conv.activation == Activation::Linear {
            let scale: Vec<f64> = units.iter().zip(step).map(|(unit, step)| unit / step).collect();
            let bias = bias.iter().enumerate().map(|(n, bias)| {
                bias / step[n] + zero[n] - ratio * less.get(n).copied().unwrap_or(0.0)
            });
            let bias: Vec<f64> = bias.collect();
            layer.record.scale = layer.parts.add(&self.arrange(layer, floats(&scale)));
            layer.record.bias = layer.parts.add(&self.arrange(layer, floats(&bias)));
        } else {
            layer.record.scale = layer.parts.add(&self.arrange(layer, floats(units)));
            layer.record.bias = layer.parts.add(&self.arrange(layer, floats(bias)));
            let per_unit: Vec<f64> = step.iter().map(|step| 1.0 / step).collect();
            let after = zero.iter().enumerate();
            let after = after.map(|(n, z)| z - ratio * less.get(n).copied().unwrap_or(0.0));
            let after: Vec<f64> = after.collect();
            layer.record.step = layer.parts.add(&self.arrange(layer, floats(&per_unit)));
            layer.record.zero = layer.parts.add(&self.arrange(layer, floats(&after)));
        }
        let zero: Vec<f32> = zero.iter().map(|zero| *zero as f32).collect();
        self.code_bounds(i, layer, [conv.lo, conv.hi], &zero);
    }

    /// Bounds in codes: those of the layer where all channels have the same steps, else a byte's.
    fn code_bounds(&self, i: usize, layer: &mut NewLayer, [lo, hi]: [f32; 2], zero: &[f32]) {
        (layer.record.lo, layer.record.hi) = (0.0, 255.0);
        let step = &self.steps[i + 1].step;
        let even = |values: &[f64]| values.iter().all(|x| *x == values[0]);
        if even(step) && zero.iter().all(|z| *z == zero[0]) {
            let code = |x: f32| f64::from(x) / step[0] + f64::from(self.steps[i + 1].zero[0]);
            layer.record.lo = code(lo).clamp(0.0, 255.0) as f32;
            layer.record.hi = code(hi).clamp(0.0, 255.0) as f32;
        }
    }

    /// One value for each output channel as the layer's kernel wants them: whole panels, for a
    /// depthwise layer of several outputs whole panels for each.
    fn arrange(&self, layer: &NewLayer, values: Vec<f32>) -> Vec<f32> {
        if layer.kind != LayerKind::Depthwise {
            return padded(values);
        }
        let channels = layer.layer().shape_in().channels as usize;
        values.chunks(channels).flat_map(|values| padded(values.to_vec())).collect()
    }
}

/// Loops as a layer has them.
fn strided(nest: &Nest, r: &mut LayerRecord, parts: &mut Parts) {
    let axes = nest.kept.iter().chain(&nest.reduced);
    let axes: Vec<u32> =
        axes.flat_map(|axis| [axis.len, axis.steps[0], axis.steps[1]]).map(|x| x as u32).collect();
    r.values = parts.add(&axes);
    r.kept = nest.kept.len() as u32;
    (r.at[0], r.at[1]) = (nest.start[0] as u32, nest.start[1] as u32);
    if let Function::Activate(activation) = nest.function {
        r.set_activation(activation);
    }
    (r.function, r.reducer) = (nest.function.number(), nest.reducer as u32);
    (r.factor, r.lo, r.hi) = (nest.factor, nest.lo, nest.hi);
}

/// Filled up to whole panels.
fn padded(mut values: Vec<f32>) -> Vec<f32> {
    values.resize(values.len().next_multiple_of(LANES), 0.0);
    values
}
