//! Dense convolution and linear layer: one matrix product with everything that stands around it.

use tract_core::internal::*;

use super::patches::{Window, unfold};
use super::{Compute, Engine, Input, Part, Source, Units, codes_of, reals, reals_of};
use crate::asset::encoder::{Element, Layer};
use crate::kernels::{Added, Kernels, Out, PackedMatrix, Quantize, Rows, Values};

/// Bytes of patches that are unfolded at a time, which a level-2 cache holds while the weights pass by.
const PATCHES: usize = 256 * 1024;
/// Their rows at least: weights that pass by for fewer take longer to come than to be multiplied.
const FEWEST_ROWS: usize = 60;
/// And at most.
const MOST_ROWS: usize = 240;

/// Patches of `columns` that are unfolded at a time, at most.
fn most_rows(columns: usize) -> usize {
    (PATCHES / columns.max(1)).clamp(FEWEST_ROWS, MOST_ROWS)
}

/// Codes `[h, w, c]` under a kernel, or rows of real values, times weights.
pub(super) struct Conv {
    window: Window,
    outputs: usize,
    weights: Part,
    sums: Part,
    units: Units,
    pad: Part,
    added: Option<(Element, f32)>,
    /// The mean over all positions is given.
    mean: bool,
    /// How real rows become codes, and their factors.
    quantize: Option<(Option<f32>, Part)>,
}

/// Whether a layer reads real values, which become codes while it runs.
pub(super) fn is_dynamic(layer: &Layer) -> bool {
    layer.inputs[0].is_some_and(|value| value.element == Element::Real)
}

/// Bytes of scratch that each thread needs for a layer.
pub(super) fn scratch(kernels: &Kernels, layer: &Layer) -> usize {
    use crate::asset::encoder::LayerKind::{Attention, Conv};
    match layer.kind {
        Conv if layer.is_pointwise() => kernels.scratch(layer.columns()),
        Conv => {
            let columns = layer.columns();
            most_rows(columns) * columns + kernels.scratch(columns)
        }
        Attention => {
            let tokens = layer.inputs[1].map_or(0, |keys| keys.shape.positions());
            let depth = layer.record.shape.channels / layer.record.heads;
            kernels.scratch(tokens).max(kernels.scratch(depth as usize))
        }
        _ => 0,
    }
}

impl Conv {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        let epsilon = (r.norm == 1).then_some(r.epsilon);
        Self {
            window: Window::of(layer),
            outputs: r.shape.channels as usize,
            weights: source.part(r.weights),
            sums: source.part(r.sums),
            units: Units::new(source, layer),
            pad: source.part(r.pad),
            added: layer.inputs[1].map(|value| (value.element, r.factor)),
            mean: r.mean == 1,
            quantize: is_dynamic(layer).then(|| (epsilon, source.part(r.factors))),
        }
    }

    fn added<'a>(&self, inputs: &[Input<'a>]) -> TractResult<Added<'a>> {
        Ok(match self.added {
            None => Added::Nothing,
            Some((Element::Codes, scale)) => Added::Codes(codes_of(inputs, 1)?, scale),
            Some((Element::Real, _)) => Added::Real(reals_of(inputs, 1)?),
        })
    }
}

impl Compute for Conv {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let Engine { kernels, pool, .. } = engine;
        let (w, n) = (&self.window, self.outputs);
        let weights =
            PackedMatrix { k: w.columns, n, data: self.weights.get()?, sums: self.sums.get()? };
        let (requant, added) = (self.units.get()?, self.added(inputs)?);
        let mut workspace = engine.workspace();
        let rows = match &self.quantize {
            Some((epsilon, factors)) => {
                let (data, len, count) = (reals_of(inputs, 0)?, w.channels_in, w.positions());
                let values = Values { data, stride: len, rows: count, columns: len };
                let quantize = Quantize { len, epsilon: *epsilon, factors: factors.get()? };
                kernels.quantize_rows(pool, &quantize, &values, workspace.rows(count, len));
                let stride = len.next_multiple_of(4);
                let (scale, zero) = (&workspace.scale[..count], &workspace.zero[..count]);
                Rows { scale, zero, ..Rows::of_codes(&workspace.codes, stride, count) }
            }
            None if w.pointwise => Rows::of_codes(codes_of(inputs, 0)?, w.columns, w.positions()),
            None => {
                let pad = self.pad.get()?;
                return self.patches(engine, weights, codes_of(inputs, 0)?, pad, added, out);
            }
        };
        if self.mean {
            kernels.gemm_mean(pool, rows, weights, requant, reals(out)?);
        } else {
            kernels.gemm(pool, rows, weights, requant, added, out, n);
        }
        Ok(())
    }
}

impl Conv {
    /// A kernel of more than one position: blocks of patches, each multiplied while it is in the cache.
    fn patches(
        &self,
        engine: &Engine,
        weights: PackedMatrix,
        image: &[u8],
        pad: &[u8],
        added: Added,
        out: Out,
    ) -> TractResult<()> {
        let Engine { kernels, pool, .. } = engine;
        let (w, n) = (&self.window, self.outputs);
        let requant = self.units.get()?;
        let block = |first: usize, count: usize, out: Out, scratch: &mut [u8]| {
            let (rows, scratch) = scratch.split_at_mut(count * w.columns);
            unfold(w, image, pad, first, rows);
            let rows = Rows::of_codes(rows, w.columns, count);
            let added = match added {
                Added::Nothing => Added::Nothing,
                Added::Codes(codes, scale) => Added::Codes(&codes[first * n..], scale),
                Added::Real(values) => Added::Real(&values[first * n..]),
            };
            kernels.gemm_here(scratch, rows, weights, requant, added, out, n);
        };
        // Blocks of one height, one for each thread at least.
        let count = w.positions();
        let blocks = count.div_ceil(most_rows(w.columns)).max(pool.threads());
        let rows = count.div_ceil(blocks).max(1);
        match out {
            Out::Codes(out) => pool.split(&mut out[..count * n], rows * n, |first, out, worker| {
                for (i, out) in out.chunks_mut(rows * n).enumerate() {
                    block((first + i) * rows, out.len() / n, Out::Codes(out), worker.scratch);
                }
            }),
            Out::Real(out) => pool.split(&mut out[..count * n], rows * n, |first, out, worker| {
                for (i, out) in out.chunks_mut(rows * n).enumerate() {
                    block((first + i) * rows, out.len() / n, Out::Real(out), worker.scratch);
                }
            }),
        }
        Ok(())
    }
}
