//! Dense convolution: one matrix product with its rounding, and the block's residual if it has one.

use tract_core::internal::*;

use super::patches::unfold;
use super::{Body, Geometry};
use crate::kernels::{PackedMatrix, Residual};

/// Output positions whose patches are unfolded at a time.
const BLOCK: usize = 64;

/// u8 `[1, h, w, c]` → u8 `[1, h', w', n]`; with a residual a second input of the output's shape.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::encoder) struct Conv {
    pub(in crate::encoder) body: Body,
    /// Steps of the output per step of the second input.
    pub(in crate::encoder) residual_scale: Option<f32>,
}

impl Eq for Conv {}

impl Conv {
    /// Bytes of scratch that each thread needs.
    pub(in crate::encoder) fn scratch(geometry: &Geometry) -> usize {
        if geometry.pointwise { 0 } else { BLOCK * geometry.columns }
    }
}

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
            Some(scale) => Some((scale, inputs[1].try_as_plain_ram()?.as_slice::<u8>()?)),
            None => None,
        };
        let (n, k) = (g.channels_out, g.columns);
        let weights = PackedMatrix { k, n, data: self.body.weights.get()? };
        let (requant, pad) = (self.body.requant()?, self.body.pad.get::<u8>()?);

        // Both functions write the output positions from `first` on.
        let product = |first: usize, rows: &[u8], out: &mut [u8]| {
            let residual = added
                .map(|(scale, data)| Residual { data: &data[first * n..][..out.len()], scale });
            engine.kernels.gemm(rows, k, out.len() / n, weights, requant, residual, out);
        };
        let unfolded = |first: usize, out: &mut [u8]| {
            engine.with_scratch(|scratch| {
                for (i, out) in out.chunks_mut(BLOCK * n).enumerate() {
                    let rows = &mut scratch[..out.len() / n * k];
                    unfold(g, image, pad, first + i * BLOCK, rows);
                    product(first + i * BLOCK, rows, out);
                }
            });
        };

        let mut output = self.body.output()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let out = view.as_slice_mut::<u8>()?;
        engine.split(out, n, |first, out| {
            if g.pointwise {
                product(first, &image[first * k..], out)
            } else {
                unfolded(first, out)
            }
        });
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
