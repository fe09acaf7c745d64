//! Takes a linear layer that reads nothing but a convolution without activation. Leaves one
//! convolution with the product of both weights, where that is less work.

use super::super::ir::{Conv, Net, Op};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Conv(second) = &net.nodes[i].op else { continue };
        let value = net.nodes[i].inputs[0];
        let Some(Op::Conv(first)) = net.op(value) else { continue };
        let linear = |conv: &Conv| conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none();
        let plain = first.depthwise.is_none() && first.is_linear() && !first.residual;
        let alone = second.norm.is_none() && second.factors.is_empty();
        let (depth, middle, outputs) = (first.depth(), second.depth(), second.bias.len());
        let cheaper = depth * outputs <= depth * middle + middle * outputs;
        if !(linear(second) && plain && alone && cheaper && net.is_read_once(value)) {
            continue;
        }
        let mut weights = Vec::with_capacity(outputs * depth);
        let mut bias = Vec::with_capacity(outputs);
        for (n, row) in second.weights.chunks_exact(middle).enumerate() {
            let mut sums = vec![0.0f64; depth];
            let mut shift = f64::from(second.bias[n]);
            for (k, w) in row.iter().enumerate() {
                let from = &first.weights[k * depth..][..depth];
                sums.iter_mut().zip(from).for_each(|(s, f)| *s += f64::from(*w) * f64::from(*f));
                shift += f64::from(*w) * f64::from(first.bias[k]);
            }
            weights.extend(sums.iter().map(|s| *s as f32));
            bias.push(shift as f32);
        }
        let joined = Conv {
            weights,
            bias,
            factors: first.factors.clone(),
            activation: second.activation,
            residual: second.residual,
            lo: second.lo,
            hi: second.hi,
            pooled: second.pooled,
            ..*first
        };
        net.nodes[i].inputs[0] = net.nodes[value - 1].inputs[0];
        net.nodes[i].op = Op::Conv(joined);
        net.replace(value, value);
        return true;
    }
    false
}
