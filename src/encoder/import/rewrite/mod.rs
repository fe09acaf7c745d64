//! The passes that fold everything into convolutions. Each file says which pattern it takes and what
//! it leaves; each pass makes one change and says whether it found one.

mod affine;
mod clip;
mod input;
mod pool;
mod residual;

use super::ImportError;
use super::ir::{Net, Op};

/// A pass: whether it changed something.
type Pass = fn(&mut Net) -> bool;

const PASSES: [Pass; 4] = [affine::fold, residual::fold, clip::fold, pool::fold];

/// Runs the passes until none finds its pattern, then takes in the preprocessing.
pub(super) fn run(net: &mut Net, mean: [f32; 3], std: [f32; 3]) -> Result<(), ImportError> {
    while PASSES.iter().any(|pass| pass(net)) {}
    for node in &net.nodes {
        if !matches!(node.op, Op::Conv(_)) {
            return Err(ImportError::Unfolded { node: node.name.clone(), op: node.op.name() });
        }
    }
    check_end(net)?;
    input::fold(net, mean, std)
}

/// The last node, and only that, is a pointwise convolution with its mean.
fn check_end(net: &Net) -> Result<(), ImportError> {
    for (i, node) in net.nodes.iter().enumerate() {
        let Op::Conv(conv) = &node.op else { continue };
        let last = net.output == i + 1 && i + 1 == net.nodes.len();
        let pointwise = conv.kernel == 1 && conv.stride == 1 && conv.depthwise.is_none();
        if conv.pooled != last || (last && (!pointwise || conv.residual)) {
            return Err(ImportError::End { node: node.name.clone() });
        }
    }
    Ok(())
}
