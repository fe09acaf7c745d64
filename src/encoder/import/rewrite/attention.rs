//! Takes `Mix(Softmax(Scores(q, k)), v)`. Leaves `Attention`. Then takes the linear layers that give
//! its queries, keys and values; those that read the same become one.

use super::super::ir::{Attention, Conv, Net, Node, Op, Value};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Mix { heads, v_at, width } = net.nodes[i].op else { continue };
        let &[softmax, v] = net.nodes[i].inputs.as_slice() else { continue };
        let Some(Op::Softmax) = net.op(softmax) else { continue };
        let scores = net.nodes[softmax - 1].inputs[0];
        let Some(Op::Scores(first)) = net.op(scores) else { continue };
        let &[q, k] = net.nodes[scores - 1].inputs.as_slice() else { continue };
        if first.heads != heads || first.width != width {
            continue;
        }
        let op = Op::Attention(Attention { v_at, ..*first });
        net.nodes[i].op = op;
        net.nodes[i].inputs = vec![q, k, v];
        return true;
    }
    false
}

/// Joins the linear layers in front of an attention.
pub(super) fn merge(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Attention(Attention { q_at, k_at, v_at, .. }) = net.nodes[i].op else { continue };
        let inputs = net.nodes[i].inputs.clone();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (first, second) = (inputs[a].min(inputs[b]), inputs[a].max(inputs[b]));
            if first == second || !can_join(net, i, first, second) {
                continue;
            }
            let joined = join(net, first, second);
            // In place of the later one; the first goes.
            let added = net.nodes[first - 1].shape[2];
            net.nodes[second - 1] = joined;
            let mut at = [q_at, k_at, v_at];
            for (side, input) in inputs.iter().enumerate() {
                if *input == second {
                    at[side] += added;
                }
                if *input == first {
                    net.nodes[i].inputs[side] = second;
                }
            }
            if let Op::Attention(attention) = &mut net.nodes[i].op {
                [attention.q_at, attention.k_at, attention.v_at] = at;
            }
            net.replace(first, first);
            return true;
        }
    }
    false
}

/// Whether two linear layers read the same in the same way and only this attention reads them.
fn can_join(net: &Net, attention: usize, first: Value, second: Value) -> bool {
    let (Some(Op::Conv(a)), Some(Op::Conv(b))) = (net.op(first), net.op(second)) else {
        return false;
    };
    let own = |value| net.output != value && net.readers(value).all(|r| r == attention);
    let plain = |conv: &Conv| {
        let linear = conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none();
        linear && !conv.residual && conv.is_linear()
    };
    own(first)
        && own(second)
        && plain(a)
        && plain(b)
        && net.nodes[first - 1].inputs == net.nodes[second - 1].inputs
        && a.norm == b.norm
        && a.factors == b.factors
}

fn join(net: &mut Net, first: Value, second: Value) -> Node {
    let (mut joined, other) = (net.take(first), net.take(second));
    if let (Op::Conv(a), Op::Conv(b)) = (&mut joined.op, other.op) {
        a.weights.extend(b.weights);
        a.bias.extend(b.bias);
        joined.shape[2] = a.bias.len();
    }
    joined
}
