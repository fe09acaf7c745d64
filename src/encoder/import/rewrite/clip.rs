//! Takes `Clip(x)`: ReLU, ReLU6 or any other pair of bounds. Leaves them with the convolution, the
//! gate or the other bounds that give `x`.

use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Clip { lo, hi } = net.nodes[i].op else { continue };
        let value = net.nodes[i].inputs[0];
        if value == 0 || !net.is_read_once(value) {
            continue;
        }
        // Bounds after bounds: clamp the inner ones too, so that the outer ones always win.
        match &mut net.nodes[value - 1].op {
            Op::Conv(conv) if !conv.pooled => tighten(&mut conv.lo, &mut conv.hi, lo, hi),
            Op::Scale { lo: inner_lo, hi: inner_hi, .. } => tighten(inner_lo, inner_hi, lo, hi),
            Op::Clip { lo: inner_lo, hi: inner_hi } => {
                (*inner_lo, *inner_hi) = (inner_lo.max(lo).min(hi), inner_hi.min(hi).max(lo));
            }
            _ => continue,
        }
        net.replace(i + 1, value);
        return true;
    }
    false
}

fn tighten(inner_lo: &mut f32, inner_hi: &mut f32, lo: f64, hi: f64) {
    let (lo, hi) = (lo as f32, hi as f32);
    (*inner_lo, *inner_hi) = (inner_lo.max(lo).min(hi), inner_hi.min(hi).max(lo));
}
