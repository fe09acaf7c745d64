//! Takes every primitive that no pass could make part of a layer. Leaves loops over it in float.

use super::super::ImportError;
use super::super::ir::{Attention, Binary, Net, Node, Op};
use crate::asset::encoder::Function;
use crate::encoder::ops::{Axis, Nest};

pub(super) fn fold(net: &mut Net) -> Result<(), ImportError> {
    let mut i = 0;
    while i < net.nodes.len() {
        if let Op::Affine { mul, add } = &net.nodes[i].op {
            let (mul, add) = (mul.clone(), add.clone());
            i = affine(net, i, &mul, &add);
        } else if let Some(nest) = nest(net, i) {
            let node = &net.nodes[i];
            let volume = |value: &usize| net.shape(*value).iter().product();
            let inputs: Vec<usize> = node.inputs.iter().map(volume).collect();
            nest.check(&inputs, node.shape.iter().product()).map_err(|why| {
                let why = why.to_string();
                ImportError::Unsupported { node: node.name.clone(), op: node.op.name().into(), why }
            })?;
            net.nodes[i].op = Op::Strided(nest);
        }
        i += 1;
    }
    Ok(())
}

/// A product by constants and a sum with constants; gives the last of their nodes.
fn affine(net: &mut Net, mut i: usize, mul: &[f64], add: &[f64]) -> usize {
    let (shape, name) = (net.nodes[i].shape, net.nodes[i].name.clone());
    let [height, width, channels] = shape;
    let steps = [(Binary::Mul, mul, 1.0), (Binary::Add, add, 0.0)];
    let steps = steps.into_iter().filter(|(_, each, idle)| each.iter().any(|x| x != idle));
    let mut steps: Vec<(Binary, &[f64])> = steps.map(|(op, each, _)| (op, each)).collect();
    if steps.is_empty() {
        steps.push((Binary::Mul, mul));
    }
    let last = steps.len() - 1;
    for (at, (binary, each)) in steps.into_iter().enumerate() {
        let op = Op::Constant(each.iter().map(|x| *x as f32).collect());
        let constant = Node { name: name.clone(), op, inputs: Vec::new(), shape: [1, 1, channels] };
        let constant = net.insert(i, constant);
        i += 1;
        let kept = vec![axis(height * width, channels, 0), axis(channels, 1, 1)];
        let op = Op::Strided(Nest::new(Function::Binary(binary), kept));
        let inputs = vec![net.nodes[i].inputs[0], constant];
        if at == last {
            (net.nodes[i].op, net.nodes[i].inputs) = (op, inputs);
        } else {
            let node = Node { name: name.clone(), op, inputs, shape };
            let product = net.insert(i, node);
            i += 1;
            net.nodes[i].inputs[0] = product;
        }
    }
    i
}

fn axis(len: usize, a: usize, b: usize) -> Axis {
    Axis { len, steps: [a, b] }
}

/// The loops of a primitive; nothing of what is a layer.
fn nest(net: &Net, i: usize) -> Option<Nest> {
    let node = &net.nodes[i];
    let shape = |side: usize| {
        let [height, width, channels] = net.shape(node.inputs.get(side).copied().unwrap_or(0));
        (height * width, channels)
    };
    let (rows, channels) = (node.shape[0] * node.shape[1], node.shape[2]);
    let (from_rows, from_channels) = shape(0);
    let same = || vec![axis(rows, channels, 0), axis(channels, 1, 0)];
    Some(match &node.op {
        Op::Clip { lo, hi } => Nest {
            lo: (*lo as f32).max(f32::MIN),
            hi: (*hi as f32).min(f32::MAX),
            ..Nest::new(Function::Copy, same())
        },
        Op::Activate(activation) => Nest::new(Function::Activate(*activation), same()),
        Op::Unary(unary) => Nest::new(Function::Unary(*unary), same()),
        Op::Binary(binary) => {
            let steps = |side| {
                let (rows, channels) = shape(side);
                let of = |len: usize, step: usize| if len == 1 { 0 } else { step };
                (of(rows, channels), of(channels, 1))
            };
            let ((row_a, a), (row_b, b)) = (steps(0), steps(1));
            let kept = vec![axis(rows, row_a, row_b), axis(channels, a, b)];
            Nest::new(Function::Binary(*binary), kept)
        }
        Op::SumChannels => Nest {
            reduced: vec![axis(from_channels, 1, 0)],
            ..Nest::new(Function::Copy, vec![axis(rows, from_channels, 0)])
        },
        Op::SumPositions => Nest {
            reduced: vec![axis(from_rows, channels, 0)],
            ..Nest::new(Function::Copy, vec![axis(channels, 1, 0)])
        },
        Op::Channels { start, count } => Nest {
            start: [*start, 0],
            ..Nest::new(Function::Copy, vec![axis(rows, from_channels, 0), axis(*count, 1, 0)])
        },
        Op::Scores(attention) => scores(attention, [shape(0), shape(1)]),
        Op::Mix { heads, v_at, width } => mix(*heads, *v_at, *width, rows, shape(1)),
        _ => return None,
    })
}

