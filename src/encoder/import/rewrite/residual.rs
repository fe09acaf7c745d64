//! Takes `Add(Conv(x), r)` where nobody else reads the convolution. Leaves the convolution with `r`
//! as its second input. Of two convolutions the later one takes the other in. Where neither can, but both
//! sides can be codes, a linear layer that changes nothing takes the sum.

use super::super::ir::{Binary, Conv, Net, Op, Value};

/// Into a convolution that is there.
pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Some([first, second]) = sum(net, i) else { continue };
        let host = [second, first].into_iter().find(|value| takes(net, *value));
        let Some(host) = host else { continue };
        let other = if host == second { first } else { second };
        // In place of the sum, where both sides are there.
        let mut node = net.take(host);
        node.inputs = vec![node.inputs[0], other];
        node.shape = net.nodes[i].shape;
        if let Op::Conv(conv) = &mut node.op {
            conv.residual = true;
        }
        net.nodes[i] = node;
        net.replace(host, host);
        return true;
    }
    false
}

fn sum(net: &Net, i: usize) -> Option<[Value; 2]> {
    let &[a, b] = net.nodes[i].inputs.as_slice() else { return None };
    let add = matches!(net.nodes[i].op, Op::Binary(Binary::Add));
    let same = |a: [usize; 3], b: [usize; 3]| a[0] * a[1] == b[0] * b[1] && a[2] == b[2];
    (add && same(net.shape(a), net.shape(b))).then_some([a.min(b), a.max(b)])
}

fn takes(net: &Net, value: Value) -> bool {
    let Some(Op::Conv(conv)) = net.op(value) else { return false };
    let bounded = conv.lo.is_finite() || conv.hi.is_finite();
    net.is_read_once(value)
        && conv.depthwise.is_none()
        && !(conv.residual || conv.pooled || bounded)
}

/// A depthwise convolution with its own input added: its middle weight grows by one.
pub(super) fn fold_depthwise(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Some([x, value]) = sum(net, i) else { continue };
        let input = value.checked_sub(1).map(|at| net.nodes[at].inputs[0]);
        let Some(conv) = net.conv_read_once(value) else { continue };
        let middle = conv.kernel / 2;
        let centred = conv.stride == 1 && conv.pad_top == middle && conv.pad_left == middle;
        if input != Some(x) || conv.depthwise != Some(1) || !centred || !conv.is_linear() {
            continue;
        }
        let (depth, kernel) = (conv.depth(), conv.kernel);
        let weights = conv.weights.chunks_exact_mut(depth);
        weights.for_each(|taps| taps[middle * kernel + middle] += 1.0);
        net.replace(i + 1, value);
        return true;
    }
    false
}

/// Into a new layer, where both sides can be codes: a sum of real values is cheaper as it is.
pub(super) fn fold_other(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Some([first, second]) = sum(net, i) else { continue };
        let codes =
            |value| matches!(net.op(value), Some(Op::Conv(_) | Op::Scale { .. } | Op::MaxPool(_)));
        if !codes(first) || !codes(second) {
            continue;
        }
        let channels = net.nodes[i].shape[2];
        let mut weights = vec![0.0; channels * channels];
        weights.iter_mut().step_by(channels + 1).for_each(|w| *w = 1.0);
        let conv = Conv { residual: true, ..Conv::new(weights, vec![0.0; channels]) };
        net.nodes[i].op = Op::Conv(conv);
        net.nodes[i].inputs = vec![second, first];
        return true;
    }
    false
}
