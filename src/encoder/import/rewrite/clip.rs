//! Takes `Clip(Conv(x))`: ReLU6, ReLU or any other pair of bounds. Leaves a convolution with the
//! tighter bounds.

use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Clip { lo, hi } = net.nodes[i].op else { continue };
        let (lo, hi) = (lo as f32, hi as f32);
        let value = net.nodes[i].inputs[0];
        let Some(node) = net.only_read_here(value) else { continue };
        let Some(conv) = net.conv_mut(node) else { continue };
        if conv.pooled {
            continue;
        }
        // Bounds after bounds: clamp the inner ones too, so that the outer ones always win.
        (conv.lo, conv.hi) = (conv.lo.max(lo).min(hi), conv.hi.min(hi).max(lo));
        net.replace(i + 1, value);
        return true;
    }
    false
}
