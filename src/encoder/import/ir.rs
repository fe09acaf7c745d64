//! The importer's own small graph. It starts as what the ONNX file says, operator by operator, and
//! the passes in [`rewrite`](super::rewrite) turn it into convolutions that carry all the rest.

/// Number of a value: 0 is the picture, `i + 1` what node `i` gives.
pub(super) type Value = usize;

/// A network with one input (a picture, three channels) and one output (the last node's).
pub(super) struct Net {
    /// Side of the square picture.
    pub(super) size: usize,
    /// In an order in which they can be computed.
    pub(super) nodes: Vec<Node>,
    /// The value that is the network's result.
    pub(super) output: Value,
}

pub(super) struct Node {
    /// The ONNX node's name.
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) inputs: Vec<Value>,
    /// Height, width, channels of the result.
    pub(super) shape: [usize; 3],
}

pub(super) enum Op {
    Conv(Conv),
    /// `x * mul + add`, one of each for every channel.
    Affine {
        mul: Vec<f64>,
        add: Vec<f64>,
    },
    /// `min(max(x, lo), hi)`
    Clip {
        lo: f64,
        hi: f64,
    },
    /// Sum of two values of one shape.
    Add,
    /// Sum over all positions.
    PoolSum,
}

/// A convolution, and what the passes have folded into it, in the order in which it is computed.
pub(super) struct Conv {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad_top: usize,
    pub(super) pad_left: usize,
    /// One input channel for each output channel.
    pub(super) depthwise: bool,
    /// `[output][kernel row][kernel column][input]`; a depthwise one has no last axis.
    pub(super) weights: Vec<f64>,
    pub(super) bias: Vec<f64>,
    /// The second input is added.
    pub(super) residual: bool,
    pub(super) lo: f64,
    pub(super) hi: f64,
    /// The mean over all positions is taken last.
    pub(super) pooled: bool,
}

impl Conv {
    /// Weights of one output channel.
    pub(super) fn depth(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    /// Whether nothing but the sum was folded in so far.
    pub(super) fn is_linear(&self) -> bool {
        !self.pooled && self.lo == f64::NEG_INFINITY && self.hi == f64::INFINITY
    }
}

impl Op {
    /// The name that people know.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::Affine { .. } => "Mul and Add by constants",
            Self::Clip { .. } => "Clip",
            Self::Add => "Add",
            Self::PoolSum => "ReduceSum or average pool",
        }
    }
}

impl Net {
    /// Height, width, channels of a value.
    pub(super) fn shape(&self, value: Value) -> [usize; 3] {
        match value.checked_sub(1) {
            None => [self.size, self.size, 3],
            Some(node) => self.nodes[node].shape,
        }
    }

    /// The convolution that gives `value`, if `value` has no other reader than the caller.
    pub(super) fn only_read_here(&self, value: Value) -> Option<usize> {
        let node = value.checked_sub(1)?;
        let readers = self.nodes.iter().flat_map(|n| &n.inputs).filter(|v| **v == value).count();
        let conv = matches!(self.nodes[node].op, Op::Conv(_));
        (conv && readers == 1 && self.output != value).then_some(node)
    }

    /// The convolution at `node`.
    pub(super) fn conv_mut(&mut self, node: usize) -> Option<&mut Conv> {
        match &mut self.nodes[node].op {
            Op::Conv(conv) => Some(conv),
            _ => None,
        }
    }

    /// Lets everybody who read `old` read `new`, and removes the node that gave `old`.
    pub(super) fn replace(&mut self, old: Value, new: Value) {
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
