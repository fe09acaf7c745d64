//! The passes that turn primitives into layers. Each file says which pattern it takes and what it
//! leaves; each pass makes one change and says whether it found one.

mod activation;
mod affine;
mod attention;
mod chain;
mod channels;
mod clip;
mod gate;
mod gating;
mod input;
mod norm;
mod pool;
mod residual;
mod rest;
mod rows;
mod tokens;
mod unit;

use super::ImportError;
use super::ir::Net;

/// A pass: whether it changed something.
type Pass = fn(&mut Net) -> bool;

/// A pass is tried where all before it find nothing more.
const PASSES: [Pass; 19] = [
    affine::fold,
    norm::find,
    unit::fold,
    gate::fold,
    activation::fold,
    clip::fold,
    pool::fold,
    tokens::fold,
    attention::fold,
    channels::fold,
    residual::fold,
    gating::fold,
    affine::fold_forward,
    norm::fold,
    rows::fold,
    attention::merge,
    chain::fold,
    residual::fold_depthwise,
    residual::fold_other,
];

/// Runs the passes until none finds its pattern, makes loops of the rest, then takes in the preprocessing.
pub(super) fn run(net: &mut Net, mean: [f32; 3], std: [f32; 3]) -> Result<(), ImportError> {
    net.remove_unread();
    while PASSES.iter().any(|pass| pass(net)) {
        net.remove_unread();
    }
    pool::fold_last(net);
    rest::fold(net)?;
    debug_assert!(net.nodes.iter().all(|node| node.op.is_layer()));
    input::fold(net, mean, std)
}
