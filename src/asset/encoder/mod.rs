//! Layout of the encoder's sections: the table of layers, their weights, and the projection.
//!
//! A layer names the earlier values it reads and where its weights lie, so that running an encoder
//! takes no parser beyond this folder. All counts, offsets and shapes are checked when the table is
//! opened: what a [`Layer`] says can be relied on. Only the axes of a strided layer, which lie among the
//! weights, are checked by the operator that reads them.

mod check;
mod function;
mod layer;
mod projection;

pub use function::{Binary, Function, Reducer, Unary, greater, lesser};
pub use layer::{Element, Layer, LayerKind, Shape, Value};
#[cfg(feature = "std")]
pub use projection::projection_section;
pub use projection::{Projection, ProjectionHeader};

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};
use crate::kernels::{Activation, GELU, GELU_TANH, QUICK_GELU, SILU};

/// Largest side of a depthwise convolution's kernel, and of a dense one that overlaps itself.
pub const MAX_KERNEL: u32 = 7;
/// Largest side of a patch: a dense kernel whose step is its side.
pub const MAX_PATCH: u32 = 64;
/// Most inputs of one output channel: 255 x 127 times this stays below 2^31.
pub const MAX_DEPTH: u32 = 65_536;
/// Most channels of a value.
pub const MAX_CHANNELS: usize = 16_384;
/// Most values of one frame's value: rows times columns times channels.
pub const MAX_VOLUME: usize = 1 << 26;
/// Most tokens that attention looks at.
pub const MAX_TOKENS: usize = 8192;
/// Most layers of an encoder.
pub const MAX_LAYERS: usize = 4096;
/// Most axes that a strided layer goes over.
pub const MAX_AXES: usize = 8;
/// Values that a layer reads at most.
pub const MAX_INPUTS: usize = 3;
/// The parts of the weights start at multiples of this many bytes.
pub const PART_ALIGN: usize = 64;
/// In place of a value's number: there is none.
pub const NO_VALUE: u32 = u32::MAX;

/// The record at the start of the table of layers. [`LayerRecord`]s follow, then all layers' names.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct LayersHeader {
    /// Number of layers.
    pub layers: u32,
    /// Side of the square picture that goes in; it has three channels.
    pub input_size: u32,
    /// UTF-8 bytes of all names.
    pub names_len: u32,
    /// Zero.
    pub reserved: u32,
}

/// A part of the weights section, in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Part {
    /// First byte, a multiple of [`PART_ALIGN`].
    pub offset: u32,
    /// Number of bytes, 0 where a layer has no such part.
    pub len: u32,
}

impl Part {
    /// The same as a range.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        let start = self.offset as usize;
        start..start.saturating_add(self.len as usize)
    }
}

/// One layer as the file has it. What a kind of layer does not use is zero.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct LayerRecord {
    /// A [`LayerKind`].
    pub kind: u32,
    /// Values that are read: 0 is the picture, `i + 1` what layer `i` gives, [`NO_VALUE`] none.
    pub inputs: [u32; MAX_INPUTS],
    /// An [`Element`]: what the result is made of.
    pub element: u32,
    /// Shape of the result.
    pub shape: Shape,
    /// Side of the square kernel.
    pub kernel: u32,
    /// Step between outputs, both ways.
    pub stride: u32,
    /// Rows of padding above the image.
    pub pad_top: u32,
    /// Columns of padding on its left.
    pub pad_left: u32,
    /// Attention: number of heads.
    pub heads: u32,
    /// Attention: first channel of queries, keys and values in what is read. Rows: the first row.
    /// Strided: the first number of each input.
    pub at: [u32; 3],
    /// 1: the input's rows are normalised first (conv).
    pub norm: u32,
    /// 1: the mean over all positions is given (conv), or stands in front of them (tokens).
    pub mean: u32,
    /// Number of an [`Activation`]: 0 linear, 1 gated, 2 hard-swish, 3 sigmoid.
    pub activation: u32,
    /// Coefficients of a gated activation.
    pub gate: [f32; 3],
    /// Added to a variance before its root (conv with norm, norm).
    pub epsilon: f32,
    /// Conv: steps of the result per step of the added codes. Attention: factor of the scores.
    /// Strided: factor of the result.
    pub factor: f32,
    /// Least result, in the result's units.
    pub lo: f32,
    /// Greatest result.
    pub hi: f32,
    /// Weights as the kernels take them: i8, for depthwise i16.
    pub weights: Part,
    /// i32 for each output channel (filled up to a multiple of 16): the sum of its i8 weights.
    pub sums: Part,
    /// f32 for each output channel, filled up likewise: units of the result per unit of the sum.
    pub scale: Part,
    /// f32 for each output channel, filled up likewise: what is added; zero points are folded in.
    pub bias: Part,
    /// f32 likewise, where an activation or nothing stands before codes: codes per unit.
    pub step: Part,
    /// f32 likewise: the code of zero.
    pub zero: Part,
    /// u8 for each input channel: what lies outside of the image. Empty for a pointwise layer.
    pub pad: Part,
    /// f32 for each input channel: its factor before it becomes codes. May be empty.
    pub factors: Part,
    /// f32: a constant, or the rows in front of tokens. Strided: u32 for each axis, its length and its
    /// steps in both inputs.
    pub values: Part,
    /// f32: what is added to tokens.
    pub add: Part,
    /// UTF-8 bytes of the layer's name; the names follow each other in the order of the layers.
    pub name_len: u32,
    /// Strided: number of a [`Function`].
    pub function: u32,
    /// Strided: number of a [`Reducer`].
    pub reducer: u32,
    /// Strided: how many of its axes the result goes over; the others are reduced. Join: into how many
    /// equal runs each value is cut.
    pub kept: u32,
}

