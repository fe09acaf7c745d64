//! The importer's own small graph. It starts as what the ONNX file says, operator by operator, and
//! the passes in [`rewrite`](super::rewrite) turn it into layers that carry all the rest.

mod net;

pub(super) use crate::asset::encoder::{Binary, Unary};
use crate::encoder::ops::Nest;
use crate::kernels::Activation;

/// Number of a value: 0 is the picture, `i + 1` what node `i` gives.
pub(super) type Value = usize;

/// A network with one input (a picture, three channels) and one output.
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
    /// Height, width, channels of the result. Tokens are positions too: `[1, count, channels]`, or
    /// still height and width where they are an image's positions and nothing else.
    pub(super) shape: [usize; 3],
}

/// Operators. Those up to [`Softmax`](Op::Softmax) are layers, which a finished network may hold; the
/// others are primitives, which the passes fold into layers or, in the end, make strided ones.
pub(super) enum Op {
    /// Dense convolution, linear layer (a kernel of one) or depthwise convolution.
    Conv(Conv),
    /// Layer normalization over the channels, on its own: `gain * (x - mean) / deviation + shift`.
    Norm {
        epsilon: f32,
        gain: Vec<f32>,
        shift: Vec<f32>,
    },
    /// Multi-head attention. Inputs: queries, keys, values; often one value, a fused linear layer's.
    Attention(Attention),
    /// Rows put in front of a value's positions, and something added to all.
    Tokens(Tokens),
    /// Positions `start..start + count` of a value.
    Rows {
        start: usize,
        count: usize,
    },
    /// Numbers that do not depend on the picture (the query of an attention pooling). No inputs.
    Constant(Vec<f32>),
    /// Mean over all positions.
    Mean,
    /// Inputs: a value, and a gate with one position. Their product channel by channel, then
    /// activation and bounds.
    Scale {
        activation: Activation,
        lo: f32,
        hi: f32,
    },
    /// The greatest value of each window.
    MaxPool(Pool),
    /// What was real as codes.
    Codes,
    /// What has no int8 form, in float.
    Strided(Nest),
    /// Values put together: equally many runs of each, by turns.
    Join {
        runs: usize,
    },
    /// Softmax over the channels.
    Softmax,

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
    /// An activation on its own.
    Activate(Activation),
    Unary(Unary),
    /// Of two values; one may have one position or one channel, which then counts for all.
    Binary(Binary),
    /// Sum over the channels of each position.
    SumChannels,
    /// Sum over all positions.
    SumPositions,
    /// Channels `start..start + count` of a value.
    Channels {
        start: usize,
        count: usize,
    },
    /// The first half of an attention, of queries and keys: `[heads, queries, keys]`.
    Scores(Attention),
    /// The second half of an attention: values weighted by a softmax.
    Mix {
        heads: usize,
        v_at: usize,
        width: usize,
    },
}

/// A convolution, and what the passes have folded into it, in the order in which it is computed.
pub(super) struct Conv {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad_top: usize,
    pub(super) pad_left: usize,
    /// `Some(m)`: depthwise, with `m` output channels for each input channel; output
    /// `j * channels + c` is the `j`-th of input channel `c`.
    pub(super) depthwise: Option<usize>,
    /// `[output][kernel row][kernel column][input]`; a depthwise one has no last axis.
    pub(super) weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Epsilon of a layer normalization of the input, without gain and shift: these are in
    /// `factors` and `bias`. Only with a kernel of one.
    pub(super) norm: Option<f32>,
    /// What each input channel is multiplied by first (after the normalization); empty for ones.
    pub(super) factors: Vec<f32>,
    /// Applied to the sum with its bias.
    pub(super) activation: Activation,
    /// The second input is added next.
    pub(super) residual: bool,
    /// Bounds of the result.
    pub(super) lo: f32,
    pub(super) hi: f32,
    /// The mean over all positions is taken last.
    pub(super) pooled: bool,
}

/// Where the windows of a pool lie.
#[derive(Clone, Copy)]
pub(super) struct Pool {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad_top: usize,
    pub(super) pad_left: usize,
}

