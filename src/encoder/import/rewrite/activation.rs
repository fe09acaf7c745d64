//! Takes an activation of a convolution's or a gate's result. Leaves it in the convolution or gate.

use super::super::ir::{Net, Op};
use crate::kernels::Activation;

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Activate(wanted) = net.nodes[i].op else { continue };
        let value = net.nodes[i].inputs[0];
        if value == 0 || !net.is_read_once(value) {
            continue;
        }
        match &mut net.nodes[value - 1].op {
            Op::Conv(conv) if conv.is_linear() && !conv.residual => conv.activation = wanted,
            Op::Scale { activation, lo, hi }
                if *activation == Activation::Linear && !lo.is_finite() && !hi.is_finite() =>
            {
                *activation = wanted;
            }
            _ => continue,
        }
        net.replace(i + 1, value);
        return true;
    }
    false
}
