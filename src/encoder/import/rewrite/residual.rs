//! Takes `Add(Conv(x), r)` where nobody else reads the convolution. Leaves the convolution with `r`
//! as its second input. Of two convolutions the later one takes the other in.

use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let &[a, b] = net.nodes[i].inputs.as_slice() else { continue };
        if !matches!(net.nodes[i].op, Op::Add) {
            continue;
        }
        let (value, other) = (a.max(b), a.min(b));
        let Some(node) = net.only_read_here(value) else { continue };
        let Some(conv) = net.conv_mut(node) else { continue };
        if conv.depthwise.is_some() || conv.residual || !conv.is_linear() {
            continue;
        }
        conv.residual = true;
        net.nodes[node].inputs.push(other);
        net.replace(i + 1, value);
        return true;
    }
    false
}
