//! Questions to a network, and how its nodes are changed.

use super::{Conv, Net, Node, Op, Value};

impl Net {
    /// Height, width, channels of a value.
    pub(in super::super) fn shape(&self, value: Value) -> [usize; 3] {
        match value.checked_sub(1) {
            None => [self.size, self.size, 3],
            Some(node) => self.nodes[node].shape,
        }
    }

    /// What gives `value`, unless that is the picture.
    pub(in super::super) fn op(&self, value: Value) -> Option<&Op> {
        Some(&self.nodes.get(value.checked_sub(1)?)?.op)
    }

    /// The nodes that read `value`, once for each input that does.
    pub(in super::super) fn readers(&self, value: Value) -> impl Iterator<Item = usize> + '_ {
        let inputs = move |(i, node): (usize, &Node)| {
            let count = node.inputs.iter().filter(|v| **v == value).count();
            std::iter::repeat_n(i, count)
        };
        self.nodes.iter().enumerate().flat_map(inputs)
    }

    /// Whether `value` has one reader and is not the result.
    pub(in super::super) fn is_read_once(&self, value: Value) -> bool {
        self.output != value && self.readers(value).count() == 1
    }

    /// The convolution that gives `value`, if `value` has no other reader than the caller.
    pub(in super::super) fn conv_read_once(&mut self, value: Value) -> Option<&mut Conv> {
        if !self.is_read_once(value) {
            return None;
        }
        match &mut self.nodes[value.checked_sub(1)?].op {
            Op::Conv(conv) => Some(conv),
            _ => None,
        }
    }

    /// Puts a node before the one at `at`, and gives its value.
    pub(in super::super) fn insert(&mut self, at: usize, node: Node) -> Value {
        let renumber = |value: &mut Value| *value += usize::from(*value > at);
        self.nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(renumber);
        renumber(&mut self.output);
        self.nodes.insert(at, node);
        at + 1
    }

    /// Removes what the result does not need.
    pub(in super::super) fn remove_unread(&mut self) {
        let mut readers = vec![0; self.nodes.len() + 1];
        readers[self.output] += 1;
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|value| readers[*value] += 1);
        for i in (0..self.nodes.len()).rev() {
            if readers[i + 1] == 0 {
                self.nodes[i].inputs.iter().for_each(|value| readers[*value] -= 1);
                self.replace(i + 1, i + 1);
            }
        }
    }

    /// Takes a node's operator out, to be put elsewhere; the node itself is to be removed.
    pub(in super::super) fn take(&mut self, value: Value) -> Node {
        let node = &mut self.nodes[value - 1];
        let op = std::mem::replace(&mut node.op, Op::Mean);
        Node { name: node.name.clone(), op, inputs: node.inputs.clone(), shape: node.shape }
    }

    /// Lets everybody who read `old` read `new`, and removes the node that gave `old`.
    pub(in super::super) fn replace(&mut self, old: Value, new: Value) {
        let renumber = |value: &mut Value| {
            if *value == old {
                *value = new;
            }
            if *value > old {
                *value -= 1;
            }
        };
        self.nodes.remove(old - 1);
        self.nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(renumber);
        renumber(&mut self.output);
    }
}
