//! One layer of the table, and the values between layers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{LayerRecord, MAX_INPUTS, NO_VALUE};

/// Height, width and channels of a value: one image, channels last; tokens are one row of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Shape {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Channels.
    pub channels: u32,
}

impl Shape {
    /// Rows times columns.
    #[must_use]
    pub const fn positions(self) -> usize {
        self.height as usize * self.width as usize
    }

    /// Values in all.
    #[must_use]
    pub const fn volume(self) -> usize {
        self.positions() * self.channels as usize
    }

    /// Height, width, channels.
    #[must_use]
    pub fn sides(self) -> [usize; 3] {
        [self.height, self.width, self.channels].map(|side| side as usize)
    }
}

/// What a value is made of. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Element {
    /// u8 codes with one step and zero point for each channel, fixed at import.
    Codes = 1,
    /// f32.
    Real = 2,
}

impl Element {
    pub(super) const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Codes),
            2 => Some(Self::Real),
            _ => None,
        }
    }

    /// Bytes of one.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Codes => 1,
            Self::Real => 4,
        }
    }
}

/// What lies between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its shape.
    pub shape: Shape,
    /// What it is made of.
    pub element: Element,
}

/// What a layer computes. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LayerKind {
    /// Dense convolution or linear layer with i8 weights: activation, a value that is added, bounds.
    /// Real inputs are normalised if it says so and become codes row by row.
    Conv = 1,
    /// Depthwise convolution with i16 weights, codes to codes.
    Depthwise = 2,
    /// Layer normalisation.
    Norm = 3,
    /// Attention of several heads: queries, keys, values.
    Attention = 4,
    /// Rows in front of the positions, and something added to all.
    Tokens = 5,
    /// Some rows of a value.
    Rows = 6,
    /// A value that no picture changes.
    Constant = 7,
    /// Mean over all positions.
    Mean = 8,
    /// Codes times a real gate for each channel (squeeze-excite).
    Scale = 9,
    /// What a conv computes, with f32 weights: kept in float for the sake of the result.
    Float = 10,
    /// In float: a function of numbers that lie at regular steps in one or two values, perhaps summed or
    /// reduced over some axes. Copies, sums, products of two values: what has no int8 form.
    Strided = 11,
    /// Values put together, run by run.
    Join = 12,
    /// Softmax over the channels of each row.
    Softmax = 13,
    /// Real values to codes.
    Codes = 14,
    /// The greatest code of each window.
    MaxPool = 15,
}

impl LayerKind {
    pub(super) const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Conv),
            2 => Some(Self::Depthwise),
            3 => Some(Self::Norm),
            4 => Some(Self::Attention),
            5 => Some(Self::Tokens),
            6 => Some(Self::Rows),
            7 => Some(Self::Constant),
            8 => Some(Self::Mean),
            9 => Some(Self::Scale),
            10 => Some(Self::Float),
            11 => Some(Self::Strided),
            12 => Some(Self::Join),
            13 => Some(Self::Softmax),
            14 => Some(Self::Codes),
            15 => Some(Self::MaxPool),
            _ => None,
        }
    }

    /// Name for tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Depthwise => "depthwise",
            Self::Norm => "norm",
            Self::Attention => "attention",
            Self::Tokens => "tokens",
            Self::Rows => "rows",
            Self::Constant => "constant",
            Self::Mean => "mean",
            Self::Scale => "scale",
            Self::Float => "float",
            Self::Strided => "strided",
            Self::Join => "join",
            Self::Softmax => "softmax",
            Self::Codes => "codes",
            Self::MaxPool => "max-pool",
        }
    }

    /// Whether it computes in float what has no int8 form.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Strided | Self::Join | Self::Softmax)
    }
}

/// One layer, checked.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Name in the network that it came from.
    pub name: &'a str,
    /// What it computes.
    pub kind: LayerKind,
    /// The rest, as the file has it.
    pub record: &'a LayerRecord,
    /// What it reads.
    pub inputs: [Option<Value>; MAX_INPUTS],
}

impl Layer<'_> {
    /// Number of the value that is added before the bounds.
    #[must_use]
    pub fn added(&self) -> Option<u32> {
        let number = self.record.inputs[1];
        (self.is_dense() && number != NO_VALUE).then_some(number)
    }

    /// Whether it is a matrix product over all input channels.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        matches!(self.kind, LayerKind::Conv | LayerKind::Float)
    }

    /// Shape of the first value that is read; of nothing for a constant.
    #[must_use]
    pub fn shape_in(&self) -> Shape {
        self.inputs[0].map_or(Shape::default(), |value| value.shape)
    }

    /// Inputs of one output channel of a convolution.
    #[must_use]
    pub fn depth(&self) -> usize {
        let taps = self.record.kernel as usize * self.record.kernel as usize;
        match self.kind {
            LayerKind::Depthwise => taps,
            _ => taps * self.shape_in().channels as usize,
        }
    }

    /// Whether the rows of the matrix product are the positions of the input as they lie.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        self.is_dense() && self.record.kernel == 1 && self.record.stride == 1
    }

    /// Columns of the matrix product: the depth, for unfolded patches filled up to 4.
    #[must_use]
    pub fn columns(&self) -> usize {
        if self.is_pointwise() { self.depth() } else { self.depth().next_multiple_of(4) }
    }

    /// Rows of the matrix product.
    #[must_use]
    pub fn rows(&self) -> usize {
        if self.is_pointwise() {
            self.shape_in().positions()
        } else {
            self.record.shape.positions()
        }
    }

    /// Outputs of a depthwise convolution for each input channel.
    #[must_use]
    pub fn multiplier(&self) -> usize {
        self.record.shape.channels as usize / (self.shape_in().channels as usize).max(1)
    }

    /// Multiply-accumulates for one image.
    #[must_use]
    pub fn macs(&self) -> u64 {
        let channels = u64::from(self.record.shape.channels);
        match self.kind {
            LayerKind::Conv | LayerKind::Float => {
                self.rows() as u64 * channels * self.depth() as u64
            }
            LayerKind::Depthwise => self.record.shape.volume() as u64 * self.depth() as u64,
            LayerKind::Attention => {
                let tokens = self.inputs[1].map_or(0, |keys| keys.shape.positions());
                2 * self.record.shape.volume() as u64 * tokens as u64
            }
            _ => 0,
        }
    }

    /// Bytes of its weights: panels of 16 channels, in groups of 4 inputs or 2 depthwise taps.
    #[must_use]
    pub fn weights_len(&self) -> usize {
        let padded = |channels: u32| (channels as usize).next_multiple_of(16);
        match self.kind {
            LayerKind::Conv => {
                self.columns().next_multiple_of(4) * padded(self.record.shape.channels)
            }
            LayerKind::Float => self.depth() * self.record.shape.channels as usize * 4,
            LayerKind::Depthwise => {
                let each = self.depth().div_ceil(2) * padded(self.shape_in().channels) * 4;
                self.multiplier() * each
            }
            _ => 0,
        }
    }
}
