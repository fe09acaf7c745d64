//! What has no int8 form, or lies in a way that no layer reads: loops over strided views, in float.
//!
//! Each operator here takes any views and gives a value of its own, so that what comes after it finds
//! an ordinary value again. Where only the order is in the way, the numbers are copied into another one
//! and the ordinary way is tried once more.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{
    LeakyRelu, Reduce, Reducer as TractReducer, Softmax, SoftmaxKind,
};

use super::super::ir::{Binary, Op, Unary};
use super::constant::Constant;
use super::elementwise::{binary, function};
use super::lower::{Lowered, Lowering};
use super::product::{Index, indices};
use super::view::{Along, View};
use crate::asset::encoder::{Function, MAX_AXES, MAX_CHANNELS, MAX_TOKENS, Reducer};
use crate::encoder::ops::{Axis, Nest};

/// Axes of a tensor as they lie in memory, the outermost first, and how many of the last ones are a
/// position's channels.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    order: Vec<usize>,
    inner: usize,
}

impl Layout {
    /// The tensor's own order; the last axis is the channels.
    fn own(rank: usize) -> Self {
        Self { order: (0..rank).collect(), inner: 1 }
    }

    /// `last` as the channels.
    fn ending(rank: usize, last: &[usize]) -> Self {
        let front = (0..rank).filter(|axis| !last.contains(axis));
        Self { order: front.chain(last.iter().copied()).collect(), inner: last.len() }
    }

    /// As a view lies: the longest steps outside.
    fn of(view: &View) -> Self {
        let mut order: Vec<usize> = (0..view.axes.len()).collect();
        // An axis that is repeated has no place of its own: outside.
        let step = |axis: &usize| match view.axes[*axis] {
            a if a.len > 1 && a.step > 0 => a.step,
            _ => usize::MAX,
        };
        order.sort_by_key(|axis| std::cmp::Reverse(step(axis)));
        let channels = |axis: &&usize| matches!(view.along(**axis), Along::Channels(_));
        let inner = order.iter().rev().take_while(channels).count();
        Self { order, inner }
    }
}

/// An axis of loops: where it is in the result, if it is there, its length, and its steps.
struct Loop {
    out: Option<usize>,
    axis: Axis,
}

