//! Takes the convolutions that read the picture, and the preprocessing's mean and deviation. Leaves
//! convolutions that read the raw values 0 to 255; outside of the image they then see the mean.

use super::super::ImportError;
use super::super::ir::{Net, Op};

pub(super) fn fold(net: &mut Net, mean: [f32; 3], std: [f32; 3]) -> Result<(), ImportError> {
    for node in net.nodes.iter_mut().filter(|node| node.inputs.contains(&0)) {
        let Op::Conv(conv) = &mut node.op else { continue };
        if node.inputs.get(1) == Some(&0) {
            return Err(ImportError::Unfolded { node: node.name.clone(), op: "Add" });
        }
        let depth = conv.depth();
        for (n, row) in conv.weights.chunks_exact_mut(depth).enumerate() {
            for (i, w) in row.iter_mut().enumerate() {
                let channel = if conv.depthwise { n } else { i % 3 };
                *w /= f64::from(std[channel]);
                conv.bias[n] -= *w * f64::from(mean[channel]);
            }
        }
    }
    Ok(())
}
