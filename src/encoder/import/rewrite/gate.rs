//! Takes `x` times a function of `x`, as exporters write activations: `x * sigmoid(k x)` (SiLU,
//! QuickGELU), `x / 2 * (1 + erf(x / sqrt 2))` (GELU), the same with tanh, and
//! `x * clip(x + 3, 0, 6) / 6` (hard swish), their constants in any place. Leaves the activation, and
//! a factor where theirs was another.

use super::super::ir::{Binary, Net, Node, Op, Unary, Value};
use crate::kernels::Activation;
use crate::math::{GELU, GELU_TANH, QUICK_GELU, SILU};

/// `x * mul + add`
struct Line {
    x: Value,
    mul: f64,
    add: f64,
}

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let (Op::Binary(Binary::Mul), &[a, b]) = (&net.nodes[i].op, net.nodes[i].inputs.as_slice())
        else {
            continue;
        };
        if let Some(x) = cube(net, a, b).or_else(|| cube(net, b, a)) {
            net.nodes[i].op = Op::Unary(Unary::Cube);
            net.nodes[i].inputs = vec![x];
            return true;
        }
        let Some((x, activation, factor)) = gate(net, a, b).or_else(|| gate(net, b, a)) else {
            continue;
        };
        let shape = net.nodes[i].shape;
        let name = net.nodes[i].name.clone();
        let op = Op::Activate(activation);
        let activated = net.insert(i, Node { name, op, inputs: vec![x], shape });
        let (mul, add) = (vec![factor; shape[2]], vec![0.0; shape[2]]);
        net.nodes[i + 1].op = Op::Affine { mul, add };
        net.nodes[i + 1].inputs = vec![activated];
        return true;
    }
    false
}

/// `x * x²`
fn cube(net: &Net, x: Value, square: Value) -> Option<Value> {
    let square = &net.nodes[square.checked_sub(1)?];
    (matches!(square.op, Op::Unary(Unary::Square)) && square.inputs == [x]).then_some(x)
}

/// `a` is x, perhaps with a factor, and `b` its gate.
fn gate(net: &Net, a: Value, b: Value) -> Option<(Value, Activation, f64)> {
    let plain = Line { x: a, mul: 1.0, add: 0.0 };
    [plain, line(net, a)].into_iter().filter(|a| a.add == 0.0).find_map(|a| {
        let outer = line(net, b);
        let (activation, factor) = gate_of(net, a.x, &outer)?;
        Some((a.x, activation, factor * a.mul))
    })
}

fn gate_of(net: &Net, x: Value, outer: &Line) -> Option<(Activation, f64)> {
    let node = &net.nodes[outer.x.checked_sub(1)?];
    let inner = line(net, *node.inputs.first()?);
    let of_x = inner.x == x;
    match node.op {
        Op::Activate(Activation::Sigmoid) if of_x && inner.add == 0.0 && outer.add == 0.0 => {
            let gates = [(1.702, QUICK_GELU), (1.0, SILU)];
            let known = gates.into_iter().find(|(k, _)| near(inner.mul, *k));
            let own = [inner.mul as f32, 0.0, 0.0];
            Some((Activation::Gated(known.map_or(own, |(_, gate)| gate)), outer.mul))
        }
        Op::Unary(Unary::Erf)
            if of_x
                && inner.add == 0.0
                && near(inner.mul, std::f64::consts::FRAC_1_SQRT_2)
                && near(outer.add, outer.mul) =>
        {
            Some((Activation::Gated(GELU), 2.0 * outer.mul))
        }
        Op::Unary(Unary::Tanh) if near(outer.add, outer.mul) => {
            is_gelu_polynomial(net, x, &inner)?;
            Some((Activation::Gated(GELU_TANH), 2.0 * outer.mul))
        }
        Op::Clip { lo: 0.0, hi } if of_x && outer.add == 0.0 => {
            let six = near(hi, 6.0 * inner.mul) && near(inner.add, 3.0 * inner.mul);
            six.then_some((Activation::HardSwish, hi * outer.mul))
        }
        _ => None,
    }
}

/// `sqrt(2 / pi) * (x + 0.044715 x³)`, also as `x * (1 + 0.044715 x²)`.
fn is_gelu_polynomial(net: &Net, x: Value, inner: &Line) -> Option<()> {
    let sum = &net.nodes[inner.x.checked_sub(1)?];
    let &[a, b] = sum.inputs.as_slice() else { return None };
    let scale = (2.0 / std::f64::consts::PI).sqrt();
    let is = |power: Unary, add: f64, value: Value| {
        let line = line(net, value);
        let of_x = line.x > 0 && net.nodes[line.x - 1].inputs == [x];
        let powered = matches!(net.op(line.x), Some(Op::Unary(unary)) if *unary == power);
        of_x && powered && near(line.mul, 0.044_715) && near(line.add, add)
    };
    let power = match sum.op {
        Op::Binary(Binary::Add) => (Unary::Cube, 0.0),
        Op::Binary(Binary::Mul) => (Unary::Square, 1.0),
        _ => return None,
    };
    let other = if a == x { b } else { a };
    let matches = (a == x || b == x)
        && is(power.0, power.1, other)
        && near(inner.mul, scale)
        && inner.add == 0.0;
    matches.then_some(())
}

/// A value as a map, the same for all channels, of another.
fn line(net: &Net, value: Value) -> Line {
    if let Some(Op::Affine { mul, add }) = net.op(value)
        && mul.iter().all(|m| *m == mul[0])
        && add.iter().all(|a| *a == add[0])
    {
        return Line { x: net.nodes[value - 1].inputs[0], mul: mul[0], add: add[0] };
    }
    Line { x: value, mul: 1.0, add: 0.0 }
}

/// Equal but for rounding, also to float16.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-3 * b.abs()
}
