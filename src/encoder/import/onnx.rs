//! ONNX → tract's decluttered graph → our [`Net`], operator by operator.

use std::collections::HashMap;
use std::io::Cursor;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{AxisOp, TypedFact, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, PaddingSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::ImportError;
use super::ir::{Conv, Net, Node, Op, Value};

/// Reads an ONNX network for one picture of `size` x `size` and lets tract simplify it: constants
/// are computed, paddings become part of their convolutions.
pub(super) fn read(onnx: &[u8], size: usize) -> Result<TypedModel, ImportError> {
    let error = |error| ImportError::Onnx { size, error };
    let mut model = tract_onnx::onnx().model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
    if model.inputs.len() != 1 || model.outputs.len() != 1 {
        let (inputs, outputs) = (model.inputs.len(), model.outputs.len());
        return Err(ImportError::Interface {
            what: "interface",
            found: format!("{inputs} inputs and {outputs} outputs"),
            wanted: "one input and one output".into(),
        });
    }
    model.set_input_fact(0, f32::fact([1, 3, size, size]).into()).map_err(error)?;
    model.into_typed().and_then(TypedModel::into_decluttered).map_err(error)
}

/// The decluttered graph as our own.
pub(super) fn lower(model: &TypedModel, size: usize) -> Result<Net, ImportError> {
    let onnx = |error| ImportError::Onnx { size, error };
    let mut lowering = Lowering { model, values: HashMap::new(), nodes: Vec::new() };
    for id in model.eval_order().map_err(onnx)? {
        lowering.node(model.node(id))?;
    }
    let output = model.outputs[0];
    let output = *lowering.values.get(&output).ok_or_else(|| ImportError::Interface {
        what: "output",
        found: "a constant".into(),
        wanted: "a feature of the picture".into(),
    })?;
    Ok(Net { size, nodes: lowering.nodes, output })
}

struct Lowering<'a> {
    model: &'a TypedModel,
    values: HashMap<OutletId, Value>,
    nodes: Vec<Node>,
}

/// Height, width and channels of a value that has them, with or without the batch.
fn shape(fact: &TypedFact) -> Option<[usize; 3]> {
    match fact.shape.as_concrete()? {
        &[1, c, h, w] | &[c, h, w] => Some([h, w, c]),
        &[1, c] => Some([1, 1, c]),
        _ => None,
    }
}

/// A shape without the axes of length one.
fn squeezed(fact: &TypedFact) -> Option<Vec<usize>> {
    Some(fact.shape.as_concrete()?.iter().copied().filter(|d| *d != 1).collect())
}

fn floats(tensor: &Tensor) -> TractResult<Vec<f64>> {
    let tensor = tensor.cast_to::<f32>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|x| f64::from(*x)).collect())
}

