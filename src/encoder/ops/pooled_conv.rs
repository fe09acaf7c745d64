//! Pointwise convolution and the mean over all positions, without rounding between them: the end of
//! the trunk.

use tract_core::internal::*;

use super::Body;
use crate::kernels::Rows;

/// u8 `[1, h, w, c]` → f32 `[1, n]`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::encoder) struct PooledConv {
    pub(in crate::encoder) body: Body,
}

impl Eq for PooledConv {}

impl Op for PooledConv {
    fn name(&self) -> StaticName {
        "Int8PooledConv".into()
    }

    op_as_typed_op!();
}

impl EvalOp for PooledConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Body { engine, geometry: g, .. } = &self.body;
        let image = inputs[0].try_as_plain_ram()?.as_slice::<u8>()?;
        let rows = Rows::of_codes(image, g.columns, g.positions_out());
        let (weights, requant) = (self.body.matrix()?, self.body.requant()?);
        let mut output = Tensor::zero::<f32>(&[1, g.channels_out])?;
        let mut view = output.try_as_plain_ram_mut()?;
        let out = view.as_slice_mut::<f32>()?;
        engine.kernels.gemm_mean(&engine.pool, rows, weights, requant, out);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for PooledConv {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact([1, self.body.geometry.channels_out])))
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(self.body.cost())
    }
}
