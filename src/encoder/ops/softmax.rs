//! Softmax outside of an attention that has an int8 form.

use tract_core::internal::*;

use super::{Compute, Engine, Input, reals, reals_of};
use crate::asset::encoder::{Layer, greater};
use crate::kernels::Out;
use crate::math;

/// Over the channels of each row.
pub(super) struct Softmax {
    channels: usize,
}

impl Softmax {
    pub(super) fn new(layer: &Layer) -> Self {
        Self { channels: layer.record.shape.channels as usize }
    }
}

impl Compute for Softmax {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let (values, c) = (reals_of(inputs, 0)?, self.channels);
        engine.pool.split(reals(out)?, c, |first, out, _| {
            let rows = values[first * c..].chunks_exact(c);
            rows.zip(out.chunks_exact_mut(c)).for_each(|(row, out)| softmax(row, out));
        });
        Ok(())
    }
}

/// One row.
pub(in crate::encoder) fn softmax(row: &[f32], out: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, greater);
    let mut sum = 0.0;
    for (y, x) in out.iter_mut().zip(row) {
        *y = math::exp(x - most);
        sum += *y;
    }
    out.iter_mut().for_each(|y| *y /= sum);
}
