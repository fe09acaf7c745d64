//! Depthwise convolution, one output row at a time.

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
            pad_left: g.pad_left,
            width_in: g.width_in,
            width_out: g.width_out,
            weights: self.body.weights.get()?,
            requant: self.body.requant()?,
            pad: self.body.pad.get()?,
        };
        let row_in = g.width_in * g.channels_in;
        let row_out = g.width_out * g.channels_out;
        let input_row = |y: usize| match y.checked_sub(g.pad_top) {
            Some(y) if y < g.height_in => &image[y * row_in..(y + 1) * row_in],
            _ => &[],
        };

        let mut output = self.body.output()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let out = view.as_slice_mut::<u8>()?;
        engine.split(out, row_out, |first, out| {
            for (i, out) in out.chunks_exact_mut(row_out).enumerate() {
                let mut rows: [&[u8]; kernels::MAX_SIDE] = Default::default();
                let rows = &mut rows[..g.kernel];
                for (tap, row) in rows.iter_mut().enumerate() {
                    *row = input_row((first + i) * g.stride + tap);
                }
                engine.kernels.depthwise(&layer, rows, out);
            }
        });
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
