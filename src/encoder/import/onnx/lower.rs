//! The typed graph as our own, node by node.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{AxisOp, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::array::{
    Gather, MultiBroadcastTo, Pad, PadMode, Slice, StridedSlice, TypedConcat,
};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Softmax};

use super::super::ImportError;
use super::super::ir::{Net, Node, Op, Value};
use super::constant::Constant;
use super::general::moved;
use super::view::View;
use super::{Onnx, moves, product};

/// The typed graph as our own, of primitives.
pub(in super::super) fn lower(onnx: &Onnx, size: usize) -> Result<Net, ImportError> {
    let error = |error| ImportError::Onnx { size, error };
    let model = &onnx.typed;
    let net = Net { size, nodes: Vec::new(), output: 0 };
    let mut lowering = Lowering {
        model,
        net,
        views: HashMap::new(),
        constants: onnx.held.iter().cloned().collect(),
        paddings: HashMap::new(),
    };
    for id in model.eval_order().map_err(error)? {
        let node = model.node(id);
        lowering.node(node).map_err(|why| ImportError::Unsupported {
            node: node.name.clone(),
            op: node.op.name().to_string(),
            why,
        })?;
    }
    lowering.finish()
}

pub(super) struct Lowering<'a> {
    pub(super) model: &'a TypedModel,
    pub(super) net: Net,
    /// What depends on the picture.
    pub(super) views: HashMap<OutletId, View>,
    /// What does not, beyond what tract has computed.
    constants: HashMap<OutletId, Arc<Tensor>>,
    /// Zeros around a value (before, after; for height and width), which belong to the convolution
    /// that takes it.
    pub(super) paddings: HashMap<OutletId, [(usize, usize); 2]>,
}

/// What a node gives, or why it cannot be read.
pub(super) type Lowered = Result<View, String>;

