//! Takes `Affine(Conv(x))`: a BatchNormalization in inference form, or a bias added after its
//! convolution. Leaves a convolution with other weights and bias.

use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Affine { mul, add } = &net.nodes[i].op else { continue };
        let (mul, add) = (mul.clone(), add.clone());
        let value = net.nodes[i].inputs[0];
        let Some(node) = net.only_read_here(value) else { continue };
        let Some(conv) = net.conv_mut(node) else { continue };
        if !conv.is_linear() || conv.residual {
            continue;
        }
        let depth = conv.depth();
        for (n, row) in conv.weights.chunks_exact_mut(depth).enumerate() {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * mul[n]) as f32);
            conv.bias[n] = (f64::from(conv.bias[n]) * mul[n] + add[n]) as f32;
        }
        net.replace(i + 1, value);
        return true;
    }
    false
}
