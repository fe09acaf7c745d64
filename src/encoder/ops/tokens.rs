//! What makes tokens of an image's positions, takes some of them, or stands in for them.

use tract_core::internal::*;

use super::{Compute, Engine, Input, Part, Source, reals, reals_of};
use crate::asset::encoder::Layer;
use crate::kernels::Out;
use crate::math;

/// Positions `[p, c]` to tokens `[t, c]`: rows in front (class token, registers, or the mean), then
/// something added to all of them (the embedding of their places). Codes become real values first.
pub(super) struct Tokens {
    channels: usize,
    prefix: Part,
    mean: bool,
    add: Part,
    /// Real value of a code: scale and bias.
    units: [Part; 2],
}

impl Tokens {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        Self {
            channels: r.shape.channels as usize,
            prefix: source.part(r.values),
            mean: r.mean == 1,
            add: source.part(r.add),
            units: [source.part(r.scale), source.part(r.bias)],
        }
    }
}

impl Compute for Tokens {
    fn compute(&self, _: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (out, prefix) = (reals(out)?, self.prefix.get()?);
        let (front, rest) = out.split_at_mut(prefix.len());
        front.copy_from_slice(prefix);
        let (first, rest) = rest.split_at_mut(if self.mean { self.channels } else { 0 });
        match inputs.first() {
            Some(Input::Real(values)) => rest.copy_from_slice(values),
            Some(Input::Codes(codes)) => {
                let [scale, bias] = [self.units[0].get::<f32>()?, self.units[1].get::<f32>()?];
                let rows = rest.chunks_exact_mut(self.channels);
                for (out, codes) in rows.zip(codes.chunks_exact(self.channels)) {
                    for (c, (out, code)) in out.iter_mut().zip(codes).enumerate() {
                        *out = math::mul_add(f32::from(*code), scale[c], bias[c]);
                    }
                }
            }
            None => bail!("no positions"),
        }
        if self.mean {
            mean(rest, first);
        }
        out.iter_mut().zip(self.add.get::<f32>()?).for_each(|(x, add)| *x += add);
        Ok(())
    }
}

/// The mean of rows as long as `out`, added up in their order.
pub(super) fn mean(rows: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for row in rows.chunks_exact(out.len()) {
        out.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let count = (rows.len() / out.len()) as f32;
    out.iter_mut().for_each(|sum| *sum /= count);
}

/// As many rows as the result has, from one on.
pub(super) struct Rows {
    start: usize,
}

impl Rows {
    pub(super) fn new(layer: &Layer) -> Self {
        Self { start: layer.record.at[0] as usize * layer.record.shape.channels as usize }
    }
}

impl Compute for Rows {
    fn compute(&self, _: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let out = reals(out)?;
        out.copy_from_slice(&reals_of(inputs, 0)?[self.start..][..out.len()]);
        Ok(())
    }
}

/// The same for every picture.
pub(super) struct Constant {
    values: Part,
}

impl Constant {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        Self { values: source.part(layer.record.values) }
    }
}

impl Compute for Constant {
    fn compute(&self, _: &Engine, _: &[Input], out: Out) -> TractResult<()> {
        reals(out)?.copy_from_slice(self.values.get()?);
        Ok(())
    }
}
