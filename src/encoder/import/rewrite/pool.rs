//! Takes the sum over all positions. Leaves the mean, and a factor that cancels the exporter's. Last,
//! takes a mean that ends the network, of a pointwise convolution that nobody else reads; leaves the
//! convolution with its mean.

use super::super::ir::{Net, Node, Op};
use crate::kernels::Activation;

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        if !matches!(net.nodes[i].op, Op::SumPositions) {
            continue;
        }
        let [height, width, channels] = net.shape(net.nodes[i].inputs[0]);
        let node = Node { op: Op::Mean, ..net.take(i + 1) };
        let mean = net.insert(i, node);
        let mul = vec![(height * width) as f64; channels];
        net.nodes[i + 1].op = Op::Affine { mul, add: vec![0.0; channels] };
        net.nodes[i + 1].inputs = vec![mean];
        return true;
    }
    false
}

/// The mean at the end.
pub(super) fn fold_last(net: &mut Net) {
    let Some(Op::Mean) = net.op(net.output) else { return };
    let output = net.output;
    let value = net.nodes[output - 1].inputs[0];
    let Some(conv) = net.conv_read_once(value) else { return };
    let pointwise = conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none();
    let plain = conv.activation == Activation::Linear && conv.norm.is_none();
    if pointwise && plain && !conv.residual {
        conv.pooled = true;
        net.replace(output, value);
    }
}
