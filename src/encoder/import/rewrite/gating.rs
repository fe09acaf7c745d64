//! Takes the product of a value and one with a single position: squeeze-excite. Leaves `Scale`.

use super::super::ir::{Binary, Net, Op};
use crate::kernels::Activation;

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let (Op::Binary(Binary::Mul), &[a, b]) = (&net.nodes[i].op, net.nodes[i].inputs.as_slice())
        else {
            continue;
        };
        let rows = |value| net.shape(value)[0] * net.shape(value)[1];
        let channels = |value| net.shape(value)[2];
        let (x, gate) = if rows(b) == 1 { (a, b) } else { (b, a) };
        if rows(gate) != 1 || channels(gate) != channels(x) {
            continue;
        }
        let (lo, hi) = (f32::NEG_INFINITY, f32::INFINITY);
        net.nodes[i].op = Op::Scale { activation: Activation::Linear, lo, hi };
        net.nodes[i].inputs = vec![x, gate];
        return true;
    }
    false
}
