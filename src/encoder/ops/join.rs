//! Values put together.

use tract_core::internal::*;

use super::{Compute, Engine, Input, reals, reals_of};
use crate::asset::encoder::Layer;
use crate::kernels::Out;

/// Cuts each value into equally many runs and gives the first runs of all, then the second ones: along
/// the axis whose outer axes have so many places.
pub(super) struct Join {
    runs: usize,
}

impl Join {
    pub(super) fn new(layer: &Layer) -> Self {
        Self { runs: layer.record.kept as usize }
    }
}

impl Compute for Join {
    fn compute(&self, _: &Engine, inputs: &[Input], out: Out) -> TractResult<()> {
        let mut values: TVec<&[f32]> = tvec!();
        for i in 0..inputs.len() {
            values.push(reals_of(inputs, i)?);
        }
        join(self.runs, &values, reals(out)?);
        Ok(())
    }
}

/// The values' runs by turns.
pub(in crate::encoder) fn join(runs: usize, values: &[&[f32]], mut out: &mut [f32]) {
    for run in 0..runs {
        for value in values {
            let len = value.len() / runs;
            let (to, rest) = std::mem::take(&mut out).split_at_mut(len);
            to.copy_from_slice(&value[run * len..][..len]);
            out = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs_of_all_values_follow_each_other() {
        let mut out = [0.0; 9];
        super::join(3, &[&[1.0, 2.0, 3.0], &[4.0, 4.5, 5.0, 5.5, 6.0, 6.5]], &mut out);
        assert_eq!(out, [1.0, 4.0, 4.5, 2.0, 5.0, 5.5, 3.0, 6.0, 6.5]);
    }
}
