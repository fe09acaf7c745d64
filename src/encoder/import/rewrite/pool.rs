//! Takes `Affine(PoolSum(Conv(x)))` where the factor is one over the number of positions: a global
//! average pool. Leaves a convolution with its mean.

use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Affine { mul, add } = &net.nodes[i].op else { continue };
        let Some(pool) = net.nodes[i].inputs[0].checked_sub(1) else { continue };
        if !matches!(net.nodes[pool].op, Op::PoolSum) {
            continue;
        }
        let value = net.nodes[pool].inputs[0];
        let [height, width, _] = net.shape(value);
        let mean = 1.0 / (height * width) as f64;
        let is_mean = mul.iter().all(|m| (m / mean - 1.0).abs() < 1e-5);
        if !is_mean || add.iter().any(|a| *a != 0.0) {
            continue;
        }
        let Some(node) = net.only_read_here(value) else { continue };
        let Some(conv) = net.conv_mut(node) else { continue };
        conv.pooled = true;
        net.replace(i + 1, pool + 1);
        net.replace(pool + 1, value);
        return true;
    }
    false
}
