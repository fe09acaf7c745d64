//! Takes class token, registers and position embedding as they follow each other, and the mean of all
//! positions put in front of them. Leaves one `Tokens`.

use super::super::ir::{Net, Op, Tokens};

pub(super) fn fold(net: &mut Net) -> bool {
    for i in 0..net.nodes.len() {
        let node = &net.nodes[i];
        match &node.op {
            Op::Join { runs: 1 } => {
                let &[front, x] = node.inputs.as_slice() else { continue };
                let is_mean =
                    matches!(net.op(front), Some(Op::Mean)) && net.nodes[front - 1].inputs == [x];
                if is_mean {
                    let tokens = Tokens { prefix: Vec::new(), mean: true, add: Vec::new() };
                    net.nodes[i].op = Op::Tokens(tokens);
                    net.nodes[i].inputs = vec![x];
                    return true;
                }
            }
            Op::Tokens(outer) => {
                let value = node.inputs[0];
                let Some(Op::Tokens(inner)) = net.op(value) else { continue };
                let Some(tokens) = both(inner, outer).filter(|_| net.is_read_once(value)) else {
                    continue;
                };
                net.nodes[i].op = Op::Tokens(tokens);
                net.nodes[i].inputs[0] = net.nodes[value - 1].inputs[0];
                net.replace(value, value);
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Two steps in one.
fn both(inner: &Tokens, outer: &Tokens) -> Option<Tokens> {
    if outer.mean || (inner.mean && !outer.prefix.is_empty()) {
        return None;
    }
    // What was added first lies behind the new rows.
    let mut add = inner.add.clone();
    if !add.is_empty() {
        add.splice(0..0, outer.prefix.iter().map(|_| 0.0));
    }
    if add.is_empty() {
        add.clone_from(&outer.add);
    } else {
        add.iter_mut().zip(&outer.add).for_each(|(a, b)| *a += b);
    }
    let prefix = outer.prefix.iter().chain(&inner.prefix).copied().collect();
    Some(Tokens { prefix, mean: inner.mean, add })
}
