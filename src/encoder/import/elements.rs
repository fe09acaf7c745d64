//! Which values are codes and which stay real.
//!
//! Images between convolutions become codes with fixed steps. What a layer norm, attention or a
//! linear layer after them reads is real: their inputs become codes row by row while the encoder
//! runs. Values that are added to each other are of one kind.

use super::ImportError;
use super::ir::{Conv, Net, Node, Op, Tokens, Value};
use crate::asset::encoder::Element;

/// What somebody asks of a value, or of a group of values.
#[derive(Clone, Copy, Default)]
struct Wishes {
    codes: bool,
    real: bool,
}

impl Wishes {
    fn add(&mut self, element: Element) {
        match element {
            Element::Codes => self.codes = true,
            Element::Real => self.real = true,
        }
    }
}

/// The element of every value. Where a value is wanted as both, a node is put in that makes it the
/// other one.
pub(super) fn choose(net: &mut Net) -> Result<Vec<Element>, ImportError> {
    loop {
        let groups = groups(net);
        let wishes = wishes(net, &groups);
        let both = |value: &Value| {
            let wishes = wishes[groups[*value]];
            wishes.codes && wishes.real
        };
        let only_real = (1..groups.len())
            .find(|value| both(value) && gives(&net.nodes[value - 1]) == Some(Element::Real));
        if let Some(value) = only_real {
            convert(net, value, Op::Codes);
            continue;
        }
        let torn = (0..groups.len()).find(|value| both(value) && wanted_real(net, *value));
        match torn {
            Some(value) => {
                let tokens = Tokens { prefix: Vec::new(), mean: false, add: Vec::new() };
                convert(net, value, Op::Tokens(tokens));
            }
            None => return decide(net, &groups, &wishes),
        }
    }
}

/// The number of each value's group: those that are added to each other have one.
fn groups(net: &Net) -> Vec<usize> {
    let mut group: Vec<usize> = (0..=net.nodes.len()).collect();
    for (i, node) in net.nodes.iter().enumerate() {
        if let Some(added) = added(node) {
            let (from, to) = (group[i + 1], group[added]);
            group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
        }
    }
    group
}

/// The value that a convolution adds.
pub(super) fn added(node: &Node) -> Option<Value> {
    matches!(&node.op, Op::Conv(conv) if conv.residual).then(|| node.inputs[1])
}

/// Whether a convolution multiplies positions as they lie.
fn is_pointwise(conv: &Conv) -> bool {
    conv.depthwise.is_none() && conv.kernel == 1 && conv.stride == 1
}

/// What a node wants of its inputs, and what it gives if it has no choice.
fn wants(node: &Node, input: usize) -> Option<Element> {
    match &node.op {
        Op::Conv(conv) if input == 0 && !is_pointwise(conv) => Some(Element::Codes),
        Op::Scale { .. } if input == 0 => Some(Element::Codes),
        Op::MaxPool(_) => Some(Element::Codes),
        // Only real rows are normalized.
        Op::Conv(conv) if input == 0 && conv.norm.is_some() => Some(Element::Real),
        Op::Conv(_) | Op::Tokens(_) | Op::Mean => None,
        _ => Some(Element::Real),
    }
}

fn gives(node: &Node) -> Option<Element> {
    match &node.op {
        Op::Conv(conv) if conv.pooled => Some(Element::Real),
        Op::Conv(conv) if conv.depthwise.is_some() => Some(Element::Codes),
        Op::Conv(_) => None,
        Op::Scale { .. } | Op::MaxPool(_) | Op::Codes => Some(Element::Codes),
        _ => Some(Element::Real),
    }
}

fn wishes(net: &Net, groups: &[usize]) -> Vec<Wishes> {
    let mut wishes = vec![Wishes::default(); groups.len()];
    wishes[groups[0]].codes = true;
    wishes[groups[net.output]].real = true;
    for (i, node) in net.nodes.iter().enumerate() {
        if let Some(element) = gives(node) {
            wishes[groups[i + 1]].add(element);
        }
        for (input, value) in node.inputs.iter().enumerate() {
            if let Some(element) = wants(node, input) {
                wishes[groups[*value]].add(element);
            }
        }
    }
    wishes
}

/// Whether somebody reads this very value as a real one.
fn wanted_real(net: &Net, value: Value) -> bool {
    value == net.output
        || net.nodes.iter().any(|node| {
            let inputs = node.inputs.iter().enumerate();
            inputs.into_iter().any(|(i, v)| *v == value && wants(node, i) == Some(Element::Real))
        })
}

/// Puts a node behind `value` that makes it real, or codes, for those who want it so.
fn convert(net: &mut Net, value: Value, op: Op) {
    let to = if matches!(op, Op::Codes) { Element::Codes } else { Element::Real };
    let shape = net.shape(value);
    let name = match value.checked_sub(1) {
        None => "picture".to_owned(),
        Some(node) => net.nodes[node].name.clone(),
    };
    let end = if to == Element::Real { "real" } else { "codes" };
    let node = Node { name: format!("{name}.{end}"), op, inputs: vec![value], shape };
    // The new node stands right behind the one that gives the value: values after it move up.
    net.nodes.insert(value, node);
    let converted = value + 1;
    for node in &mut net.nodes[converted..] {
        let wanted: Vec<bool> = (0..node.inputs.len())
            .map(|i| match wants(node, i) {
                Some(element) => element == to,
                // Who takes both takes codes, so that what is added to each other is of one kind.
                None => to == Element::Codes,
            })
            .collect();
        for (input, wanted) in node.inputs.iter_mut().zip(wanted) {
            if *input > value {
                *input += 1;
            } else if *input == value && wanted {
                *input = converted;
            }
        }
    }
    // The network's result is real.
    if net.output > value || net.output == value && to == Element::Real {
        net.output += 1;
    }
}

fn decide(net: &Net, groups: &[usize], wishes: &[Wishes]) -> Result<Vec<Element>, ImportError> {
    let mut decided: Vec<Option<Element>> = vec![None; groups.len()];
    for value in 0..groups.len() {
        let group = groups[value];
        let element = match (decided[group], wishes[group]) {
            (Some(element), _) => element,
            (None, Wishes { codes: true, real: false }) => Element::Codes,
            (None, Wishes { codes: false, real: true }) => Element::Real,
            (None, Wishes { codes: true, real: true }) => {
                let node = &net.nodes[value.saturating_sub(1)];
                return Err(ImportError::Unsupported {
                    node: node.name.clone(),
                    op: node.op.name().to_owned(),
                    why: "a convolution over positions reads what only exists as real values"
                        .into(),
                });
            }
            // Free: real where it becomes tokens, which are real, else as what it is made of.
            (None, Wishes { codes: false, real: false }) => {
                let input = net.nodes[value.saturating_sub(1)].inputs.first();
                let same = input.and_then(|input| decided[groups[*input]]);
                let becomes_tokens = net.nodes.iter().any(|node| {
                    let reads = node.inputs.iter().any(|value| groups[*value] == group);
                    reads && matches!(node.op, Op::Tokens(_))
                });
                if becomes_tokens { Element::Real } else { same.unwrap_or(Element::Codes) }
            }
        };
        decided[group] = Some(element);
    }
    Ok(groups.iter().map(|group| decided[*group].unwrap_or(Element::Real)).collect())
}
