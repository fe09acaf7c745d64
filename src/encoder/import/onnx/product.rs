//! Matrix products: by constants they are linear layers; of two values they are an attention's.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::super::ir::{Conv, Op};
use super::constant::Constant;
use super::lower::{Lowered, Lowering};
use super::view::{Along, View};

/// One index of a product: its axis in both inputs and in the result.
#[derive(Clone, Copy)]
pub(super) struct Index {
    pub(super) inputs: [Option<usize>; 2],
    pub(super) out: Option<usize>,
}

impl Lowering<'_> {
    pub(super) fn product(&mut self, node: &TypedNode, op: &EinSum) -> Lowered {
        let &[a, b] = node.inputs.as_slice() else {
            return Err("it has not two inputs".into());
        };
        if op.q_params.is_some() {
            return Err("it is quantized".into());
        }
        let indices = indices(op);
        let constant = |outlet| self.constant(outlet);
        match (constant(a), constant(b)) {
            (None, None) => {
                let (a, b) = (self.view(a)?, self.view(b)?);
                if self.is_softmax(a.value) {
                    self.mix(node, &indices, a, b, [0, 1])
                } else if self.is_softmax(b.value) {
                    self.mix(node, &indices, b, a, [1, 0])
                } else {
                    self.scores(node, &indices, [a, b])
                }
            }
            (None, Some(weights)) => self.by_constant(node, &indices, a, weights, [0, 1]),
            (Some(weights), None) => self.by_constant(node, &indices, b, weights, [1, 0]),
            (Some(_), Some(_)) => Err("it does not depend on the picture".into()),
        }
    }

    fn by_constant(
        &mut self,
        node: &TypedNode,
        indices: &[Index],
        value: OutletId,
        weights: Constant,
        [x, w]: [usize; 2],
    ) -> Lowered {
        let view = self.view(value)?;
        let long = |index: &Index, side: usize, dims: &[usize]| {
            index.inputs[side].is_some_and(|axis| dims[axis] > 1)
        };
        let dims = view.dims();
        let shared = |i: &&Index| long(i, x, &dims) && long(i, w, &weights.dims);
        if indices.iter().filter(shared).any(|index| index.out.is_some()) {
            // Queries that do not depend on the picture, split into heads like the keys.
            let query = self.constant_rows(node, indices, &weights, w)?;
            let mut views = [view.clone(), view];
            views[w] = query;
            return self.scores(node, indices, views);
        }
        self.linear(node, indices, view, &weights, [x, w])
    }

    /// A linear layer.
    pub(super) fn linear(
        &mut self,
        node: &TypedNode,
        indices: &[Index],
        view: View,
        weights: &Constant,
        [x, w]: [usize; 2],
    ) -> Lowered {
        let view = self.all_rows(node, view)?;
        let steps = weights.steps();
        // Places in the weights and in the inputs' and outputs' channels.
        let (mut inputs, mut outputs) = (vec![(0, 0)], vec![0]);
        let mut kept = Vec::new();
        let product = |at: &[(usize, usize)], len: usize, from: usize, to: usize| {
            let each = |&(a, b): &(usize, usize)| (0..len).map(move |i| (a + i * from, b + i * to));
            at.iter().flat_map(each).collect::<Vec<_>>()
        };
        let mut by_output: Vec<&Index> = indices.iter().collect();
        by_output.sort_by_key(|index| index.out);
        for index in by_output {
            let own = index.inputs[x].filter(|axis| view.axes[*axis].len > 1);
            let other = index.inputs[w].filter(|axis| weights.dims[*axis] > 1);
            match (own, other, index.out) {
                (Some(axis), Some(of), None) => {
                    let Along::Channels(step) = view.along(axis) else {
                        return Err("it sums over positions".into());
                    };
                    inputs = product(&inputs, view.axes[axis].len, steps[of], step);
                }
                (Some(axis), None, Some(out)) => {
                    let Along::Rows(step) = view.along(axis) else {
                        return Err("it keeps input channels apart".into());
                    };
                    kept.push((out, view.axes[axis].len, Some(step)));
                }
                (None, Some(of), Some(out)) => {
                    let (len, step) = (weights.dims[of], steps[of]);
                    let next = outputs.iter().flat_map(|at| (0..len).map(move |i| at + i * step));
                    outputs = next.collect();
                    kept.push((out, len, None));
                }
                (None, None, Some(out)) => kept.push((out, 1, None)),
                (None, None, None) => {}
                _ => return Err("it is not a linear layer".into()),
            }
        }
        let (_, first) = view.start();
        let (n, depth) = (outputs.len(), view.channels);
        let mut matrix = vec![0.0; n * depth];
        for (row, at) in matrix.chunks_exact_mut(depth).zip(&outputs) {
            for (from, to) in &inputs {
                let weight = f64::from(weights.values[at + from]) * view.factor;
                row[view.stored(first + to)] = weight as f32;
            }
        }
        let [height, width, _] = self.net.shape(view.value);
        let conv = Conv::new(matrix, vec![0.0; n]);
        let value = self.push(node, Op::Conv(conv), &[view.value], [height, width, n]);
        // Outputs lie in the order of their axes in the result.
        kept.sort_unstable();
        let mut step = 1;
        let mut axes = Vec::new();
        for &(_, len, row) in kept.iter().rev() {
            axes.push((len, row.map_or(step, |row| row * n)));
            step *= if row.is_none() { len } else { 1 };
        }
        axes.reverse();
        Ok(View::new(value, view.rows, n, &axes))
    }
}

/// The indices of a product of two inputs.
pub(super) fn indices(op: &EinSum) -> Vec<Index> {
    let one = |axes: &[usize]| axes.first().copied();
    let index = |axis: &Axis| Index {
        inputs: [one(&axis.inputs[0]), one(&axis.inputs[1])],
        out: one(&axis.outputs[0]),
    };
    op.axes.iter_all_axes().map(index).collect()
}

/// A product of constants, in one order on every processor.
pub(super) fn of_constants(op: &EinSum, a: &Constant, b: &Constant, dims: &[usize]) -> Vec<f32> {
    let mut indices = indices(op);
    indices.sort_by_key(|index| index.out);
    let steps = [a.steps(), b.steps()];
    // Places in both inputs, of the results and of what is summed for one of them.
    let (mut results, mut summed) = (vec![[0, 0]], vec![[0, 0]]);
    for index in &indices {
        let dim = |side: usize, constant: &Constant| {
            index.inputs[side].map(|axis| (constant.dims[axis], steps[side][axis]))
        };
        let sides = [dim(0, a), dim(1, b)];
        let len = match index.out {
            Some(out) => dims[out],
            None => sides.iter().flatten().map(|(len, _)| *len).max().unwrap_or(1),
        };
        let step = sides.map(|side| side.filter(|(len, _)| *len > 1).map_or(0, |(_, step)| step));
        let places = if index.out.is_some() { &mut results } else { &mut summed };
        *places = places
            .iter()
            .flat_map(|at| (0..len).map(move |i| [at[0] + i * step[0], at[1] + i * step[1]]))
            .collect();
    }
    let value = |at: &[usize; 2]| {
        let product = |of: &[usize; 2]| {
            f64::from(a.values[at[0] + of[0]]) * f64::from(b.values[at[1] + of[1]])
        };
        summed.iter().map(product).sum::<f64>() as f32
    };
    results.iter().map(value).collect()
}
