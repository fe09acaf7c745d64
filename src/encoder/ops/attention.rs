//! Attention of several heads.

use tract_core::internal::*;

use super::{Compute, Engine, Input, reals, reals_of};
use crate::asset::encoder::{Layer, Shape};
use crate::kernels::{self, Out, Values};

/// Queries, keys and values, rows of real values each, to one row for each query.
pub(super) struct Attention {
    shapes: [Shape; 3],
    /// First channel of each.
    at: [usize; 3],
    heads: usize,
    factor: f32,
    width: usize,
}

impl Attention {
    pub(super) fn new(layer: &Layer) -> Self {
        let r = layer.record;
        Self {
            shapes: layer.inputs.map(|value| value.map_or(Shape::default(), |value| value.shape)),
            at: r.at.map(|at| at as usize),
            heads: r.heads as usize,
            factor: r.factor,
            width: r.shape.channels as usize,
        }
    }

    fn values<'a>(&self, inputs: &[Input<'a>], i: usize) -> TractResult<Values<'a>> {
        Ok(Values {
            data: &reals_of(inputs, i)?[self.at[i]..],
            stride: self.shapes[i].channels as usize,
            rows: self.shapes[i].positions(),
            columns: self.width,
        })
    }
}

impl Compute for Attention {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let attention = kernels::Attention {
            queries: self.values(inputs, 0)?,
            keys: self.values(inputs, 1)?,
            values: self.values(inputs, 2)?,
            heads: self.heads,
            factor: self.factor,
        };
        engine.kernels.attention(&engine.pool, &attention, &engine.attention, reals(out)?);
        Ok(())
    }
}
