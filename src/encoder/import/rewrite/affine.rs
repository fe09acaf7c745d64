//! Takes `Affine(x)`: a BatchNormalization in inference form, a bias, a LayerScale, gain and shift of
//! a LayerNormalization. Leaves them in the weights of the convolution or in the normalization before
//! it; else in the affine map before it; else in the convolutions that read it.

use super::super::ir::{Conv, Net, Op};

/// Into what is before it.
pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Affine { mul, add } = &net.nodes[i].op else { continue };
        let (mul, add) = (mul.clone(), add.clone());
        let value = net.nodes[i].inputs[0];
        let identity = mul.iter().all(|m| (m - 1.0).abs() < 1e-7) && add.iter().all(|a| *a == 0.0);
        if identity || into(net, value, &mul, &add) {
            net.replace(i + 1, value);
            return true;
        }
        // One map instead of two, whoever else reads the first.
        let Some(Op::Affine { mul: first_mul, add: first_add }) = net.op(value) else { continue };
        let op = Op::Affine {
            mul: mul.iter().zip(first_mul).map(|(b, a)| a * b).collect(),
            add: first_add.iter().zip(mul.iter().zip(&add)).map(|(a, (m, b))| a * m + b).collect(),
        };
        net.nodes[i].inputs[0] = net.nodes[value - 1].inputs[0];
        net.nodes[i].op = op;
        return true;
    }
    false
}

fn into(net: &mut Net, value: usize, mul: &[f64], add: &[f64]) -> bool {
    if !net.is_read_once(value) || value == 0 {
        return false;
    }
    match &mut net.nodes[value - 1].op {
        Op::Conv(conv) => after(conv, mul, add),
        Op::Norm { gain, shift, .. } => {
            for n in 0..mul.len() {
                gain[n] = (f64::from(gain[n]) * mul[n]) as f32;
                shift[n] = (f64::from(shift[n]) * mul[n] + add[n]) as f32;
            }
            true
        }
        _ => false,
    }
}

fn after(conv: &mut Conv, mul: &[f64], add: &[f64]) -> bool {
    if conv.residual || conv.pooled || conv.activation != crate::kernels::Activation::Linear {
        return false;
    }
    if !conv.is_linear() {
        // Bounds move along with a map that is the same for all channels.
        let same = |each: &[f64]| each.iter().all(|x| *x == each[0]);
        if !same(mul) || !same(add) || mul[0] <= 0.0 {
            return false;
        }
        let bound = |x: f32| (f64::from(x) * mul[0] + add[0]) as f32;
        (conv.lo, conv.hi) = (bound(conv.lo), bound(conv.hi));
    }
    let depth = conv.depth();
    for (n, row) in conv.weights.chunks_exact_mut(depth).enumerate() {
        row.iter_mut().for_each(|w| *w = (f64::from(*w) * mul[n]) as f32);
        conv.bias[n] = (f64::from(conv.bias[n]) * mul[n] + add[n]) as f32;
    }
    true
}

/// Into what reads it.
pub(super) fn fold_forward(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Affine { mul, add } = &net.nodes[i].op else { continue };
        let (mul, add) = (mul.clone(), add.clone());
        let readers: Vec<usize> = net.readers(i + 1).collect();
        let shifted = add.iter().any(|a| *a != 0.0);
        let takes = |reader: &usize| {
            let node = &net.nodes[*reader];
            let Op::Conv(conv) = &node.op else { return false };
            // A shift is not there where the image is padded.
            let padded = conv.kernel > 1 && conv.is_padded(net.shape(i + 1), node.shape);
            let residual = node.inputs.get(1) == Some(&(i + 1));
            !(residual || conv.norm.is_some() || shifted && padded)
        };
        if readers.is_empty() || net.output == i + 1 || !readers.iter().all(takes) {
            continue;
        }
        for reader in readers {
            if let Op::Conv(conv) = &mut net.nodes[reader].op {
                before(conv, &mul, &add);
            }
        }
        let value = net.nodes[i].inputs[0];
        net.replace(i + 1, value);
        return true;
    }
    false
}

fn before(conv: &mut Conv, mul: &[f64], add: &[f64]) {
    let depth = conv.depth();
    for (n, row) in conv.weights.chunks_exact_mut(depth).enumerate() {
        let mut bias = f64::from(conv.bias[n]);
        for (k, w) in row.iter_mut().enumerate() {
            let channel = if conv.depthwise.is_some() { n } else { k } % mul.len();
            bias += f64::from(*w) * add[channel];
            *w = (f64::from(*w) * mul[channel]) as f32;
        }
        conv.bias[n] = bias as f32;
    }
}
