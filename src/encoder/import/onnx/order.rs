//! The order of channels after a depthwise convolution with several outputs for each input: we keep
//! the first ones of all channels together, then the second ones. What meets them is brought into
//! their order.

use std::rc::Rc;

use super::super::ir::{Op, Value};
use super::lower::Lowering;

impl Lowering<'_> {
    /// Brings the channels of a value that was computed here, by operators that treat every channel
    /// alike from one dense convolution, into another order. Says whether that could be done.
    pub(super) fn reorder(&mut self, value: Value, order: &Rc<[usize]>) -> bool {
        let mut chain = vec![value];
        loop {
            let Some(node) = chain.last().and_then(|value| value.checked_sub(1)) else {
                return false;
            };
            match &self.net.nodes[node].op {
                Op::Conv(conv) if conv.depthwise.is_none() => break,
                Op::Affine { .. } | Op::Clip { .. } | Op::Activate(_) | Op::Unary(_) => {
                    chain.push(self.net.nodes[node].inputs[0]);
                }
                _ => return false,
            }
        }
        if self.views.values().any(|v| chain.contains(&v.value) && v.order.is_some()) {
            return false;
        }
        // `to[order[i]] = from[i]`
        for value in &chain {
            match &mut self.net.nodes[value - 1].op {
                Op::Conv(conv) => {
                    let depth = conv.depth();
                    let (weights, bias) = (conv.weights.clone(), conv.bias.clone());
                    for (i, to) in order.iter().enumerate() {
                        conv.weights[to * depth..][..depth]
                            .copy_from_slice(&weights[i * depth..][..depth]);
                        conv.bias[*to] = bias[i];
                    }
                }
                Op::Affine { mul, add } => {
                    let (old_mul, old_add) = (mul.clone(), add.clone());
                    for (i, to) in order.iter().enumerate() {
                        (mul[*to], add[*to]) = (old_mul[i], old_add[i]);
                    }
                }
                _ => {}
            }
        }
        for view in self.views.values_mut().filter(|view| chain.contains(&view.value)) {
            view.order = Some(order.clone());
        }
        true
    }
}