impl Lowering<'_> {
    fn node(&mut self, node: &TypedNode) -> Result<(), String> {
        let outlet = OutletId::new(node.id, 0);
        if self.constants.contains_key(&outlet) {
            return Ok(());
        }
        if self.model.inputs.contains(&outlet) {
            self.views.insert(outlet, View::image(0, self.net.shape(0), 4));
            return Ok(());
        }
        let constants: Option<Vec<_>> = node.inputs.iter().map(|i| self.tensor(*i)).collect();
        if let Some(constants) = constants {
            return self.compute(node, constants);
        }
        if node.outputs.len() != 1 {
            return Err("it has several results".into());
        }
        let before = self.net.nodes.len();
        let view = match self.lower(node) {
            Ok(view) => view,
            Err(why) => {
                self.net.nodes.truncate(before);
                self.general(node, why)?
            }
        };
        if !self.paddings.contains_key(&outlet) && view.dims() != self.dims(outlet)? {
            return Err("its shape is not understood".into());
        }
        self.views.insert(outlet, view);
        Ok(())
    }

    /// A node that does not depend on the picture.
    fn compute(&mut self, node: &TypedNode, inputs: Vec<Arc<Tensor>>) -> Result<(), String> {
        if node.outputs.iter().all(|output| output.fact.konst.is_some()) {
            return Ok(());
        }
        if let (Some(op), [a, b]) = (node.op_as::<EinSum>(), inputs.as_slice()) {
            let (a, b) = (Constant::new(a), Constant::new(b));
            let (Ok(a), Ok(b)) = (a, b) else { return Err("it is not of numbers".into()) };
            let dims = self.dims(OutletId::new(node.id, 0))?;
            let values = product::of_constants(op, &a, &b, &dims);
            let tensor = Tensor::from_shape(&dims, &values).map_err(|error| error.to_string())?;
            self.constants.insert(OutletId::new(node.id, 0), tensor.into_arc_tensor());
            return Ok(());
        }
        let inputs = inputs.into_iter().map(|tensor| tensor.into_tvalue()).collect();
        let computed = node.op.eval_out_of_plan(inputs).ok().flatten();
        let computed = computed.ok_or("it cannot be computed beforehand")?;
        for (slot, value) in computed.into_iter().enumerate() {
            self.constants.insert(OutletId::new(node.id, slot), value.into_arc_tensor());
        }
        Ok(())
    }

    fn lower(&mut self, node: &TypedNode) -> Lowered {
        let first = node.inputs[0];
        let view = || self.views.get(&first).cloned().ok_or("its first input is constant");
        if let Some(op) = node.op_as::<AxisOp>() {
            moves::axes(op, view()?)
        } else if let Some(op) = node.op_as::<Slice>() {
            moves::slice(view()?, op.axis, &op.start, &op.end)
        } else if let Some(op) = node.op_as::<StridedSlice>() {
            let rest: Option<Vec<_>> = node.inputs[1..].iter().map(|i| self.tensor(*i)).collect();
            moves::strided(op, view()?, &rest.ok_or("its bounds are not fixed")?)
        } else if let Some(op) = node.op_as::<Gather>() {
            let indices = self.tensor(node.inputs[1]).ok_or("its indices are not fixed")?;
            moves::gather(view()?, op.axis, &indices)
        } else if node.op_is::<MultiBroadcastTo>() {
            let to = self.dims(OutletId::new(node.id, 0))?;
            view()?.broadcast(&to).ok_or_else(|| "it repeats values".into())
        } else if let Some(op) = node.op_as::<Cast>() {
            if op.to.is_float() { Ok(view()?) } else { Err("it makes integers".into()) }
        } else if let Some(op) = node.op_as::<Pad>() {
            self.pad(node, op)
        } else if let Some(op) = node.op_as::<Conv>() {
            self.conv(node, op)
        } else if let Some(op) = node.op_as::<SumPool>() {
            self.sum_pool(node, op)
        } else if let Some(op) = node.op_as::<MaxPool>() {
            self.max_pool(node, op)
        } else if let Some(op) = node.op_as::<EinSum>() {
            self.product(node, op)
        } else if let Some(op) = node.op_as::<TypedConcat>() {
            self.concat(node, op.axis)
        } else if let Some(op) = node.op_as::<Reduce>() {
            self.reduce(node, op)
        } else if let Some(op) = node.op_as::<Softmax>() {
            self.softmax(node, op)
        } else if let Some(op) = node.op_as::<TypedBinOp>() {
            self.binary(node, op.0.name())
        } else if let Some(op) = node.op_as::<ElementWiseOp>() {
            self.unary(node, op)
        } else {
            Err("it is unknown here".into())
        }
    }

    /// Zeros that belong to a convolution that reads the value; around anything else a value of its own.
    fn pad(&mut self, node: &TypedNode, op: &Pad) -> Lowered {
        let outlet = OutletId::new(node.id, 0);
        if op.pads.iter().all(|pad| *pad == (0, 0)) {
            return self.view(node.inputs[0]);
        }
        let zeros = match &op.mode {
            PadMode::Constant(value) => value.is_zero().unwrap_or(false),
            _ => false,
        };
        let last = op.pads.split_last_chunk::<2>();
        let last = last.filter(|(rest, _)| zeros && rest.iter().all(|pad| *pad == (0, 0)));
        let reader = |slot: &InletId| self.model.node(slot.node).op_is::<Conv>();
        let only_convs = node.outputs[0].successors.iter().all(reader);
        let Some((_, padding)) = last.filter(|_| only_convs) else {
            return self.general_pad(node, op);
        };
        let before = self.net.nodes.len();
        // The view is the image without its padding.
        match self.image(node, node.inputs[0]) {
            Ok(view) => {
                self.paddings.insert(outlet, *padding);
                Ok(view)
            }
            Err(_) => {
                self.net.nodes.truncate(before);
                self.general_pad(node, op)
            }
        }
    }

    /// The number of the value that a new node gives.
    pub(super) fn push(
        &mut self,
        node: &TypedNode,
        op: Op,
        inputs: &[Value],
        shape: [usize; 3],
    ) -> Value {
        self.net.nodes.push(Node { name: node.name.clone(), op, inputs: inputs.into(), shape });
        self.net.nodes.len()
    }

    /// Lengths of the axes of a tensor.
    pub(super) fn dims(&self, outlet: OutletId) -> Result<Vec<usize>, String> {
        let fact = self.model.outlet_fact(outlet).map_err(|error| error.to_string())?;
        fact.shape.as_concrete().map(Vec::from).ok_or_else(|| "its shape is not fixed".into())
    }

    fn tensor(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        let known = self.constants.get(&outlet).cloned();
        known.or_else(|| self.model.outlet_fact(outlet).ok()?.konst.clone())
    }

    /// A tensor that does not depend on the picture.
    pub(super) fn constant(&self, outlet: OutletId) -> Option<Constant> {
        Constant::new(&self.tensor(outlet)?).ok()
    }

    pub(super) fn view(&self, outlet: OutletId) -> Result<View, String> {
        self.views.get(&outlet).cloned().ok_or_else(|| "an input is constant".into())
    }

    /// A view of all positions of a value, perhaps of some of its channels and with a factor.
    pub(super) fn all_rows(&mut self, node: &TypedNode, view: View) -> Lowered {
        let (rows, _) = view.extent().ok_or("its input skips or repeats values")?;
        if rows == view.rows {
            return Ok(view);
        }
        let (start, channel) = view.start();
        let op = Op::Rows { start, count: rows };
        let value = self.push(node, op, &[view.value], [1, rows, view.channels]);
        let (offset, factor) = (channel, view.factor);
        Ok(View { offset, factor, ..view.moved(value, (rows, view.channels)) })
    }

    /// A view of all of a value.
    pub(super) fn whole(&mut self, node: &TypedNode, view: View) -> Lowered {
        if view.is_whole() {
            return Ok(view);
        }
        let mut view = self.all_rows(node, view)?;
        let (rows, channels) = view.extent().ok_or("its input skips or repeats values")?;
        if channels != view.channels {
            if view.order.is_some() {
                return Err("it takes some channels of a grouped convolution".into());
            }
            let op = Op::Channels { start: view.offset, count: channels };
            let [height, width, _] = self.net.shape(view.value);
            let value = self.push(node, op, &[view.value], [height, width, channels]);
            let factor = view.factor;
            view = View { factor, ..view.moved(value, (rows, channels)) };
        }
        if view.factor != 1.0 {
            let (mul, add) = (vec![view.factor; channels], vec![0.0; channels]);
            let shape = self.net.shape(view.value);
            view.value = self.push(node, Op::Affine { mul, add }, &[view.value], shape);
            view.factor = 1.0;
        }
        Ok(view)
    }

    /// The network's result.
    fn finish(mut self) -> Result<Net, ImportError> {
        let interface = |found: String| ImportError::Interface {
            what: "output",
            found,
            wanted: "one feature of the picture; name another output if there is one".into(),
        };
        let outlet = self.model.outputs[0];
        let node = self.model.node(outlet.node);
        let view = self.view(outlet).map_err(|_| interface("a constant".into()))?;
        let dims = format!("{:?}", view.dims());
        if view.axes.iter().filter(|axis| axis.len > 1).count() > 1 {
            return Err(interface(dims));
        }
        let before = self.net.nodes.len();
        let view = match self.whole(node, view.clone()) {
            Ok(view) if view.rows == 1 => view,
            _ => {
                self.net.nodes.truncate(before);
                self.as_row(node, view).map_err(|_| interface(dims))?
            }
        };
        let mut value = view.value;
        if let Some(order) = &view.order {
            value = self.push(node, Op::Conv(moved(order)), &[value], [1, 1, view.channels]);
        }
        self.net.output = value;
        Ok(self.net)
    }
}
