//! Operators that work on each number by itself, sums over axes.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::{LeakyRelu, Reduce, Reducer};

use super::super::ir::{Binary, Op, Tokens, Unary};
use super::constant::{Constant, Spread};
use super::lower::{Lowered, Lowering};
use super::view::{Along, View};
use crate::asset::encoder::Function;
use crate::kernels::Activation;
use crate::math;

const LAYOUTS: &str = "its inputs lie in different ways";

impl Lowering<'_> {
    /// A new value with one number for each of `view`'s.
    fn map(&mut self, node: &TypedNode, view: &View, op: Op) -> View {
        let shape = self.net.shape(view.value);
        let value = self.push(node, op, &[view.value], shape);
        View { value, ..view.clone() }
    }

    pub(super) fn unary(&mut self, node: &TypedNode, op: &ElementWiseOp) -> Lowered {
        let view = self.view(node.inputs[0])?;
        let name = op.0.name();
        if name == "Neg" {
            return Ok(View { factor: -view.factor, ..view });
        }
        let op = match name.as_str() {
            "PowConst" => {
                let exponent = op.0.downcast_ref::<PowConst>().map(|pow| pow.exponent);
                power(f64::from(exponent.unwrap_or(0.0)))?
            }
            "LeakyRelu" if op.0.downcast_ref::<LeakyRelu>().is_some_and(|r| r.alpha == 0.0) => {
                Op::Clip { lo: 0.0, hi: f64::INFINITY }
            }
            name => match function(name) {
                Some(Function::Unary(unary)) => Op::Unary(unary),
                Some(Function::Activate(activation)) => Op::Activate(activation),
                _ => return Err("it is unknown here".into()),
            },
        };
        let view = self.whole(node, view)?;
        Ok(self.map(node, &view, op))
    }

    pub(super) fn binary(&mut self, node: &TypedNode, name: &str) -> Lowered {
        let &[a, b] = node.inputs.as_slice() else {
            return Err("it has not two inputs".into());
        };
        let dims = self.dims(OutletId::new(node.id, 0))?;
        match (self.constant(a), self.constant(b)) {
            (None, None) => {
                let (a, b) = (self.view(a)?, self.view(b)?);
                self.combine(node, name, a, b, &dims)
            }
            (Some(constant), None) => self.with_constant(node, name, b, constant, true, &dims),
            (_, Some(constant)) => self.with_constant(node, name, a, constant, false, &dims),
        }
    }

    /// `value op constant`, or with the constant first.
    fn with_constant(
        &mut self,
        node: &TypedNode,
        name: &str,
        value: OutletId,
        constant: Constant,
        first: bool,
        dims: &[usize],
    ) -> Lowered {
        let view = self.view(value)?.broadcast(dims).ok_or(LAYOUTS)?;
        if let Some(scalar) = constant.scalar() {
            match (name, first) {
                ("Add", _) | ("Sub", false) if scalar == 0.0 => return Ok(view),
                ("Mul", _) => return Ok(View { factor: view.factor * scalar, ..view }),
                ("Div", false) => return Ok(View { factor: view.factor / scalar, ..view }),
                ("Max", _) | ("Min", _) | ("Pow", false) => {
                    let view = self.whole(node, view)?;
                    let op = match name {
                        "Max" => Op::Clip { lo: scalar, hi: f64::INFINITY },
                        "Min" => Op::Clip { lo: f64::NEG_INFINITY, hi: scalar },
                        _ => power(scalar)?,
                    };
                    return Ok(self.map(node, &view, op));
                }
                ("Div", true) => {
                    let view = self.whole(node, view)?;
                    let view = self.map(node, &view, Op::Unary(Unary::Recip));
                    return Ok(View { factor: scalar, ..view });
                }
                _ => {}
            }
        }
        let view = self.whole(node, view)?;
        let channels = view.channels;
        let spread = constant.of_rank(view.axes.len()).spread(&view).ok_or(LAYOUTS)?;
        let op = match (spread, name) {
            (Spread::Channels(each), "Add" | "Sub") => {
                let sign = if name == "Sub" && !first { -1.0 } else { 1.0 };
                let mul = if name == "Sub" && first { -1.0 } else { 1.0 };
                let add = each.iter().map(|x| sign * x).collect();
                Op::Affine { mul: vec![mul; channels], add }
            }
            (Spread::Channels(mul), "Mul") => Op::Affine { mul, add: vec![0.0; channels] },
            (Spread::Channels(each), "Div") if !first => {
                let mul = each.iter().map(|x| 1.0 / x).collect();
                Op::Affine { mul, add: vec![0.0; channels] }
            }
            (Spread::Rows(each), "Add") => {
                let add = each.iter().map(|x| *x as f32).collect();
                Op::Tokens(Tokens { prefix: Vec::new(), mean: false, add })
            }
            _ => return Err("it is not known with this constant".into()),
        };
        Ok(self.map(node, &view, op))
    }

    /// Two values, one of which may have one position or one channel.
    fn combine(
        &mut self,
        node: &TypedNode,
        name: &str,
        a: View,
        b: View,
        dims: &[usize],
    ) -> Lowered {
        let a = self.whole(node, a.without_repeats())?;
        let b = self.whole(node, b.without_repeats())?;
        let (a, b) = (a.broadcast(dims).ok_or(LAYOUTS)?, b.broadcast(dims).ok_or(LAYOUTS)?);
        if a == b && name == "Mul" {
            return Ok(self.map(node, &a, Op::Unary(Unary::Square)));
        }
        let binary = binary(name).ok_or("it is not known with two values")?;
        let (mut large, mut small) = (&a, &b);
        if (small.rows, small.channels) > (large.rows, large.channels) {
            std::mem::swap(&mut large, &mut small);
        }
        for (axis, dim) in dims.iter().enumerate() {
            let step = match large.along(axis) {
                Along::Nothing => 0,
                Along::Rows(_) if small.rows == 1 => 0,
                Along::Rows(step) => step * small.channels,
                Along::Channels(_) if small.channels == 1 => 0,
                Along::Channels(step) => step,
            };
            if small.axes[axis].step != step || large.axes[axis].step == 0 && *dim > 1 {
                return Err(LAYOUTS.into());
            }
        }
        let (mut large, small) = (large.clone(), small.clone());
        if small.channels > 1 && large.order != small.order {
            // One of them is brought into the other's order.
            let done = match (&large.order, &small.order) {
                (Some(order), None) => self.reorder(small.value, order),
                (None, Some(order)) => {
                    let done = self.reorder(large.value, order);
                    large.order = Some(order.clone());
                    done
                }
                _ => false,
            };
            if !done {
                return Err("the channels of a grouped convolution meet others".into());
            }
        }
        let shape = self.net.shape(large.value);
        let value = self.push(node, Op::Binary(binary), &[a.value, b.value], shape);
        Ok(View { value, ..large })
    }

    /// A sum over positions or channels.
    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> Lowered {
        let view = self.view(node.inputs[0])?;
        if !matches!(op.reducer, Reducer::Sum | Reducer::MeanOfSquares) {
            return Err("only sums and means are known".into());
        }
        let mut view = self.whole(node, view)?;
        let squares = op.reducer == Reducer::MeanOfSquares;
        if squares {
            view = self.map(node, &view, Op::Unary(Unary::Square));
        }
        let (mut rows, mut channels, mut count) = (1, 1, 1);
        for &axis in &op.axes {
            let len = view.axes[axis].len;
            count *= len;
            match view.along(axis) {
                Along::Nothing if len > 1 => return Err("its input repeats values".into()),
                Along::Nothing => {}
                Along::Rows(_) => rows *= len,
                Along::Channels(_) => channels *= len,
            }
        }
        let [height, width, _] = self.net.shape(view.value);
        let (op, shape) = match (rows, channels) {
            (1, 1) => return Ok(view),
            (1, n) if n == view.channels => (Op::SumChannels, [height, width, 1]),
            (n, 1) if n == view.rows => (Op::SumPositions, [1, 1, view.channels]),
            _ => return Err("only sums over all positions or all channels are known".into()),
        };
        let value = self.push(node, op, &[view.value], shape);
        let kept = |axis: usize, step| (view.axes[axis].len, step);
        let by_channels = channels > 1;
        let axes: Vec<(usize, usize)> = (0..view.axes.len())
            .map(|axis| match view.along(axis) {
                Along::Rows(step) if by_channels => kept(axis, step),
                Along::Channels(step) if !by_channels => kept(axis, step),
                _ => (1, 0),
            })
            .collect();
        let factor = if squares { 1.0 / count as f64 } else { 1.0 };
        let order = if by_channels { None } else { view.order.clone() };
        let summed = View::new(value, shape[0] * shape[1], shape[2], &axes);
        Ok(View { factor, order, ..summed })
    }
}