impl LayerRecord {
    /// The activation, or nothing if its number is unknown.
    #[must_use]
    pub fn activation(&self) -> Option<Activation> {
        match self.activation {
            0 => Some(Activation::Linear),
            1 => Some(Activation::Gated(self.gate)),
            2 => Some(Activation::HardSwish),
            3 => Some(Activation::Sigmoid),
            _ => None,
        }
    }

    /// Writes an activation into the record.
    pub fn set_activation(&mut self, activation: Activation) {
        (self.activation, self.gate) = match activation {
            Activation::Linear => (0, [0.0; 3]),
            Activation::Gated(gate) => (1, gate),
            Activation::HardSwish => (2, [0.0; 3]),
            Activation::Sigmoid => (3, [0.0; 3]),
        };
    }
}

/// The name that people know an activation by.
#[must_use]
pub fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Linear => "linear",
        Activation::Gated(GELU) => "GELU",
        Activation::Gated(GELU_TANH) => "GELU-tanh",
        Activation::Gated(QUICK_GELU) => "QuickGELU",
        Activation::Gated(SILU) => "SiLU",
        Activation::Gated(_) => "gated",
        Activation::HardSwish => "hard-swish",
        Activation::Sigmoid => "sigmoid",
    }
}

/// The table of layers, checked.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    records: &'a [LayerRecord],
    names: &'a str,
    picture: Value,
}

const LAYERS: Tag = Tag::LAYERS;

impl<'a> Layers<'a> {
    /// Checks the section against the weights section that it goes with.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`] or [`AssetError::Limit`], naming what is wrong.
    pub fn parse(section: &'a [u8], weights_len: usize) -> Result<Self, AssetError> {
        let mut fields = Fields::new(LAYERS, section);
        let header: &LayersHeader = fields.record()?;
        let count = header.layers as usize;
        limits::check("layers", count, MAX_LAYERS)?;
        limits::check("pixels a side", header.input_size as usize, limits::MAX_INPUT_SIZE)?;
        if count == 0 || header.input_size == 0 {
            return Err(LAYERS.corrupt("it is empty"));
        }
        let records = fields.array(count)?;
        let names = core::str::from_utf8(fields.array(header.names_len as usize)?)
            .map_err(|_| LAYERS.corrupt("a name is not UTF-8"))?;
        fields.end()?;
        let (height, width) = (header.input_size, header.input_size);
        let shape = Shape { height, width, channels: 3 };
        let picture = Value { shape, element: Element::Codes };
        let layers = Self { records, names, picture };
        let mut seen = 0;
        // Each layer is checked before a later one looks at what it gives.
        for layer in layers.iter() {
            check::layer(&layer, weights_len)?;
            seen += 1;
        }
        if seen < count {
            return Err(LAYERS.corrupt("a layer's kind, name, element or input is unknown"));
        }
        let last = layers.value(count as u32);
        if !last.is_some_and(|v| v.element == Element::Real && v.shape.positions() == 1) {
            return Err(LAYERS.corrupt("the last layer does not give one feature"));
        }
        Ok(layers)
    }

    /// Side of the square picture.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.picture.shape.height as usize
    }

    /// Length of the trunk's feature.
    #[must_use]
    pub fn trunk_dim(&self) -> usize {
        self.records.last().map_or(0, |record| record.shape.channels as usize)
    }

    /// The layers in the order in which they are computed.
    pub fn iter(&self) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        let (layers, mut names) = (*self, self.names);
        // `parse` has decoded every record once: none is left out here.
        self.records.iter().enumerate().map_while(move |(i, record)| {
            let (name, rest) = names.split_at_checked(record.name_len as usize)?;
            names = rest;
            let mut inputs = [None; MAX_INPUTS];
            for (input, number) in inputs.iter_mut().zip(record.inputs) {
                if number != NO_VALUE {
                    *input = Some(layers.value(number).filter(|_| number as usize <= i)?);
                }
            }
            Some(Layer { name, kind: LayerKind::of(record.kind)?, record, inputs })
        })
    }

    /// A value: 0 is the picture, `i + 1` what layer `i` gives.
    fn value(&self, number: u32) -> Option<Value> {
        match number.checked_sub(1) {
            None => Some(self.picture),
            Some(layer) => {
                let record = self.records.get(layer as usize)?;
                Some(Value { shape: record.shape, element: Element::of(record.element)? })
            }
        }
    }
}

/// Writes a table of layers.
#[cfg(feature = "std")]
#[must_use]
pub fn layers_section(input_size: u32, layers: &[(&str, LayerRecord)]) -> std::vec::Vec<u8> {
    let names: std::string::String = layers.iter().map(|(name, _)| *name).collect();
    let records: std::vec::Vec<LayerRecord> = layers.iter().map(|(_, record)| *record).collect();
    super::fields::Writer::new(&LayersHeader {
        layers: records.len() as u32,
        input_size,
        names_len: names.len() as u32,
        reserved: 0,
    })
    .array(&records)
    .array(names.as_bytes())
    .end()
}
