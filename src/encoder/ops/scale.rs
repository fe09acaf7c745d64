//! Squeeze-excite: the mean of every channel, and codes times a gate for each channel.

use tract_core::internal::*;

use super::tokens::mean;
use super::{Compute, Engine, Input, Part, Source, Units, codes, codes_of, reals, reals_of};
use crate::asset::encoder::{Element, Layer};
use crate::kernels::{Out, Requant};
use crate::math;

/// `[h, w, c]` to the mean of each channel.
pub(super) struct Mean {
    element: Element,
    /// Real value of a code: scale and bias.
    units: [Part; 2],
}

impl Mean {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let element = layer.inputs[0].map_or(Element::Real, |value| value.element);
        let r = layer.record;
        Self { element, units: [source.part(r.scale), source.part(r.bias)] }
    }
}

impl Compute for Mean {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let out = reals(out)?;
        let channels = out.len();
        if self.element == Element::Real {
            mean(reals_of(inputs, 0)?, out);
            return Ok(());
        }
        let (image, scale, bias) =
            (codes_of(inputs, 0)?, self.units[0].get::<f32>()?, self.units[1].get::<f32>()?);
        let count = (image.len() / channels) as f32;
        engine.pool.split(out, 16, |first, out, _| {
            let first = first * 16;
            // Sums of codes are exact in f32 below 2^24, which is 65,793 positions.
            out.fill(0.0);
            for row in image.chunks_exact(channels) {
                for (sum, code) in out.iter_mut().zip(&row[first..]) {
                    *sum += f32::from(*code);
                }
            }
            for (i, sum) in out.iter_mut().enumerate() {
                *sum = math::mul_add(*sum / count, scale[first + i], bias[first + i]);
            }
        });
        Ok(())
    }
}

/// Codes `[h, w, c]` and a gate `[1, 1, c]` to codes.
pub(super) struct Scale {
    channels: usize,
    units: Units,
}

impl Scale {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let channels = layer.record.shape.channels as usize;
        Self { channels, units: Units::new(source, layer) }
    }
}

impl Compute for Scale {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (image, gate, c) = (codes_of(inputs, 0)?, reals_of(inputs, 1)?, self.channels);
        let requant = self.units.get()?;
        let mut workspace = engine.workspace();
        let [scale, bias] = &mut workspace.units;
        for (i, gate) in gate.iter().enumerate() {
            scale[i] = requant.scale[i] * gate;
            bias[i] = requant.bias[i] * gate;
        }
        let requant = Requant { scale, bias, ..requant };
        engine.pool.split(codes(out)?, c, |first, out, _| {
            let rows = image[first * c..].chunks_exact(c);
            for (row, out) in rows.zip(out.chunks_exact_mut(c)) {
                engine.kernels.scale_codes(&requant, row, out);
            }
        });
        Ok(())
    }
}