impl Lowering<'_> {
    fn node(&mut self, node: &TypedNode) -> Result<(), ImportError> {
        let unsupported = |why: &str| ImportError::Unsupported {
            node: node.name.clone(),
            op: node.op.name().to_string(),
            why: why.into(),
        };
        let outlet = OutletId::new(node.id, 0);
        if self.model.input_outlets().is_ok_and(|inputs| inputs.contains(&outlet)) {
            self.values.insert(outlet, 0);
            return Ok(());
        }
        if node.op_is::<Const>() || node.outputs.iter().all(|o| o.fact.konst.is_some()) {
            return Ok(());
        }
        let inputs: Vec<Value> =
            node.inputs.iter().filter_map(|o| self.values.get(o).copied()).collect();
        let constants: Vec<(&TypedFact, Vec<f64>)> = node
            .inputs
            .iter()
            .filter_map(|o| self.model.outlet_fact(*o).ok())
            .filter_map(|fact| Some((fact, floats(fact.konst.as_deref()?).ok()?)))
            .collect();
        let fact = &node.outputs[0].fact;
        if let Some(axis) = node.op_as::<AxisOp>() {
            let before = self.model.outlet_fact(node.inputs[0]).ok().and_then(squeezed);
            if matches!(axis, AxisOp::Move(..)) || before != squeezed(fact) {
                return Err(unsupported("it moves values"));
            }
            self.values.insert(outlet, inputs[0]);
            return Ok(());
        }
        let shape = shape(fact).ok_or_else(|| unsupported("its result is not an image"))?;
        let op = if let Some(conv) = node.op_as::<TractConv>() {
            self.conv(node, conv, &constants).map_err(|why| unsupported(&why))?
        } else if let Some(sum) = node.op_as::<EinSum>() {
            self.pointwise(node, sum).map_err(|why| unsupported(&why))?
        } else if let Some(op) = node.op_as::<TypedBinOp>() {
            let name = op.0.name();
            let constant = constants.first();
            // Where the constant stands matters for a difference.
            let constant_last = self.values.contains_key(&node.inputs[0]);
            binary(name, constant, constant_last, shape).ok_or_else(|| {
                unsupported("only constants for each channel, and sums of two values, are known")
            })?
        } else if let Some(reduce) = node.op_as::<Reduce>() {
            let from = self.model.outlet_fact(node.inputs[0]).map(|fact| fact.rank()).unwrap_or(0);
            let axes: Vec<usize> = reduce.axes.iter().copied().collect();
            if reduce.reducer != Reducer::Sum || from < 2 || axes != [from - 2, from - 1] {
                return Err(unsupported("only the mean over height and width is known"));
            }
            Op::PoolSum
        } else {
            return Err(unsupported("it is unknown here"));
        };
        // tract names the product of a 1x1 convolution after it.
        let name = node.name.trim_end_matches(".einsum").to_owned();
        self.nodes.push(Node { name, op, inputs, shape });
        self.values.insert(outlet, self.nodes.len());
        Ok(())
    }

    fn conv(
        &self,
        node: &TypedNode,
        conv: &TractConv,
        constants: &[(&TypedFact, Vec<f64>)],
    ) -> Result<Op, String> {
        let pool = &conv.pool_spec;
        let [(kernel_fact, kernel), (_, bias)] = constants else {
            return Err("its weights are not constants".into());
        };
        let input = self.model.outlet_fact(node.inputs[0]).ok().and_then(shape);
        let [height, width, channels] = input.ok_or("its input is not an image")?;
        let &[kh, kw] = pool.kernel_shape.as_slice() else {
            return Err("it is not two-dimensional".into());
        };
        if kh != kw || kh > 7 {
            return Err(format!("its kernel is {kh} x {kw}"));
        }
        if pool.stride(0) != pool.stride(1) {
            return Err("its strides differ".into());
        }
        if pool.dilation(0) != 1 || pool.dilation(1) != 1 {
            return Err("it is dilated".into());
        }
        if conv.q_params.is_some() || conv.kernel_fmt != KernelFormat::OIHW {
            return Err("it is quantized, or its weights lie in an unusual order".into());
        }
        if !pool.data_format.c_is_last()
            && pool.data_format.has_n() != (input_rank(self, node) == 4)
        {
            return Err("its data lie in an unusual order".into());
        }
        if matches!(pool.padding, PaddingSpec::ExplicitOnnxPool(..)) {
            return Err("its padding is unusual".into());
        }
        let depthwise = conv.group > 1;
        let outputs = pool.output_channels;
        if depthwise && (conv.group != channels || outputs != channels) {
            return Err(format!("it has {} groups", conv.group));
        }
        let inside = if depthwise { 1 } else { channels };
        if kernel_fact.shape.as_concrete().map(|s| s.iter().product())
            != Some(outputs * inside * kh * kw)
        {
            return Err("its weights have an unusual shape".into());
        }
        let padding = pool.computed_padding(&[height, width]);
        // OIHW → O, HW, I
        let taps = kh * kw;
        let mut weights = vec![0.0; kernel.len()];
        for (n, (from, to)) in kernel
            .chunks_exact(inside * taps)
            .zip(weights.chunks_exact_mut(inside * taps))
            .enumerate()
        {
            debug_assert!(n < outputs, "weights and channels were compared");
            for i in 0..inside {
                for tap in 0..taps {
                    to[tap * inside + i] = from[i * taps + tap];
                }
            }
        }
        let bias = if bias.len() == outputs {
            bias.clone()
        } else {
            vec![*bias.first().ok_or("no bias")?; outputs]
        };
        Ok(Op::Conv(Conv {
            kernel: kh,
            stride: pool.stride(0),
            pad_top: padding[0].pad_before,
            pad_left: padding[1].pad_before,
            depthwise,
            weights,
            bias,
            residual: false,
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            pooled: false,
        }))
    }

    /// A 1x1 convolution, which tract turns into a matrix product with axes by name.
    fn pointwise(&self, node: &TypedNode, sum: &EinSum) -> Result<Op, String> {
        let is_value = |i: usize| self.values.contains_key(&node.inputs[i]);
        let (x, w) = match (node.inputs.len(), is_value(0)) {
            (2, true) if !is_value(1) => (0, 1),
            (2, false) if is_value(1) => (1, 0),
            _ => return Err("it multiplies two values".into()),
        };
        if sum.q_params.is_some() {
            return Err("it is quantized".into());
        }
        let tensor = self.model.outlet_fact(node.inputs[w]).ok().and_then(|f| f.konst.clone());
        let tensor = tensor.ok_or("its weights are not constants")?;
        let rank_x = input_rank_of(self, node.inputs[x]);
        let rank_y = node.outputs[0].fact.rank();
        // Channels are third from the end on both sides; height and width pass through.
        let axis = |inputs: [Option<usize>; 2], output: Option<usize>| {
            let [in_x, in_w] = inputs;
            sum.axes.iter_all_axes().find(|axis| {
                in_x.is_none_or(|i| axis.inputs[x].as_slice() == [i])
                    && in_w.is_none_or(|i| axis.inputs[w].as_slice() == [i])
                    && output.is_none_or(|i| axis.outputs[0].as_slice() == [i])
            })
        };
        if rank_x < 3 || rank_y < 3 {
            return Err("it is not a 1x1 convolution".into());
        }
        for back in [1, 2] {
            let passes = axis([Some(rank_x - back), None], Some(rank_y - back));
            if passes.is_none_or(|axis| !axis.inputs[w].is_empty()) {
                return Err("it is not a 1x1 convolution".into());
            }
        }
        let summed = axis([Some(rank_x - 3), None], None).filter(|a| a.outputs[0].is_empty());
        let kept = axis([None, None], Some(rank_y - 3)).filter(|a| a.inputs[x].is_empty());
        let at = |axis: Option<&tract_onnx::tract_core::internal::Axis>| {
            axis.and_then(|axis| axis.inputs[w].first().copied())
        };
        let (Some(i), Some(o)) = (at(summed), at(kept)) else {
            return Err("it is not a 1x1 convolution".into());
        };
        let (inputs, outputs) = (tensor.shape()[i], tensor.shape()[o]);
        if tensor.len() != inputs * outputs {
            return Err("its weights have an unusual shape".into());
        }
        let values = floats(&tensor).map_err(|error| format!("{error:#}"))?;
        let weights = if o < i {
            values
        } else {
            (0..inputs * outputs).map(|at| values[at % inputs * outputs + at / inputs]).collect()
        };
        Ok(Op::Conv(Conv {
            kernel: 1,
            stride: 1,
            pad_top: 0,
            pad_left: 0,
            depthwise: false,
            weights,
            bias: vec![0.0; outputs],
            residual: false,
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            pooled: false,
        }))
    }
}

