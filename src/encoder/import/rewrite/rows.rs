//! Takes the rows of a value that are read at all, as after a class token. Leaves everything before,
//! up to where other rows are needed, computed for these rows only.

use super::super::ir::{Attention, Conv, Net, Node, Op, Value};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Rows { start, count } = net.nodes[i].op else { continue };
        let value = net.nodes[i].inputs[0];
        // The same rows of the same value once.
        let same = |j: &usize| {
            let node = &net.nodes[*j];
            matches!(node.op, Op::Rows { start: s, count: c } if (s, c) == (start, count))
                && node.inputs == [value]
                && node.shape == net.nodes[i].shape
        };
        if let Some(j) = (0..i).find(same) {
            net.replace(i + 1, j + 1);
            return true;
        }
        if value == 0 {
            continue;
        }
        let own = net.is_read_once(value);
        let takes = match &net.nodes[value - 1].op {
            Op::Conv(conv) => own && is_by_row(conv),
            Op::Norm { .. } | Op::Attention(_) => own,
            Op::Rows { .. } => true,
            _ => false,
        };
        if !takes {
            if split_queries(net, i, value) {
                return true;
            }
            continue;
        }
        if let Op::Rows { start: first, .. } = net.nodes[value - 1].op {
            net.nodes[i].op = Op::Rows { start: first + start, count };
            net.nodes[i].inputs[0] = net.nodes[value - 1].inputs[0];
            return true;
        }
        // The node reads rows of its inputs; of an attention's, only the queries.
        let mut node = net.take(value);
        // The rows may be an image's positions.
        let [height, width, _] = net.nodes[i].shape;
        node.shape = [height, width, node.shape[2]];
        let by_row = if matches!(node.op, Op::Attention(_)) { 1 } else { node.inputs.len() };
        let mut at = i;
        for side in 0..by_row {
            let input = node.inputs[side];
            let rows = Node {
                name: net.nodes[i].name.clone(),
                op: Op::Rows { start, count },
                inputs: vec![input],
                shape: [height, width, net.shape(input)[2]],
            };
            node.inputs[side] = net.insert(at, rows);
            at += 1;
        }
        net.nodes[at] = node;
        net.replace(value, value);
        return true;
    }
    false
}

fn is_by_row(conv: &Conv) -> bool {
    conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none() && !conv.pooled
}

/// Rows of a fused layer that an attention reads as queries: they become a layer of their own.
fn split_queries(net: &mut Net, i: usize, value: Value) -> bool {
    let readers: Vec<usize> = net.readers(value).collect();
    let &[rows, a, b] = readers.as_slice() else { return false };
    let Some(Op::Conv(conv)) = net.op(value) else { return false };
    let Op::Attention(Attention { q_at, k_at, v_at, width, .. }) = net.nodes[a].op else {
        return false;
    };
    if rows != i || a != b || net.nodes[a].inputs[0] != i + 1 || net.output == value {
        return false;
    }
    // Queries first, as exporters do.
    if !is_by_row(conv) || conv.residual || q_at != 0 || k_at.min(v_at) < width {
        return false;
    }
    let depth = conv.depth();
    let queries = Conv {
        weights: conv.weights[..width * depth].to_vec(),
        bias: conv.bias[..width].to_vec(),
        factors: conv.factors.clone(),
        ..*conv
    };
    let [height, across, channels] = net.shape(value);
    let node = Node {
        name: net.nodes[value - 1].name.clone(),
        op: Op::Conv(queries),
        inputs: net.nodes[value - 1].inputs.clone(),
        shape: [height, across, width],
    };
    net.nodes[value - 1].shape[2] = channels - width;
    if let Op::Conv(rest) = &mut net.nodes[value - 1].op {
        rest.weights.drain(..width * depth);
        rest.bias.drain(..width);
    }
    if let Op::Attention(attention) = &mut net.nodes[a].op {
        attention.k_at -= width;
        attention.v_at -= width;
    }
    let queries = net.insert(value, node);
    net.nodes[i + 1].inputs[0] = queries;
    net.nodes[i + 1].shape[2] = width;
    true
}