impl Lowering<'_> {
    /// A node that the ordinary way does not know, for the reason `why`.
    pub(super) fn general(&mut self, node: &TypedNode, why: String) -> Lowered {
        let first = node.inputs[0];
        if let Some(AxisOp::Reshape(at, from, to)) = node.op_as::<AxisOp>() {
            let to: Result<Vec<usize>, _> = to.iter().map(|dim| dim.to_usize()).collect();
            let to = to.map_err(|_| "its shape is not fixed")?;
            let view = self.view(first)?;
            let rank = view.axes.len();
            let copy = self.copy(node, &view, &Layout::own(rank))?;
            copy.reshape(*at, from.len(), &to).ok_or(why)
        } else if let Some(op) = node.op_as::<EinSum>() {
            self.general_product(node, op)
        } else if let Some(op) = node.op_as::<TypedConcat>() {
            self.join(node, op.axis)
        } else if let Some(op) = node.op_as::<Reduce>() {
            self.general_reduce(node, op)
        } else if let Some(op) = node.op_as::<Softmax>() {
            let (SoftmaxKind::Softmax, &[axis]) = (op.kind, op.axes.as_slice()) else {
                return Err(why);
            };
            let view = self.view(first)?;
            let view = self.copy(node, &view, &Layout::ending(view.axes.len(), &[axis]))?;
            let view = self.plain(node, view)?;
            let shape = self.net.shape(view.value);
            let value = self.push(node, Op::Softmax, &[view.value], shape);
            Ok(View { value, ..view })
        } else if let Some(op) = node.op_as::<TypedBinOp>() {
            let function = binary(op.0.name()).ok_or(why)?;
            let &[a, b] = node.inputs.as_slice() else {
                return Err("it has not two inputs".into());
            };
            let (a, b) = (self.source(node, a)?, self.source(node, b)?);
            self.of_two(node, function, a, b)
        } else if let Some(op) = node.op_as::<ElementWiseOp>() {
            let view = self.view(first)?;
            if let Some(LeakyRelu { alpha }) = op.0.downcast_ref::<LeakyRelu>()
                && (0.0..=1.0).contains(alpha)
            {
                let part = View { factor: view.factor * f64::from(*alpha), ..view.clone() };
                return self.of_two(node, Binary::Max, view, part);
            }
            let function = function(&op.0.name()).ok_or(why)?;
            let view = self.plain(node, view)?;
            let layout = Layout::of(&view);
            self.map_strided(node, Nest::new(function, Vec::new()), &view, &layout)
        } else {
            Err(why)
        }
    }

    /// A view of what a node reads, also of constants.
    fn source(&mut self, node: &TypedNode, outlet: OutletId) -> Lowered {
        if let Ok(view) = self.view(outlet) {
            return Ok(view);
        }
        let constant = self.constant(outlet).ok_or("an input is unknown")?;
        self.constant_value(node, &constant)
    }

    fn constant_value(&mut self, node: &TypedNode, constant: &Constant) -> Lowered {
        let axes: Vec<(usize, usize)> =
            constant.dims.iter().copied().zip(constant.steps()).collect();
        let channels = constant.dims.last().copied().unwrap_or(1);
        self.value(node, Op::Constant(constant.values.clone()), &[], &axes, channels)
    }

    /// Without a factor.
    fn plain(&mut self, node: &TypedNode, view: View) -> Lowered {
        if view.factor == 1.0 {
            return Ok(view);
        }
        let factor = view.factor as f32;
        let (view, layout) = (View { factor: 1.0, ..view.clone() }, Layout::of(&view));
        let nest = Nest { factor, ..Nest::new(Function::Copy, Vec::new()) };
        self.map_strided(node, nest, &view, &layout)
    }

    /// With its channels in the tensor's order.
    fn in_order(&mut self, node: &TypedNode, view: View) -> View {
        let Some(order) = view.order.clone() else { return view };
        let shape = self.net.shape(view.value);
        let value = self.push(node, Op::Conv(moved(&order)), &[view.value], shape);
        View { value, order: None, ..view }
    }

    /// The same numbers as a value of their own in this layout; the view as it is if it lies so.
    pub(super) fn copy(&mut self, node: &TypedNode, view: &View, layout: &Layout) -> Lowered {
        let mut step = 1;
        let mut lies_so = view.offset == 0 && view.order.is_none();
        let mut channels = 1;
        for (at, axis) in layout.order.iter().rev().enumerate() {
            let axis = view.axes[*axis];
            lies_so &= axis.len == 1 || axis.step == step;
            step *= axis.len;
            channels = if at < layout.inner { step } else { channels };
        }
        if lies_so && step == view.rows * view.channels && channels == view.channels {
            return Ok(view.clone());
        }
        let nest = Nest::new(Function::Copy, Vec::new());
        let copy = self.map_strided(node, nest, &View { factor: 1.0, ..view.clone() }, layout)?;
        Ok(View { factor: view.factor, ..copy })
    }

    /// `nest`, which has no axes yet, over all of a view.
    fn map_strided(
        &mut self,
        node: &TypedNode,
        nest: Nest,
        view: &View,
        layout: &Layout,
    ) -> Lowered {
        let view = self.in_order(node, view.clone());
        let loops = view.axes.iter().enumerate().map(|(at, axis)| Loop {
            out: Some(at),
            axis: Axis { len: axis.len, steps: [axis.step, 0] },
        });
        let start = [view.offset, 0];
        self.strided(node, Nest { start, ..nest }, &[view.value], loops.collect(), layout)
    }

    /// A function of two values of any shapes that fit.
    fn of_two(&mut self, node: &TypedNode, function: Binary, a: View, b: View) -> Lowered {
        const LAYOUTS: &str = "its inputs have other shapes";
        let dims = self.dims(OutletId::new(node.id, 0))?;
        let (a, b) = (self.plain(node, a)?, self.plain(node, b)?);
        let (a, b) = (self.in_order(node, a), self.in_order(node, b));
        let (a, b) = (a.broadcast(&dims).ok_or(LAYOUTS)?, b.broadcast(&dims).ok_or(LAYOUTS)?);
        let larger = if a.rows * a.channels < b.rows * b.channels { &b } else { &a };
        let layout = Layout::of(larger);
        let loops = (0..dims.len()).map(|at| Loop {
            out: Some(at),
            axis: Axis { len: dims[at], steps: [a.axes[at].step, b.axes[at].step] },
        });
        let nest = Nest {
            start: [a.offset, b.offset],
            ..Nest::new(Function::Binary(function), Vec::new())
        };
        self.strided(node, nest, &[a.value, b.value], loops.collect(), &layout)
    }

    fn general_reduce(&mut self, node: &TypedNode, op: &Reduce) -> Lowered {
        let view = self.view(node.inputs[0])?;
        let view = self.plain(node, view)?;
        let view = self.in_order(node, view);
        let (function, reducer) = match op.reducer {
            TractReducer::Sum => (Function::Copy, Reducer::Sum),
            TractReducer::Max => (Function::Copy, Reducer::Max),
            TractReducer::Min => (Function::Copy, Reducer::Min),
            TractReducer::MeanOfSquares => (Function::Unary(Unary::Square), Reducer::Sum),
            _ => return Err("only sums, means, greatest and least values are known".into()),
        };
        let count: usize = op.axes.iter().map(|axis| view.axes[*axis].len).product();
        let factor = match op.reducer {
            TractReducer::MeanOfSquares => 1.0 / count as f32,
            _ => 1.0,
        };
        let loops = view.axes.iter().enumerate().map(|(at, axis)| Loop {
            out: (!op.axes.contains(&at)).then_some(at),
            axis: Axis { len: axis.len, steps: [axis.step, 0] },
        });
        let nest =
            Nest { start: [view.offset, 0], reducer, factor, ..Nest::new(function, Vec::new()) };
        let layout = Layout::of(&view);
        self.strided(node, nest, &[view.value], loops.collect(), &layout)
    }

    /// A product by constants as a linear layer of numbers that are copied into rows, everything else as
    /// loops.
    fn general_product(&mut self, node: &TypedNode, op: &EinSum) -> Lowered {
        let &[a, b] = node.inputs.as_slice() else {
            return Err("it has not two inputs".into());
        };
        let all = indices(op);
        let one = [(a, b, [0, 1]), (b, a, [1, 0])].into_iter();
        let one = one.filter(|(value, weights, _)| {
            self.views.contains_key(value) && !self.views.contains_key(weights)
        });
        for (value, weights, [x, w]) in one.collect::<Vec<_>>() {
            let view = self.view(value)?;
            let Some(weights) = self.constant(weights) else { continue };
            let summed = |i: &&Index| i.inputs[x].is_some() && i.out.is_none();
            let shared = all.iter().any(|i| {
                let long = i.inputs[x].is_some_and(|axis| view.axes[axis].len > 1);
                long && i.inputs[w].is_some_and(|axis| weights.dims[axis] > 1) && i.out.is_some()
            });
            if shared {
                continue;
            }
            let last: Vec<usize> =
                all.iter().filter(summed).filter_map(|index| index.inputs[x]).collect();
            let view = self.copy(node, &view, &Layout::ending(view.axes.len(), &last))?;
            return self.linear(node, &all, view, &weights, [x, w]);
        }
        let (a, b) = (self.source(node, a)?, self.source(node, b)?);
        let (a, b) = (self.in_order(node, a), self.in_order(node, b));
        let loops = all.iter().map(|index| {
            let side = |side: usize, view: &View| {
                index.inputs[side]
                    .map_or((1, 0), |axis| (view.axes[axis].len, view.axes[axis].step))
            };
            let ((len, step), (other_len, other)) = (side(0, &a), side(1, &b));
            Loop { out: index.out, axis: Axis { len: len.max(other_len), steps: [step, other] } }
        });
        let nest = Nest {
            start: [a.offset, b.offset],
            factor: (a.factor * b.factor) as f32,
            ..Nest::new(Function::Binary(Binary::Mul), Vec::new())
        };
        let rank = self.dims(OutletId::new(node.id, 0))?.len();
        let loops = loops.collect();
        self.strided(node, nest, &[a.value, b.value], loops, &Layout::own(rank))
    }

    /// Adds the loops to `nest`, kept ones in the order of `layout`, and pushes it. Axes of length one
    /// are left out.
    fn strided(
        &mut self,
        node: &TypedNode,
        mut nest: Nest,
        inputs: &[usize],
        loops: Vec<Loop>,
        layout: &Layout,
    ) -> Lowered {
        let long = |l: &&Loop| l.axis.len > 1;
        nest.reduced =
            loops.iter().filter(long).filter(|l| l.out.is_none()).map(|l| l.axis).collect();
        // Along the shortest steps last.
        nest.reduced.sort_by_key(|axis| std::cmp::Reverse(axis.steps));
        // A layout has all axes of the result.
        let mut axes = vec![(1, 0); layout.order.len()];
        let mut kept: Vec<&Loop> = loops.iter().filter(long).filter(|l| l.out.is_some()).collect();
        let place = |l: &&Loop| layout.order.iter().position(|axis| Some(*axis) == l.out);
        kept.sort_by_key(place);
        let (mut step, mut channels) = (1, 1);
        for l in kept.iter().rev() {
            let Some(out) = l.out else { continue };
            axes[out] = (l.axis.len, step);
            step *= l.axis.len;
            let is_channels = place(l).is_some_and(|at| at + layout.inner >= layout.order.len());
            if is_channels && step <= MAX_CHANNELS {
                channels = step;
            }
        }
        if channels == 1
            && let Some(last) = kept.last()
        {
            let len = last.axis.len;
            let most = (1..=len.min(MAX_CHANNELS)).rev().find(|n| len.is_multiple_of(*n));
            channels = most.unwrap_or(1);
        }
        nest.kept = kept.iter().map(|l| l.axis).collect();
        if nest.kept.len() + nest.reduced.len() > MAX_AXES {
            return Err("it goes over too many axes".into());
        }
        let volume = |value: &usize| self.net.shape(*value).iter().product();
        let volumes: Vec<usize> = inputs.iter().map(volume).collect();
        nest.check(&volumes, step).map_err(|error| error.to_string())?;
        self.value(node, Op::Strided(nest), inputs, &axes, channels)
    }

    /// The value that a new node gives, seen as a tensor whose axes lie so without gaps.
    fn value(
        &mut self,
        node: &TypedNode,
        op: Op,
        inputs: &[usize],
        axes: &[(usize, usize)],
        channels: usize,
    ) -> Lowered {
        let count = axes.iter().map(|(len, _)| len).product();
        let mut shape = sides(count, channels)?;
        let view = |shape: [usize; 3]| {
            // The number is that of the node that is pushed now.
            let value = self.net.nodes.len() + 1;
            View::new(value, count / shape[2], shape[2], axes)
        };
        if let Some(&[_, (height, _), (width, _)]) = axes.last_chunk::<3>() {
            let image = [height, width, shape[2]];
            if height * width * shape[2] == count && view(image).is_image(image) {
                shape = image;
            }
        }
        let view = view(shape);
        self.push(node, op, inputs, shape);
        Ok(view)
    }

    /// Values put together along an axis.
    fn join(&mut self, node: &TypedNode, axis: usize) -> Lowered {
        let mut views = Vec::new();
        for outlet in node.inputs.clone() {
            views.push(self.source(node, outlet)?);
        }
        let layout = views.iter().zip(&node.inputs).find(|(_, o)| self.views.contains_key(o));
        let layout = Layout::of(layout.ok_or("it does not depend on the picture")?.0);
        self.join_views(node, views, axis, &layout)
    }

    /// Views that differ only along `axis`, each brought into `layout`, put together.
    fn join_views(
        &mut self,
        node: &TypedNode,
        views: Vec<View>,
        axis: usize,
        layout: &Layout,
    ) -> Lowered {
        let mut joined: Option<View> = None;
        let mut rest = views.into_iter().peekable();
        while rest.peek().is_some() {
            let mut group: Vec<View> = joined.take().into_iter().collect();
            while group.len() < 3
                && let Some(view) = rest.next()
            {
                let view = self.plain(node, view)?;
                group.push(self.copy(node, &view, layout)?);
            }
            let first = group.first().ok_or("it has no inputs")?;
            let mut dims = first.dims();
            dims[axis] = group.iter().map(|view| view.axes[axis].len).sum();
            let place = layout.order.iter().position(|a| *a == axis).unwrap_or(0);
            let runs = layout.order[..place].iter().map(|axis| dims[*axis]).product();
            let mut axes = vec![(1, 0); dims.len()];
            let (mut step, mut channels) = (1, 1);
            for (at, axis) in layout.order.iter().rev().enumerate() {
                axes[*axis] = (dims[*axis], step);
                step *= dims[*axis];
                channels = if at < layout.inner { step } else { channels };
            }
            let inputs: Vec<usize> = group.iter().map(|view| view.value).collect();
            joined = Some(self.value(node, Op::Join { runs }, &inputs, &axes, channels)?);
        }
        joined.ok_or_else(|| "it has no inputs".into())
    }

    /// A constant around a value along any axes.
    pub(super) fn general_pad(&mut self, node: &TypedNode, op: &Pad) -> Lowered {
        let PadMode::Constant(value) = &op.mode else {
            return Err("only constants around a value are known".into());
        };
        let fill = value.cast_to_scalar::<f32>().map_err(|error| error.to_string())?;
        let view = self.view(node.inputs[0])?;
        let padded = op.pads.iter().enumerate().filter(|(_, pad)| **pad != (0, 0));
        self.pad_view(node, view, &padded.map(|(axis, pad)| (axis, *pad)).collect::<Vec<_>>(), fill)
    }

    /// `pads`: axis, and how many places before and after.
    pub(super) fn pad_view(
        &mut self,
        node: &TypedNode,
        mut view: View,
        pads: &[(usize, (usize, usize))],
        fill: f32,
    ) -> Lowered {
        for (axis, (before, after)) in pads {
            let layout = Layout::of(&view);
            let mut dims = view.dims();
            let mut around = |lowering: &mut Self, len: usize| -> Result<Vec<View>, String> {
                dims[*axis] = len;
                let values = vec![fill; dims.iter().product()];
                if len == 0 {
                    return Ok(Vec::new());
                }
                let constant = Constant { dims: dims.clone(), values };
                Ok(vec![lowering.constant_value(node, &constant)?])
            };
            let mut views = around(self, *before)?;
            views.push(view);
            views.extend(around(self, *after)?);
            view = self.join_views(node, views, *axis, &layout)?;
        }
        Ok(view)
    }

    /// Channels last, for convolutions.
    pub(super) fn as_image(&mut self, node: &TypedNode, view: View) -> Lowered {
        let rank = view.axes.len();
        if rank < 3 || view.axes[..rank - 3].iter().any(|axis| axis.len > 1) {
            return Err("its input is not an image".into());
        }
        let mut order: Vec<usize> = (0..rank - 3).collect();
        order.extend([rank - 2, rank - 1, rank - 3]);
        self.copy(node, &view, &Layout { order, inner: 1 })
    }

    /// One row, for the network's result.
    pub(super) fn as_row(&mut self, node: &TypedNode, view: View) -> Lowered {
        let rank = view.axes.len();
        self.copy(node, &view, &Layout { order: (0..rank).collect(), inner: rank })
    }
}

/// A linear layer that brings channels into the tensor's order.
pub(super) fn moved(order: &[usize]) -> super::super::ir::Conv {
    let n = order.len();
    let mut weights = vec![0.0; n * n];
    order.iter().enumerate().for_each(|(i, from)| weights[i * n + from] = 1.0);
    super::super::ir::Conv::new(weights, vec![0.0; n])
}

/// Height, width and channels of so many numbers.
fn sides(count: usize, channels: usize) -> Result<[usize; 3], String> {
    let channels = if channels <= MAX_CHANNELS && channels > 0 { channels } else { 1 };
    let rows = count / channels;
    let height = (1..=MAX_TOKENS).find(|h| rows.is_multiple_of(*h) && rows / h <= MAX_TOKENS);
    height.map(|height| [height, rows / height, channels]).ok_or_else(|| "it is too large".into())
}