fn input_rank(lowering: &Lowering, node: &TypedNode) -> usize {
    input_rank_of(lowering, node.inputs[0])
}

fn input_rank_of(lowering: &Lowering, outlet: OutletId) -> usize {
    lowering.model.outlet_fact(outlet).map(|fact| fact.rank()).unwrap_or(0)
}

/// `value op constant` (or the other way round), or the sum of two values.
fn binary(
    name: &str,
    constant: Option<&(&TypedFact, Vec<f64>)>,
    constant_last: bool,
    shape: [usize; 3],
) -> Option<Op> {
    let Some((fact, values)) = constant else {
        return (name == "Add").then_some(Op::Add);
    };
    // One value for each channel, or one for all.
    let channels = shape[2];
    let rank = fact.rank();
    let dims = fact.shape.as_concrete()?;
    let by_channel = rank >= 3 && dims[rank - 3] == channels || (rank == 2 && dims[1] == channels);
    let each = match values.len() {
        1 => vec![values[0]; channels],
        n if n == channels && by_channel => values.clone(),
        _ => return None,
    };
    let scalar = || (values.len() == 1).then_some(values[0]);
    let affine = |mul, add| Some(Op::Affine { mul, add });
    let all = |x: f64| vec![x; channels];
    match name {
        "Add" => affine(all(1.0), each),
        "Mul" => affine(each, all(0.0)),
        "Sub" if constant_last => affine(all(1.0), each.iter().map(|x| -x).collect()),
        "Sub" => affine(all(-1.0), each),
        "Div" if constant_last => affine(each.iter().map(|x| 1.0 / x).collect(), all(0.0)),
        "Max" => Some(Op::Clip { lo: scalar()?, hi: f64::INFINITY }),
        "Min" => Some(Op::Clip { lo: f64::NEG_INFINITY, hi: scalar()? }),
        _ => None,
    }
}