/// Softmax of `scale * q kᵀ`, times `v`, head by head.
pub(super) struct Attention {
    pub(super) heads: usize,
    /// Factor of the products of queries and keys.
    pub(super) scale: f32,
    /// First channel of the queries, keys and values, each in its input.
    pub(super) q_at: usize,
    pub(super) k_at: usize,
    pub(super) v_at: usize,
    /// Channels of the queries, keys, values and of the result: of all heads together.
    pub(super) width: usize,
}

/// What happens to an image's positions when they become tokens.
pub(super) struct Tokens {
    /// Constant rows put in front, `[rows][channels]`: class token, registers.
    pub(super) prefix: Vec<f32>,
    /// The row in front is the mean of the positions; `prefix` is empty then.
    pub(super) mean: bool,
    /// Added to all rows, `[rows][channels]`: the position embedding. Empty for nothing.
    pub(super) add: Vec<f32>,
}

impl Conv {
    /// A convolution with nothing folded in.
    pub(super) fn new(weights: Vec<f32>, bias: Vec<f32>) -> Self {
        Self {
            kernel: 1,
            stride: 1,
            pad_top: 0,
            pad_left: 0,
            depthwise: None,
            weights,
            bias,
            norm: None,
            factors: Vec::new(),
            activation: Activation::Linear,
            residual: false,
            lo: f32::NEG_INFINITY,
            hi: f32::INFINITY,
            pooled: false,
        }
    }

    /// Weights of one output channel.
    pub(super) fn depth(&self) -> usize {
        self.weights.len() / self.bias.len().max(1)
    }

    /// Whether windows reach beyond the image.
    pub(super) fn is_padded(&self, input: [usize; 3], output: [usize; 3]) -> bool {
        let beyond = |out: usize, pad: usize, len: usize| {
            pad > 0 || (out - 1) * self.stride + self.kernel > len
        };
        beyond(output[0], self.pad_top, input[0]) || beyond(output[1], self.pad_left, input[1])
    }

    /// Whether nothing follows the sum so far, except perhaps a residual.
    pub(super) fn is_linear(&self) -> bool {
        let bounded = self.lo != f32::NEG_INFINITY || self.hi != f32::INFINITY;
        !self.pooled && !bounded && self.activation == Activation::Linear
    }
}

impl Op {
    /// Whether a finished network may hold it.
    pub(super) fn is_layer(&self) -> bool {
        matches!(
            self,
            Self::Conv(_)
                | Self::Norm { .. }
                | Self::Attention(_)
                | Self::Tokens(_)
                | Self::Rows { .. }
                | Self::Constant(_)
                | Self::Mean
                | Self::Scale { .. }
                | Self::MaxPool(_)
                | Self::Codes
                | Self::Strided(_)
                | Self::Join { .. }
                | Self::Softmax
        )
    }

    /// The name that people know.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::Norm { .. } => "LayerNormalization",
            Self::Attention(_) => "Attention",
            Self::Tokens(_) => "Concat and Add of tokens",
            Self::Rows { .. } => "Slice of positions",
            Self::Constant(_) => "Constant",
            Self::Mean => "GlobalAveragePool",
            Self::Scale { .. } => "Mul by a gate",
            Self::MaxPool(_) => "MaxPool",
            Self::Codes => "QuantizeLinear",
            Self::Strided(_) => "operator in float",
            Self::Join { .. } => "Concat",
            Self::Softmax => "Softmax",
            Self::Affine { .. } => "Mul and Add by constants",
            Self::Clip { .. } => "Clip",
            Self::Activate(_) => "activation",
            Self::Unary(unary) => unary.name(),
            Self::Binary(binary) => binary.name(),
            Self::SumChannels => "ReduceSum or ReduceMean over channels",
            Self::SumPositions => "ReduceSum over positions",
            Self::Channels { .. } => "Slice of channels",
            Self::Scores(_) => "MatMul of queries and keys",
            Self::Mix { .. } => "MatMul of probabilities and values",
        }
    }
}
