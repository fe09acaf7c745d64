//! Pointwise convolution and the mean over all positions, without rounding between them: the end of
//! the trunk.

use tract_core::internal::*;

use super::Body;
use crate::kernels::{LANES, PackedMatrix, Requant};

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
        let (n, k) = (g.channels_out, g.columns);
        let weights = PackedMatrix { k, n, data: self.body.weights.get()? };
        let requant = self.body.requant()?;

        let mut output = Tensor::zero::<f32>(&[1, n])?;
        let mut view = output.try_as_plain_ram_mut()?;
        let out = view.as_slice_mut::<f32>()?;
        // A sum runs over all positions: threads share the channels, whole panels each.
        engine.split(out, LANES, |panel, out| {
            let requant = Requant {
                scale: &requant.scale[panel * LANES..],
                bias: &requant.bias[panel * LANES..],
                ..requant
            };
            let weights = weights.panels(panel..panel + out.len().div_ceil(LANES));
            engine.kernels.gemm_mean(image, k, g.positions_out(), weights, requant, out);
        });
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
