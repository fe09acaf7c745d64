//! Depthwise convolution.

use tract_core::internal::*;

use super::Body;
use crate::kernels;

/// u8 `[1, h, w, c]` → u8 `[1, h', w', c]`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::encoder) struct Depthwise {
    pub(in crate::encoder) body: Body,
}

impl Eq for Depthwise {}

impl Op for Depthwise {
    fn name(&self) -> StaticName {
        "Int8Depthwise".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Depthwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Body { engine, geometry: g, .. } = &self.body;
        let image = inputs[0].try_as_plain_ram()?.as_slice::<u8>()?;
        let layer = kernels::Depthwise {
            channels: g.channels_out,
            kernel: g.kernel,
            stride: g.stride,
            pad_top: g.pad_top,
            pad_left: g.pad_left,
            height_in: g.height_in,
            width_in: g.width_in,
            height_out: g.height_out,
            width_out: g.width_out,
            stride_out: g.channels_out,
            weights: self.body.weights.get()?,
            requant: self.body.requant()?,
            pad: self.body.pad.get()?,
        };
        let mut output = self.body.output()?;
        let mut view = output.try_as_plain_ram_mut()?;
        engine.kernels.depthwise(&engine.pool, &layer, image, view.as_slice_mut::<u8>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Depthwise {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.body.output_facts())
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(self.body.cost())
    }
}
