//! A convolution or linear layer whose weights stay in float: slow, for the few layers that would cost
//! an encoder its likeness to the float network.

use std::sync::{Mutex, PoisonError};

use tract_core::internal::*;

use super::patches::{Window, unfold};
use super::{Compute, Engine, Input, Part, Source, Units};
use crate::asset::encoder::Layer;
use crate::kernels::{Kernels, Out, Requant};
use crate::math;

/// Output positions that a thread takes at a time.
const BLOCK: usize = 4;

/// What [`Conv`](super::conv::Conv) computes, with f32 weights `[outputs][depth]` and codes as they
/// are (their units are in the weights).
pub(super) struct Float {
    window: Window,
    outputs: usize,
    depth: usize,
    weights: Part,
    units: Units,
    pad: Part,
    added: Option<f32>,
    epsilon: Option<f32>,
    factors: Part,
}

/// Room of one thread: a patch of codes, and the row that is multiplied.
#[derive(Default)]
pub(super) struct FloatScratch {
    codes: Vec<u8>,
    row: Vec<f32>,
    zeros: Vec<f32>,
    ones: Vec<f32>,
}

impl FloatScratch {
    pub(super) fn reserve(&mut self, columns: usize) {
        super::grow(&mut self.codes, columns);
        super::grow(&mut self.row, columns);
        super::grow(&mut self.zeros, columns);
        if self.ones.len() < columns {
            self.ones.resize(columns, 1.0);
        }
    }
}

impl Float {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        Self {
            window: Window::of(layer),
            outputs: r.shape.channels as usize,
            depth: layer.depth(),
            weights: source.part(r.weights),
            units: Units::new(source, layer),
            pad: source.part(r.pad),
            added: layer.inputs[1].map(|_| r.factor),
            epsilon: (r.norm == 1).then_some(r.epsilon),
            factors: source.part(r.factors),
        }
    }
}

/// A layer and its inputs, with everything at hand: nothing can fail any more.
struct Run<'a> {
    layer: &'a Float,
    kernels: &'a Kernels,
    weights: &'a [f32],
    requant: Requant<'a>,
    pad: &'a [u8],
    factors: &'a [f32],
    input: Input<'a>,
    added: Option<(Input<'a>, f32)>,
}

impl Run<'_> {
    /// Writes the row of position `at` into the scratch.
    fn row(&self, at: usize, scratch: &mut FloatScratch) {
        let (layer, depth) = (self.layer, self.layer.depth);
        let row = &mut scratch.row[..depth];
        match self.input {
            Input::Codes(image) => {
                let codes = &mut scratch.codes[..layer.window.columns];
                if layer.window.pointwise {
                    codes.copy_from_slice(&image[at * depth..][..depth]);
                } else {
                    unfold(&layer.window, image, self.pad, at, codes);
                }
                row.iter_mut().zip(&*codes).for_each(|(x, code)| *x = f32::from(*code));
            }
            Input::Real(values) => {
                let values = &values[at * depth..][..depth];
                let ones = &scratch.ones[..depth];
                let gain = if self.factors.is_empty() { ones } else { self.factors };
                if let Some(epsilon) = layer.epsilon {
                    self.kernels.normalize(epsilon, gain, &scratch.zeros[..depth], values, row);
                } else {
                    let both = values.iter().zip(gain);
                    row.iter_mut().zip(both).for_each(|(y, (x, gain))| *y = x * gain);
                }
            }
        }
    }

    /// Rows of results from position `first` on, each value made by `store`.
    fn block<T>(
        &self,
        first: usize,
        scratch: &Mutex<FloatScratch>,
        out: &mut [T],
        store: impl Fn(f32) -> T,
    ) {
        let (n, depth) = (self.layer.outputs, self.layer.depth);
        // A panic while it was lent leaves nothing in it that anybody reads.
        let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
        for (i, out) in out.chunks_exact_mut(n).enumerate() {
            let at = first + i;
            self.row(at, &mut scratch);
            let row = &scratch.row[..depth];
            for (c, out) in out.iter_mut().enumerate() {
                let sum = self.kernels.dot_f32(row, &self.weights[c * depth..][..depth]);
                let y = self.requant.activated(c, sum, 1.0, false);
                let y = match self.added {
                    Some((Input::Codes(codes), scale)) => {
                        math::mul_add(f32::from(codes[at * n + c]), scale, y)
                    }
                    Some((Input::Real(values), _)) => y + values[at * n + c],
                    None => y,
                };
                *out = store(y.max(self.requant.lo).min(self.requant.hi));
            }
        }
    }
}

impl Compute for Float {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let added = match self.added {
            Some(factor) => Some((*inputs.get(1).context("a value to add")?, factor)),
            None => None,
        };
        let run = Run {
            layer: self,
            kernels: engine.kernels,
            weights: self.weights.get()?,
            requant: self.units.get()?,
            pad: self.pad.get()?,
            factors: self.factors.get()?,
            input: *inputs.first().context("an input")?,
            added,
        };
        let group = BLOCK * self.outputs;
        match out {
            Out::Codes(out) => engine.pool.split(out, group, |block, out, worker| {
                let scratch = &engine.float[worker.index];
                run.block(block * BLOCK, scratch, out, |y| math::round_even(y) as u8);
            }),
            Out::Real(out) => engine.pool.split(out, group, |block, out, worker| {
                run.block(block * BLOCK, &engine.float[worker.index], out, |y| y);
            }),
        }
        Ok(())
    }
}
