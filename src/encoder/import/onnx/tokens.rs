//! Tokens put together.

use tract_onnx::tract_core::internal::*;

use super::super::ir::{Op, Tokens};
use super::constant::Spread;
use super::lower::{Lowered, Lowering};
use super::view::{Along, View};

impl Lowering<'_> {
    /// Tokens put together: constant rows, or one of another value, and then a value's.
    pub(super) fn concat(&mut self, node: &TypedNode, axis: usize) -> Lowered {
        let Some((last, front)) = node.inputs.split_last() else {
            return Err("it has no inputs".into());
        };
        let view = self.view(*last).map_err(|_| "it puts constants behind a value")?;
        let view = self.whole(node, view)?;
        let channels = view.channels;
        let tokens = view.extent() == Some((view.axes[axis].len, channels))
            && (view.along(axis) == Along::Rows(1) || view.rows == 1 && view.axes[axis].len == 1);
        if !tokens || view.order.is_some() {
            return Err("only tokens can be put together".into());
        }
        let mut prefix = Vec::new();
        let mut inputs = Vec::new();
        for outlet in front {
            if let Ok(row) = self.view(*outlet) {
                let row = self.whole(node, row)?;
                if row.rows != 1 || row.channels != channels || row.order.is_some() {
                    return Err("only one row can be put in front of tokens".into());
                }
                inputs.push(row.value);
                continue;
            }
            let constant = self.constant(*outlet).ok_or("an input is unknown")?;
            let count = constant.dims[axis];
            let shown: Vec<(usize, usize)> = (0..constant.dims.len())
                .map(|other| {
                    let step = if other == axis { channels } else { view.axes[other].step };
                    (constant.dims[other], step)
                })
                .collect();
            // As if it were a value of so many rows.
            let shown = View::new(0, count.max(2), channels, &shown);
            let spread = constant.spread(&shown).ok_or("its constants have another shape")?;
            let (Spread::Rows(values) | Spread::Channels(values)) = spread;
            prefix.extend(values[..count * channels].iter().map(|x| *x as f32));
        }
        let op = match (prefix.is_empty(), inputs.len()) {
            (false, 0) => Op::Tokens(Tokens { prefix, mean: false, add: Vec::new() }),
            (true, 1) => Op::Join { runs: 1 },
            _ => return Err("only constants, or one row, can be put in front of tokens".into()),
        };
        inputs.push(view.value);
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let rows = dims[axis];
        let value = self.push(node, op, &inputs, [1, rows, channels]);
        let axes: Vec<(usize, usize)> = (0..dims.len())
            .map(|other| {
                let step = if other == axis { channels } else { view.axes[other].step };
                (dims[other], step)
            })
            .collect();
        Ok(View::new(value, rows, channels, &axes))
    }
}
