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

#[cfg(test)]
mod tests {
    use super::super::super::ir::Conv;
    use super::*;

    /// A network of a linear layer, value 1, and what follows.
    fn net(ops: Vec<(Op, Vec<Value>)>) -> Net {
        let stem = Op::Conv(Conv::new(vec![1.0; 6], vec![0.0; 2]));
        let all = std::iter::once((stem, vec![0])).chain(ops);
        let node = |(op, inputs)| Node { name: String::new(), op, inputs, shape: [1, 1, 2] };
        let nodes: Vec<Node> = all.map(node).collect();
        Net { size: 1, output: nodes.len(), nodes }
    }

    fn times(mul: f64, add: f64, value: Value) -> (Op, Vec<Value>) {
        (Op::Affine { mul: vec![mul; 2], add: vec![add; 2] }, vec![value])
    }

    fn unary(unary: Unary, value: Value) -> (Op, Vec<Value>) {
        (Op::Unary(unary), vec![value])
    }

    fn both(binary: Binary, a: Value, b: Value) -> (Op, Vec<Value>) {
        (Op::Binary(binary), vec![a, b])
    }

    fn flat<const N: usize>(parts: [Vec<(Op, Vec<Value>)>; N]) -> Vec<(Op, Vec<Value>)> {
        parts.into_iter().flatten().collect()
    }

    /// The activation that the passes put into the layer, and the factor left behind it.
    fn found(ops: Vec<(Op, Vec<Value>)>) -> (Activation, f64) {
        let mut net = net(ops);
        while fold(&mut net) {
            net.remove_unread();
        }
        let [_, activate, factor] = net.nodes.as_slice() else { panic!("{}", net.nodes.len()) };
        match (&activate.op, &factor.op) {
            (Op::Activate(activation), Op::Affine { mul, .. }) => (*activation, mul[0]),
            _ => panic!("{} {}", activate.op.name(), factor.op.name()),
        }
    }

    #[test]
    fn gelu_in_either_order_of_its_factors() {
        let root = std::f64::consts::FRAC_1_SQRT_2;
        let inner = || vec![times(root, 0.0, 1), unary(Unary::Erf, 2), times(1.0, 1.0, 3)];
        let last = flat([inner(), vec![both(Binary::Mul, 1, 4)]]);
        assert_eq!(found(last), (Activation::Gated(GELU), 2.0));
        let first = flat([inner(), vec![times(0.5, 0.0, 1), both(Binary::Mul, 5, 4)]]);
        assert_eq!(found(first), (Activation::Gated(GELU), 1.0));
    }

    #[test]
    fn gelu_with_tanh_as_a_sum_and_as_a_product() {
        let scale = (2.0 / std::f64::consts::PI).sqrt();
        let outside = |at| vec![times(scale, 0.0, at), unary(Unary::Tanh, at + 1)];
        let gate = |at| vec![times(0.5, 0.5, at), both(Binary::Mul, at + 1, 1)];
        let cube = vec![unary(Unary::Square, 1), both(Binary::Mul, 1, 2)];
        let sum =
            [cube, vec![times(0.044_715, 0.0, 3), both(Binary::Add, 1, 4)], outside(5), gate(7)];
        assert_eq!(found(flat(sum)), (Activation::Gated(GELU_TANH), 1.0));
        let square = vec![unary(Unary::Square, 1), times(0.044_715, 1.0, 2)];
        let product = [square, vec![both(Binary::Mul, 3, 1)], outside(4), gate(6)];
        assert_eq!(found(flat(product)), (Activation::Gated(GELU_TANH), 1.0));
    }

    #[test]
    fn sigmoid_gates_by_their_factor() {
        let sigmoid = |value| (Op::Activate(Activation::Sigmoid), vec![value]);
        let gated = vec![sigmoid(1), both(Binary::Mul, 2, 1)];
        assert_eq!(found(gated), (Activation::Gated(SILU), 1.0));
        for (factor, gate) in [(1.702, QUICK_GELU), (3.0, [3.0, 0.0, 0.0])] {
            let gated = vec![times(factor, 0.0, 1), sigmoid(2), both(Binary::Mul, 1, 3)];
            assert_eq!(found(gated), (Activation::Gated(gate), 1.0));
        }
    }

    #[test]
    fn hard_swish_with_the_sixth_inside_or_outside() {
        let clip = |hi, value| (Op::Clip { lo: 0.0, hi }, vec![value]);
        let outside = vec![times(1.0, 3.0, 1), clip(6.0, 2), both(Binary::Mul, 1, 3)];
        assert_eq!(found(outside), (Activation::HardSwish, 6.0));
        let inside = vec![times(1.0 / 6.0, 0.5, 1), clip(1.0, 2), both(Binary::Mul, 3, 1)];
        assert_eq!(found(inside), (Activation::HardSwish, 1.0));
    }
}