/// `x` to the power of a constant.
fn power(exponent: f64) -> Result<Op, String> {
    Ok(Op::Unary(match exponent {
        2.0 => Unary::Square,
        3.0 => Unary::Cube,
        0.5 => Unary::Sqrt,
        -0.5 => Unary::Rsqrt,
        -1.0 => Unary::Recip,
        _ => return Err(format!("the exponent {exponent} is unknown here")),
    }))
}

/// The function of one number that tract calls so.
pub(super) fn function(name: &str) -> Option<Function> {
    let gated = |coefficients| Function::Activate(Activation::Gated(coefficients));
    Some(Function::Unary(match name {
        "Square" => Unary::Square,
        "Sqrt" => Unary::Sqrt,
        "Rsqrt" => Unary::Rsqrt,
        "Recip" => Unary::Recip,
        "Erf" => Unary::Erf,
        "Tanh" => Unary::Tanh,
        "Abs" => Unary::Abs,
        "Exp" => Unary::Exp,
        "Ln" => Unary::Ln,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "RoundHalfToEven" => Unary::Round,
        "Sign" => Unary::Sign,
        "Sigmoid" => return Some(Function::Activate(Activation::Sigmoid)),
        "HardSwish" => return Some(Function::Activate(Activation::HardSwish)),
        "Silu" => return Some(gated(math::SILU)),
        "GeluExact" => return Some(gated(math::GELU)),
        "GeluApproximate" => return Some(gated(math::GELU_TANH)),
        _ => return None,
    }))
}

/// The function of two numbers that tract calls so.
pub(super) fn binary(name: &str) -> Option<Binary> {
    let all =
        [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow];
    all.into_iter().find(|binary| binary.name() == name)
}
