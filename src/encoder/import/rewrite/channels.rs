//! Takes some channels of a convolution's result, where a fused layer is split. Leaves a convolution
//! that computes no others.

use super::super::ir::{Conv, Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Channels { start, count } = net.nodes[i].op else { continue };
        let value = net.nodes[i].inputs[0];
        let Some(Op::Conv(conv)) = net.op(value) else { continue };
        if conv.residual || conv.depthwise.is_some() {
            continue;
        }
        let depth = conv.depth();
        let part = Conv {
            weights: conv.weights[start * depth..(start + count) * depth].to_vec(),
            bias: conv.bias[start..start + count].to_vec(),
            factors: conv.factors.clone(),
            ..*conv
        };
        net.nodes[i].inputs = net.nodes[value - 1].inputs.clone();
        net.nodes[i].op = Op::Conv(part);
        return true;
    }
    false
}
