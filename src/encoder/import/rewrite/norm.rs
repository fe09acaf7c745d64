//! Takes a layer normalization as tract and older exporters write it,
//! `(x - mean) / sqrt(mean((x - mean)²) + epsilon)`. Leaves `Norm`. Then takes a `Norm` that only
//! linear layers read, and leaves it in them: gain as factors of the inputs, shift in the bias. Where
//! something else reads it too, it is computed once for all.

use super::super::ir::{Binary, Net, Op, Unary, Value};

pub(super) fn find(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Some((x, epsilon)) = normalized(net, i) else { continue };
        let channels = net.nodes[i].shape[2];
        let (gain, shift) = (vec![1.0; channels], vec![0.0; channels]);
        net.nodes[i].op = Op::Norm { epsilon: epsilon as f32, gain, shift };
        net.nodes[i].inputs = vec![x];
        return true;
    }
    false
}

/// What node `i` normalizes, and epsilon.
fn normalized(net: &Net, i: usize) -> Option<(Value, f64)> {
    let &[a, b] = net.nodes[i].inputs.as_slice() else { return None };
    match net.nodes[i].op {
        Op::Binary(Binary::Mul) => {
            let of = |d, r| matches(net, d, unary(net, r, Unary::Rsqrt)?);
            let recip = |d, r| {
                let root = unary(net, r, Unary::Recip)?;
                matches(net, d, unary(net, root, Unary::Sqrt)?)
            };
            of(a, b).or_else(|| of(b, a)).or_else(|| recip(a, b)).or_else(|| recip(b, a))
        }
        Op::Binary(Binary::Div) => matches(net, a, unary(net, b, Unary::Sqrt)?),
        _ => None,
    }
}

/// `difference` is `x - mean(x)` and `variance` the mean of its squares and epsilon.
fn matches(net: &Net, difference: Value, variance: Value) -> Option<(Value, f64)> {
    let node = &net.nodes[difference.checked_sub(1)?];
    let (Op::Binary(Binary::Sub), &[x, mean]) = (&node.op, node.inputs.as_slice()) else {
        return None;
    };
    let (summed, zero) = mean_of(net, mean, node.shape[2])?;
    let (squares, epsilon) = mean_of(net, variance, node.shape[2])?;
    let squared = unary(net, squares, Unary::Square)?;
    (summed == x && zero == 0.0 && squared == difference).then_some((x, epsilon))
}

/// The value whose mean over the channels this is, and what is added.
fn mean_of(net: &Net, value: Value, channels: usize) -> Option<(Value, f64)> {
    let node = &net.nodes[value.checked_sub(1)?];
    let Op::Affine { mul, add } = &node.op else { return None };
    let sum = &net.nodes[node.inputs[0].checked_sub(1)?];
    let is_mean =
        matches!(sum.op, Op::SumChannels) && (mul[0] * channels as f64 - 1.0).abs() < 1e-4;
    is_mean.then_some((sum.inputs[0], add[0]))
}

fn unary(net: &Net, value: Value, wanted: Unary) -> Option<Value> {
    let node = &net.nodes[value.checked_sub(1)?];
    matches!(node.op, Op::Unary(found) if found == wanted).then(|| node.inputs[0])
}

/// Puts normalizations into the linear layers that read them.
pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let Op::Norm { epsilon, gain, shift } = &net.nodes[i].op else { continue };
        let (epsilon, gain, shift) = (*epsilon, gain.clone(), shift.clone());
        let readers: Vec<usize> = net.readers(i + 1).collect();
        let takes = |reader: &usize| {
            let node = &net.nodes[*reader];
            let Op::Conv(conv) = &node.op else { return false };
            let linear = conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none();
            let fresh = conv.norm.is_none() && conv.factors.is_empty();
            linear && fresh && node.inputs.get(1) != Some(&(i + 1))
        };
        if readers.is_empty() || net.output == i + 1 || !readers.iter().all(takes) {
            continue;
        }
        for reader in readers {
            let Op::Conv(conv) = &mut net.nodes[reader].op else { continue };
            for (row, bias) in conv.weights.chunks_exact(gain.len()).zip(&mut conv.bias) {
                let both = row.iter().zip(&shift);
                let sum: f64 = both.map(|(w, s)| f64::from(*w) * f64::from(*s)).sum();
                *bias = (f64::from(*bias) + sum) as f32;
            }
            conv.norm = Some(epsilon);
            conv.factors.clone_from(&gain);
        }
        let value = net.nodes[i].inputs[0];
        net.replace(i + 1, value);
        return true;
    }
    false
}
