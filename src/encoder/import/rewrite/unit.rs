//! Takes a result divided by its own length, or multiplied by one positive number. Leaves the result:
//! features are brought to unit length anyway.

use super::super::ir::{Binary, Net, Op, Unary, Value};

pub(super) fn fold(net: &mut Net) -> bool {
    let Some(node) = net.output.checked_sub(1).map(|at| &net.nodes[at]) else { return false };
    let x = match (&node.op, node.inputs.as_slice()) {
        (Op::Binary(Binary::Div | Binary::Mul), &[x, length]) if is_length(net, length, x) => x,
        (Op::Affine { mul, add }, &[x])
            if mul[0] > 0.0
                && mul.iter().all(|m| *m == mul[0])
                && add.iter().all(|a| *a == 0.0) =>
        {
            x
        }
        _ => return false,
    };
    net.output = x;
    net.remove_unread();
    true
}

/// Whether `value` is made from the sum of the squares of `x` alone.
fn is_length(net: &Net, value: Value, x: Value) -> bool {
    let Some(node) = value.checked_sub(1).map(|at| &net.nodes[at]) else { return false };
    match node.op {
        Op::Unary(Unary::Sqrt | Unary::Rsqrt | Unary::Recip)
        | Op::Clip { .. }
        | Op::Affine { .. } => is_length(net, node.inputs[0], x),
        Op::SumChannels => node.inputs[0].checked_sub(1).is_some_and(|at| {
            matches!(net.nodes[at].op, Op::Unary(Unary::Square)) && net.nodes[at].inputs == [x]
        }),
        _ => false,
    }
}
