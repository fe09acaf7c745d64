//! The two matrix products of an attention and the softmax between them.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

use super::super::ir::{Attention, Op, Value};
use super::constant::Constant;
use super::lower::{Lowered, Lowering};
use super::product::Index;
use super::view::{Along, View};

/// An index by what it does in an attention.
#[derive(Default)]
struct Roles {
    /// In both inputs and summed.
    inner: Option<Index>,
    /// In both inputs and the result.
    heads: Option<Index>,
    /// In one input and the result.
    only: [Option<Index>; 2],
}

impl Lowering<'_> {
    /// Whether a value is the softmax of products of queries and keys, and of nothing else.
    pub(super) fn is_softmax(&self, value: Value) -> bool {
        let Some(Op::Softmax) = self.net.op(value) else { return false };
        matches!(self.net.op(self.net.nodes[value - 1].inputs[0]), Some(Op::Scores(_)))
    }

    /// Products of queries and keys.
    pub(super) fn scores(
        &mut self,
        node: &TypedNode,
        indices: &[Index],
        views: [View; 2],
    ) -> Lowered {
        let roles = roles(indices, [&views[0].dims(), &views[1].dims()])?;
        // The keys are those whose index is the last of the result.
        let [a, b] = roles.only.map(|index| index.and_then(|index| index.out));
        let keys_last = b > a;
        let [q, k] = if keys_last { [0, 1] } else { [1, 0] };
        let [query, keys] = [&views[q], &views[k]];
        let inner = roles.inner.ok_or("it sums over nothing")?;
        let axis = |index: Option<Index>, side: usize| index.and_then(|index| index.inputs[side]);
        let depth = axis(Some(inner), k).map_or(1, |axis| keys.axes[axis].len);
        let heads = axis(roles.heads, k).map_or(1, |axis| keys.axes[axis].len);
        for (side, view) in [(q, query), (k, keys)] {
            let ok = along(view, axis(roles.inner, side), Along::Channels(1))
                && along(view, axis(roles.heads, side), Along::Channels(depth))
                && along(view, axis(roles.only[side], side), Along::Rows(1))
                && view.order.is_none();
            if !ok {
                return Err("its inputs are not queries and keys".into());
            }
        }
        let scale = (query.factor * keys.factor) as f32;
        let query = self.all_rows(node, query.clone())?;
        let keys = self.all_rows(node, keys.clone())?;
        let op = Op::Scores(Attention {
            heads,
            scale,
            q_at: query.start().1,
            k_at: keys.start().1,
            v_at: 0,
            width: heads * depth,
        });
        let (rows, columns) = (query.rows, keys.rows);
        let inputs = [query.value, keys.value];
        let value = self.push(node, op, &inputs, [heads, rows, columns]);
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let mut axes: Vec<(usize, usize)> = dims.iter().map(|len| (*len, 0)).collect();
        let out = |index: Option<Index>| index.and_then(|index| index.out);
        for (index, step) in
            [(roles.heads, rows * columns), (roles.only[q], columns), (roles.only[k], 1)]
        {
            if let Some(at) = out(index) {
                axes[at].1 = step;
            }
        }
        Ok(View::new(value, heads * rows, columns, &axes))
    }

    pub(super) fn softmax(&mut self, node: &TypedNode, op: &Softmax) -> Lowered {
        if op.kind != SoftmaxKind::Softmax {
            return Err("its logarithm is taken".into());
        }
        let view = self.view(node.inputs[0])?;
        let producer = view.value.checked_sub(1).map(|at| &mut self.net.nodes[at].op);
        let (Some(Op::Scores(attention)), &[axis]) = (producer, op.axes.as_slice()) else {
            return Err("it is no attention's: its input is not a product of two values".into());
        };
        if view.axes[axis].len != view.channels || view.extent() != Some((view.rows, view.channels))
        {
            return Err("it is not over an attention's keys".into());
        }
        attention.scale = (f64::from(attention.scale) * view.factor) as f32;
        let shape = self.net.shape(view.value);
        let value = self.push(node, Op::Softmax, &[view.value], shape);
        Ok(View { value, factor: 1.0, ..view })
    }

    /// Values, weighted by an attention's probabilities.
    pub(super) fn mix(
        &mut self,
        node: &TypedNode,
        indices: &[Index],
        shares: View,
        values: View,
        [s, v]: [usize; 2],
    ) -> Lowered {
        let softmax = &self.net.nodes[shares.value - 1];
        let [heads, rows, _] = softmax.shape;
        let scores = &self.net.nodes[softmax.inputs[0] - 1];
        let image = self.net.shape(scores.inputs[0]);
        let mut dims = [shares.dims(), shares.dims()];
        dims[v] = values.dims();
        let roles = roles(indices, [&dims[0], &dims[1]])?;
        let axis = |index: Option<Index>, side: usize| index.and_then(|index| index.inputs[side]);
        let depth = axis(roles.only[v], v).map_or(1, |axis| values.axes[axis].len);
        let ok = along(&shares, axis(roles.inner, s), Along::Channels(1))
            && along(&shares, axis(roles.heads, s), Along::Rows(rows))
            && along(&shares, axis(roles.only[s], s), Along::Rows(1))
            && along(&values, axis(roles.inner, v), Along::Rows(1))
            && along(&values, axis(roles.heads, v), Along::Channels(depth))
            && along(&values, axis(roles.only[v], v), Along::Channels(1))
            && values.order.is_none();
        if !ok {
            return Err("its inputs are not an attention's probabilities and values".into());
        }
        let values = self.all_rows(node, values)?;
        let width = heads * depth;
        let op = Op::Mix { heads, v_at: values.start().1, width };
        let shape = [image[0], image[1], width];
        let value = self.push(node, op, &[shares.value, values.value], shape);
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let mut axes: Vec<(usize, usize)> = dims.iter().map(|len| (*len, 0)).collect();
        let out = |index: Option<Index>| index.and_then(|index| index.out);
        for (index, step) in [(roles.heads, depth), (roles.only[s], width), (roles.only[v], 1)] {
            if let Some(at) = out(index) {
                axes[at].1 = step;
            }
        }
        let factor = shares.factor * values.factor;
        Ok(View { factor, ..View::new(value, rows, width, &axes) })
    }

    /// Constant queries as a value, `[rows][heads * depth]`, seen through their own axes.
    pub(super) fn constant_rows(
        &mut self,
        node: &TypedNode,
        indices: &[Index],
        constant: &Constant,
        w: usize,
    ) -> Lowered {
        let steps = constant.steps();
        let dims = &constant.dims;
        let mut depth = 1;
        let mut shown = vec![0; dims.len()];
        // Summed index, then heads, then positions, from the inside out.
        let role = |index: &Index| match (index.inputs[1 - w].is_some(), index.out.is_some()) {
            (true, false) => 0,
            (true, true) => 1,
            _ => 2,
        };
        let mut order: Vec<&Index> = indices.iter().filter(|i| i.inputs[w].is_some()).collect();
        order.sort_by_key(|index| role(index));
        let mut channels = 1;
        for index in order {
            let Some(axis) = index.inputs[w] else { continue };
            shown[axis] = depth;
            depth *= dims[axis];
            if role(index) < 2 {
                channels = depth;
            }
        }
        let mut values = vec![0.0; constant.values.len()];
        for (from, value) in constant.values.iter().enumerate() {
            let at = |axis: usize| from / steps[axis] % dims[axis] * shown[axis];
            values[(0..dims.len()).map(at).sum::<usize>()] = *value;
        }
        let rows = values.len() / channels;
        let value = self.push(node, Op::Constant(values), &[], [1, rows, channels]);
        let axes: Vec<(usize, usize)> = dims.iter().copied().zip(shown).collect();
        Ok(View::new(value, rows, channels, &axes))
    }
}

/// Whether an axis goes along what it should, or has one element or is not there.
fn along(view: &View, axis: Option<usize>, wanted: Along) -> bool {
    axis.is_none_or(|axis| view.axes[axis].len == 1 || view.along(axis) == wanted)
}

/// Sorts a product's indices, leaving out those of one element.
fn roles(indices: &[Index], dims: [&[usize]; 2]) -> Result<Roles, String> {
    let mut roles = Roles::default();
    for index in indices {
        let len = |side: usize| index.inputs[side].map_or(1, |axis| dims[side][axis]);
        let role = match (len(0) > 1, len(1) > 1, index.out.is_some()) {
            (false, false, _) => continue,
            (true, true, false) => &mut roles.inner,
            (true, true, true) => &mut roles.heads,
            (true, false, true) => &mut roles.only[0],
            (false, true, true) => &mut roles.only[1],
            _ => return Err("it repeats what it sums over".into()),
        };
        if role.replace(*index).is_some() {
            return Err("it has more indices than an attention".into());
        }
    }
    Ok(roles)
}