/// `[heads, queries, keys]`: products of queries and keys.
fn scores(attention: &Attention, [(queries, wide), (keys, other)]: [(usize, usize); 2]) -> Nest {
    let Attention { heads, scale, q_at, k_at, width, .. } = *attention;
    let depth = width / heads;
    let kept = vec![axis(heads, depth, depth), axis(queries, wide, 0), axis(keys, 0, other)];
    Nest {
        reduced: vec![axis(depth, 1, 1)],
        start: [q_at, k_at],
        factor: scale,
        ..Nest::new(Function::Binary(Binary::Mul), kept)
    }
}

/// `[queries, heads * depth]`: values weighted by `[heads, queries, keys]`.
fn mix(heads: usize, v_at: usize, width: usize, queries: usize, (keys, wide): Shape) -> Nest {
    let depth = width / heads;
    let kept = vec![axis(queries, keys, 0), axis(heads, queries * keys, depth), axis(depth, 0, 1)];
    Nest {
        reduced: vec![axis(keys, 1, wide)],
        start: [0, v_at],
        ..Nest::new(Function::Binary(Binary::Mul), kept)
    }
}

/// Positions and channels.
type Shape = (usize, usize);

#[cfg(test)]
mod tests {
    use super::super::super::float::FloatNet;
    use super::super::super::ir::{Conv, Unary, Value};
    use super::*;

    /// A network of a linear layer that keeps a picture of one row as it is, and what follows.
    fn run(ops: Vec<(Op, Vec<Value>, [usize; 3])>, picture: &[u8]) -> Vec<f32> {
        let size = picture.len() / 3;
        let keep = (0..9).map(|i| f32::from(u8::from(i % 4 == 0))).collect();
        let stem = (Op::Conv(Conv::new(keep, vec![0.0; 3])), vec![0], [1, size, 3]);
        let all = std::iter::once(stem).chain(ops);
        let node = |(op, inputs, shape)| Node { name: String::new(), op, inputs, shape };
        let nodes: Vec<Node> = all.map(node).collect();
        let mut net = Net { size, output: nodes.len(), nodes };
        fold(&mut net).unwrap();
        assert!(net.nodes.iter().all(|node| node.op.is_layer()));
        FloatNet::new(&net, [0.0; 3]).run(picture, |_| ())
    }

    const PICTURE: [u8; 6] = [1, 2, 3, 4, 5, 6];
    const ALL: [usize; 3] = [1, 2, 3];

    #[test]
    fn maps_sums_and_parts() {
        let affine = Op::Affine { mul: vec![2.0, 0.5, -1.0], add: vec![0.0, 1.0, 10.0] };
        assert_eq!(run(vec![(affine, vec![1], ALL)], &PICTURE), [2.0, 2.0, 7.0, 8.0, 3.5, 4.0]);
        let clip = (Op::Clip { lo: 2.0, hi: f64::INFINITY }, vec![1], ALL);
        let cube = (Op::Unary(Unary::Cube), vec![2], ALL);
        assert_eq!(run(vec![clip, cube], &PICTURE), [8.0, 8.0, 27.0, 64.0, 125.0, 216.0]);
        let sum = (Op::SumChannels, vec![1], [1, 2, 1]);
        let share = (Op::Binary(Binary::Div), vec![1, 2], ALL);
        let shares = run(vec![sum, share], &PICTURE);
        assert_eq!(shares, [1.0 / 6.0, 2.0 / 6.0, 0.5, 4.0 / 15.0, 5.0 / 15.0, 0.4]);
        let part = (Op::Channels { start: 1, count: 2 }, vec![1], [1, 2, 2]);
        assert_eq!(run(vec![part], &PICTURE), [2.0, 3.0, 5.0, 6.0]);
        let column = (Op::SumPositions, vec![1], [1, 1, 3]);
        assert_eq!(run(vec![column], &PICTURE), [5.0, 7.0, 9.0]);
    }

    #[test]
    fn products_of_two_values_are_those_of_an_attention() {
        let scores = |scale| {
            let attention = Attention { heads: 3, scale, q_at: 0, k_at: 0, v_at: 0, width: 3 };
            (Op::Scores(attention), vec![1, 1], [3, 2, 2])
        };
        let heads = [[1.0f32, 4.0], [2.0, 5.0], [3.0, 6.0]];
        let wanted: Vec<f32> = heads
            .iter()
            .flat_map(|head| head.iter().flat_map(move |q| head.iter().map(move |k| 0.5 * q * k)))
            .collect();
        assert_eq!(run(vec![scores(0.5)], &PICTURE), wanted);
        let softmax = (Op::Softmax, vec![2], [3, 2, 2]);
        let mix = (Op::Mix { heads: 3, v_at: 0, width: 3 }, vec![3, 1], ALL);
        // All keys alike: the mean of the values.
        assert_eq!(run(vec![scores(0.0), softmax, mix], &PICTURE), [2.5, 3.5, 4.5, 2.5, 3.5, 4.5]);
    }
}
