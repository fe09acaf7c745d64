//! Layer normalisation whose result is used as it is.

use tract_core::internal::*;

use super::{Compute, Engine, Input, Part, Source, reals, reals_of};
use crate::asset::encoder::Layer;
use crate::kernels::Out;

/// Rows of real values to rows of mean 0 and deviation 1, times gain plus shift.
pub(super) struct Norm {
    epsilon: f32,
    gain: Part,
    shift: Part,
}

impl Norm {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        Self { epsilon: r.epsilon, gain: source.part(r.scale), shift: source.part(r.bias) }
    }
}

impl Compute for Norm {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (values, gain, shift) = (reals_of(inputs, 0)?, self.gain.get()?, self.shift.get()?);
        let c = gain.len();
        engine.pool.split(reals(out)?, c, |first, out, _| {
            let rows = values[first * c..].chunks_exact(c);
            for (row, out) in rows.zip(out.chunks_exact_mut(c)) {
                engine.kernels.normalize(self.epsilon, gain, shift, row, out);
            }
        });
        Ok(())
    }
}
