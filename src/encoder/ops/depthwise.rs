//! Depthwise convolution.

use tract_core::internal::*;

use super::patches::Window;
use super::{Compute, Engine, Input, Part, Source, Units, codes, codes_of};
use crate::asset::encoder::Layer;
use crate::kernels::{self, LANES, Out};

/// Codes `[h, w, c]` to codes `[h', w', m * c]`: output `j * c + i` is channel i's j-th.
pub(super) struct Depthwise {
    window: Window,
    multiplier: usize,
    weights: Part,
    /// See [`kernels::Depthwise::are_bytes`].
    are_bytes: bool,
    units: Units,
    pad: Part,
}

impl Depthwise {
    pub(super) fn new(source: &Source, layer: &Layer) -> TractResult<Self> {
        let weights = source.part(layer.record.weights);
        let are_bytes = weights.get::<i16>()?.iter().all(|weight| i8::try_from(*weight).is_ok());
        Ok(Self {
            window: Window::of(layer),
            multiplier: layer.multiplier(),
            weights,
            are_bytes,
            units: Units::new(source, layer),
            pad: source.part(layer.record.pad),
        })
    }
}

impl Compute for Depthwise {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (w, image, out) = (&self.window, codes_of(inputs, 0)?, codes(out)?);
        let (weights, pad, units) =
            (self.weights.get::<i16>()?, self.pad.get()?, self.units.get()?);
        let padded = w.channels_in.next_multiple_of(LANES);
        for j in 0..self.multiplier {
            let layer = kernels::Depthwise {
                channels: w.channels_in,
                kernel: w.kernel,
                stride: w.stride,
                pad_top: w.pad_top,
                pad_left: w.pad_left,
                height_in: w.height_in,
                width_in: w.width_in,
                height_out: w.height_out,
                width_out: w.width_out,
                stride_out: self.multiplier * w.channels_in,
                weights: &weights[j * weights.len() / self.multiplier..],
                are_bytes: self.are_bytes,
                requant: units.from(j * padded),
                pad,
            };
            engine.kernels.depthwise(&engine.pool, &layer, image, &mut out[j * w.channels_in..]);
        }
        Ok(())
    }
}
