//! Takes the convolutions that read the picture, and the preprocessing's mean and deviation. Leaves
//! convolutions that read the raw values 0 to 255; outside of the image they then see the mean.

use super::super::ImportError;
use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net, mean: [f32; 3], std: [f32; 3]) -> Result<(), ImportError> {
    for node in net.nodes.iter_mut().filter(|node| node.inputs.contains(&0)) {
        let op = node.op.name();
        let Op::Conv(conv) = &mut node.op else {
            return Err(ImportError::Picture { node: node.name.clone(), op });
        };
        if node.inputs.get(1) == Some(&0) || conv.norm.is_some() {
            return Err(ImportError::Picture { node: node.name.clone(), op });
        }
        let depth = conv.depth();
        for (n, row) in conv.weights.chunks_exact_mut(depth).enumerate() {
            let mut bias = f64::from(conv.bias[n]);
            for (i, w) in row.iter_mut().enumerate() {
                let channel = if conv.depthwise.is_some() { n % 3 } else { i % 3 };
                *w = (f64::from(*w) / f64::from(std[channel])) as f32;
                bias -= f64::from(*w) * f64::from(mean[channel]);
            }
            conv.bias[n] = bias as f32;
        }
    }
    Ok(())
}
