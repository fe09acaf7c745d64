//! ONNX → tract's typed graph → our [`Net`], operator by operator.

use std::collections::HashMap;
use std::io::Cursor;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{AxisOp, TypedFact, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::array::{Pad, PadMode};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, PaddingSpec};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::ImportError;
use super::ir::{Conv, Net, Node, Op, Value};

/// Reads an ONNX network for one picture of `size` x `size` and lets tract compute its
/// constants.
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
    // Not decluttered: tract's passes over axes give other graphs on other processors.
    let mut typed = model.into_typed().map_err(error)?;
    typed.prop_consts().map_err(error)?;
    typed.compact().map_err(error)?;
    Ok(typed)
}

/// The typed graph as our own.
pub(super) fn lower(model: &TypedModel, size: usize) -> Result<Net, ImportError> {
    let onnx = |error| ImportError::Onnx { size, error };
    let (values, paddings) = (HashMap::new(), HashMap::new());
    let mut lowering = Lowering { model, values, paddings, nodes: Vec::new() };
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
    /// Zeros around a value (before, after; for height and width), which belong to the convolution
    /// that takes it.
    paddings: HashMap<OutletId, [(usize, usize); 2]>,
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
        let Some(&input) = inputs.first() else {
            return Err(unsupported("it does not depend on the picture"));
        };
        if let Some(axis) = node.op_as::<AxisOp>() {
            let before = self.model.outlet_fact(node.inputs[0]).ok().and_then(squeezed);
            if matches!(axis, AxisOp::Move(..)) || before != squeezed(fact) {
                return Err(unsupported("it moves values"));
            }
            self.values.insert(outlet, input);
            return Ok(());
        }
        let padded = node.inputs.iter().any(|outlet| self.paddings.contains_key(outlet));
        if padded && !node.op_is::<TractConv>() {
            return Err(unsupported("its input is padded, which only a convolution may have"));
        }
        if let Some(pad) = node.op_as::<Pad>() {
            let zeros = match &pad.mode {
                PadMode::Constant(value) => value.is_zero().unwrap_or(false),
                _ => false,
            };
            let last = pad.pads.split_last_chunk::<2>();
            let last = last.filter(|(rest, _)| zeros && rest.iter().all(|pad| *pad == (0, 0)));
            let Some((_, padding)) = last else {
                return Err(unsupported("only zeros around height and width are known"));
            };
            self.values.insert(outlet, input);
            self.paddings.insert(outlet, *padding);
            return Ok(());
        }
        let shape = shape(fact).ok_or_else(|| unsupported("its result is not an image"))?;
        let op = if let Some(conv) = node.op_as::<TractConv>() {
            self.conv(node, conv, &constants).map_err(|why| unsupported(&why))?
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
        self.nodes.push(Node { name: node.name.clone(), op, inputs, shape });
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
        // `height` and `width` are those of the padded input.
        let padding = pool.computed_padding(&[height, width]);
        let around = self.paddings.get(&node.inputs[0]).copied().unwrap_or_default();
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
                    to[tap * inside + i] = from[i * taps + tap] as f32;
                }
            }
        }
        let bias = if bias.len() == outputs {
            bias.clone()
        } else {
            vec![*bias.first().ok_or("no bias")?; outputs]
        };
        let bias = bias.iter().map(|b| *b as f32).collect();
        Ok(Op::Conv(Conv {
            kernel: kh,
            stride: pool.stride(0),
            pad_top: padding[0].pad_before + around[0].0,
            pad_left: padding[1].pad_before + around[1].0,
            depthwise: depthwise.then_some(1),
            ..Conv::new(weights, bias)
        }))
    }
}

fn input_rank(lowering: &Lowering, node: &TypedNode) -> usize {
    lowering.model.outlet_fact(node.inputs[0]).map(|fact| fact.rank()).unwrap_or(0)
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
