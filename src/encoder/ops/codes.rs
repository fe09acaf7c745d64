//! Real values to codes, where a convolution over positions reads what only exists as real values.

use tract_core::internal::*;

use super::{Compute, Engine, Input, Part, Source, codes, reals_of};
use crate::asset::encoder::{Layer, greater, lesser};
use crate::kernels::Out;
use crate::math;

/// With one step and zero point for each channel, fixed at import.
pub(super) struct Codes {
    channels: usize,
    /// Codes per unit, and the code of zero.
    per_unit: Part,
    zero: Part,
}

impl Codes {
    pub(super) fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        let channels = r.shape.channels as usize;
        Self { channels, per_unit: source.part(r.step), zero: source.part(r.zero) }
    }
}

impl Compute for Codes {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (values, c) = (reals_of(inputs, 0)?, self.channels);
        let (per_unit, zero) = (&self.per_unit.get::<f32>()?[..c], &self.zero.get::<f32>()?[..c]);
        engine.pool.split(codes(out)?, c, |first, out, _| {
            let rows = values[first * c..].chunks_exact(c);
            for (row, out) in rows.zip(out.chunks_exact_mut(c)) {
                for (((code, x), per_unit), zero) in out.iter_mut().zip(row).zip(per_unit).zip(zero)
                {
                    let y = lesser(greater(x * per_unit + zero, 0.0), 255.0);
                    *code = math::round_even(y) as u8;
                }
            }
        });
        Ok(())
    }
}
