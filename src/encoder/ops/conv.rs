//! Dense convolution: one matrix product with its rounding, and the block's residual if it has one.

use tract_core::internal::*;

use super::patches::unfold;
use super::{Body, Engine};
use crate::kernels::{Added, Out, Rows};

/// u8 `[1, h, w, c]` → u8 `[1, h', w', n]`; with a residual a second input of the output's shape.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::encoder) struct Conv {
    pub(in crate::encoder) body: Body,
    /// Steps of the output per step of the second input.
    pub(in crate::encoder) residual_scale: Option<f32>,
}

impl Eq for Conv {}

impl Op for Conv {
    fn name(&self) -> StaticName {
        "Int8Conv".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Conv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Body { engine, geometry: g, .. } = &self.body;
        let image = inputs[0].try_as_plain_ram()?.as_slice::<u8>()?;
        let added = match self.residual_scale {
            Some(scale) => Added::Codes(inputs[1].try_as_plain_ram()?.as_slice::<u8>()?, scale),
            None => Added::Nothing,
        };
        let (n, k) = (g.channels_out, g.columns);
        let weights = self.body.matrix()?;
        let (requant, pad) = (self.body.requant()?, self.body.pad.get::<u8>()?);
        let Engine { kernels, pool } = &**engine;

        let mut output = self.body.output()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let out = Out::Codes(view.as_slice_mut::<u8>()?);
        if g.pointwise {
            let rows = Rows::of_codes(image, k, g.positions_out());
            kernels.gemm(pool, rows, weights, requant, added, out, n);
        } else {
            let mut patches = vec![0; g.positions_out() * k];
            pool.split(&mut patches, k, |first, rows, _| unfold(g, image, pad, first, rows));
            let rows = Rows::of_codes(&patches, k, g.positions_out());
            kernels.gemm(pool, rows, weights, requant, added, out, n);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Conv {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.body.output_facts())
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(self.body.cost())
    }
}
