//! Layout of the encoder's sections: the table of layers, their weights, and the projection.
//!
//! A layer names the earlier values it reads and where its weights lie, so that running an encoder
//! takes no parser beyond this file. All counts, offsets and shapes are checked when the table is
//! opened: what a [`Layer`] says can be relied on.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fields::Fields;
use super::{AssetError, Tag, limits};

/// Largest side of a convolution's kernel.
pub const MAX_KERNEL: u32 = 7;
/// Most inputs of one output channel: 255 x 127 times this stays below 2^31.
pub const MAX_DEPTH: u32 = 65_536;
/// Most layers of an encoder.
pub const MAX_LAYERS: usize = 1024;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Part {
    /// First byte, a multiple of [`PART_ALIGN`].
    pub offset: u32,
    /// Number of bytes.
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

/// Height, width and channels of a value: one image, channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
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
}

/// One layer as the file has it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct LayerRecord {
    /// A [`LayerKind`].
    pub kind: u32,
    /// Value that is read: 0 is the picture, `i + 1` what layer `i` gives.
    pub input: u32,
    /// Value that is added before rounding, or [`NO_VALUE`].
    pub residual: u32,
    /// Steps of the result per step of the added value.
    pub residual_scale: f32,
    /// Shape of what is read.
    pub shape_in: Shape,
    /// Shape of what is given, for a pooled convolution before the mean.
    pub shape_out: Shape,
    /// Side of the square kernel.
    pub kernel: u32,
    /// Step between outputs, both ways.
    pub stride: u32,
    /// Rows of padding above the image.
    pub pad_top: u32,
    /// Columns of padding on its left.
    pub pad_left: u32,
    /// Least result, in steps.
    pub lo: f32,
    /// Greatest result, in steps.
    pub hi: f32,
    /// Weights as the kernels take them: i8, for depthwise i16.
    pub weights: Part,
    /// f32 for each output channel, filled up to a multiple of 16: steps of the result per unit of
    /// the integer sum.
    pub scale: Part,
    /// f32 for each output channel, filled up like `scale`, zero points folded in.
    pub bias: Part,
    /// u8 for each input channel: what lies outside the image. Empty for a pointwise layer.
    pub pad: Part,
    /// UTF-8 bytes of the layer's name; the names follow each other in the order of the layers.
    pub name_len: u32,
    /// Zero.
    pub reserved: [u32; 7],
}

/// What a layer computes. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LayerKind {
    /// Dense convolution with i8 weights; may add a residual.
    Conv = 1,
    /// Depthwise convolution with i16 weights.
    Depthwise = 2,
    /// Pointwise convolution, then the mean over all positions, in f32. The last layer, and only
    /// that one.
    PooledConv = 3,
}

impl LayerKind {
    /// Name for tables and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Depthwise => "depthwise",
            Self::PooledConv => "pooled-conv",
        }
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
}

impl Layer<'_> {
    /// The value that is added before rounding.
    #[must_use]
    pub fn residual(&self) -> Option<u32> {
        (self.record.residual != NO_VALUE).then_some(self.record.residual)
    }

    /// Inputs of one output channel.
    #[must_use]
    pub fn depth(&self) -> usize {
        let taps = (self.record.kernel * self.record.kernel) as usize;
        match self.kind {
            LayerKind::Depthwise => taps,
            _ => taps * self.record.shape_in.channels as usize,
        }
    }

    /// Whether the rows of the matrix product are the positions of the input as they lie.
    #[must_use]
    pub fn is_pointwise(&self) -> bool {
        self.kind != LayerKind::Depthwise && self.record.kernel == 1 && self.record.stride == 1
    }

    /// Columns of the matrix product: the depth, for unfolded patches filled up to 4.
    #[must_use]
    pub fn columns(&self) -> usize {
        if self.is_pointwise() { self.depth() } else { self.depth().next_multiple_of(4) }
    }

    /// Multiply-accumulates for one image.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.record.shape_out.volume() as u64 * self.depth() as u64
    }

    /// Bytes of its weights: panels of 16 channels, in groups of 4 inputs or 2 depthwise taps.
    #[must_use]
    pub fn weights_len(&self) -> usize {
        let channels = (self.record.shape_out.channels as usize).next_multiple_of(16);
        match self.kind {
            LayerKind::Depthwise => self.depth().div_ceil(2) * channels * 4,
            _ => self.columns().next_multiple_of(4) * channels,
        }
    }
}

/// The table of layers, checked.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    records: &'a [LayerRecord],
    names: &'a str,
    input: Shape,
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
        let side = header.input_size;
        let layers =
            Self { records, names, input: Shape { height: side, width: side, channels: 3 } };
        for i in 0..count {
            layers.check(i, weights_len)?;
        }
        Ok(layers)
    }

    /// Shape of the picture.
    #[must_use]
    pub fn input(&self) -> Shape {
        self.input
    }

    /// Length of the trunk's feature.
    #[must_use]
    pub fn trunk_dim(&self) -> usize {
        self.shape(self.records.len() as u32).channels as usize
    }

    /// The layers in the order in which they are computed.
    pub fn iter(&self) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        let (records, mut names) = (self.records, self.names);
        // `parse` has decoded every record once: none is left out here.
        records.iter().map_while(move |record| {
            let (name, rest) = names.split_at_checked(record.name_len as usize)?;
            names = rest;
            Some(Layer { name, kind: kind(record.kind)?, record })
        })
    }

    /// Shape of a value: 0 is the picture, `i + 1` what layer `i` gives.
    fn shape(&self, value: u32) -> Shape {
        match value.checked_sub(1) {
            None => self.input,
            Some(layer) => self.records[layer as usize].shape_out,
        }
    }

    /// Whether layer `i` can be computed from what comes before it and lies within the weights.
    fn check(&self, i: usize, weights_len: usize) -> Result<(), AssetError> {
        let bad = |what| Err(LAYERS.corrupt(what));
        let Some(Layer { record: r, kind, .. }) = self.iter().nth(i) else {
            return bad("a layer's kind or name is unknown");
        };
        let (from, to) = (r.shape_in, r.shape_out);
        let last = i + 1 == self.records.len();
        if r.input as usize > i || self.shape(r.input) != from {
            return bad("a layer reads a value that no earlier layer gives");
        }
        limits::check("channels", to.channels as usize, limits::MAX_DIM)?;
        limits::check("rows", to.height as usize, limits::MAX_INPUT_SIZE)?;
        limits::check("columns", to.width as usize, limits::MAX_INPUT_SIZE)?;
        if to.volume() == 0 {
            return bad("a layer's result is empty");
        }
        if r.kernel == 0 || r.kernel > MAX_KERNEL || r.stride == 0 || r.stride > MAX_KERNEL {
            return bad("a layer's kernel or stride is impossible");
        }
        // The first and the last position of the kernel must touch the image.
        let touches = |pad, out, side| pad < r.kernel && (out - 1) * r.stride < side + pad;
        if !touches(r.pad_top, to.height, from.height) || !touches(r.pad_left, to.width, from.width)
        {
            return bad("a layer's kernel lies outside the image");
        }
        let layer = Layer { name: "", kind, record: r };
        if layer.depth() > MAX_DEPTH as usize {
            return bad("a layer has too many inputs for 32-bit sums");
        }
        let pointwise = layer.is_pointwise();
        if pointwise && from.positions() != to.positions() {
            return bad("a pointwise layer changes the size");
        }
        if kind == LayerKind::Depthwise && from.channels != to.channels {
            return bad("a depthwise layer changes the number of channels");
        }
        if (kind == LayerKind::PooledConv) != last || (last && !pointwise) {
            return bad("the last layer, and only that, must be a pointwise one with a mean");
        }
        let range = if last { f32::MIN..=f32::MAX } else { 0.0..=255.0 };
        if !range.contains(&r.lo) || !range.contains(&r.hi) || r.lo > r.hi {
            return bad("a layer's bounds are impossible");
        }
        if let Some(value) = layer.residual()
            && (kind != LayerKind::Conv
                || value as usize > i
                || self.shape(value) != to
                || !r.residual_scale.is_finite())
        {
            return bad("a layer adds a value that does not fit");
        }
        let per_channel = (to.channels as usize).next_multiple_of(16) * size_of::<f32>();
        let pad = if pointwise { 0 } else { from.channels as usize };
        for (part, len) in [
            (r.weights, layer.weights_len()),
            (r.scale, per_channel),
            (r.bias, per_channel),
            (r.pad, pad),
        ] {
            let range = part.range();
            if range.len() != len || range.end > weights_len || range.start % PART_ALIGN != 0 {
                return bad("a layer's weights lie elsewhere");
            }
        }
        Ok(())
    }
}

const fn kind(number: u32) -> Option<LayerKind> {
    match number {
        1 => Some(LayerKind::Conv),
        2 => Some(LayerKind::Depthwise),
        3 => Some(LayerKind::PooledConv),
        _ => None,
    }
}

/// The record at the start of the projection. Bias, image mean and the f16 rows follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ProjectionHeader {
    /// Length of the trunk's feature.
    pub trunk: u32,
    /// Length of the projected feature.
    pub dim: u32,
}

/// The linear map from the unit-norm trunk into the space of the text weights, and the mean that
/// centres what comes out.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// Length of the trunk's feature.
    pub trunk: usize,
    /// Length of the projected feature.
    pub dim: usize,
    /// Bits of f16, `[dim][trunk]`.
    pub weight: &'a [u16],
    /// Added to the product, `[dim]`.
    pub bias: &'a [f32],
    /// Mean of unit-norm projected features over photographs, `[dim]`.
    pub image_mean: &'a [f32],
}

impl<'a> Projection<'a> {
    /// Checks the section.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`] or [`AssetError::Limit`], naming what is wrong.
    pub fn parse(section: &'a [u8]) -> Result<Self, AssetError> {
        let mut fields = Fields::new(Tag::PROJECTION, section);
        let header: &ProjectionHeader = fields.record()?;
        let (trunk, dim) = (header.trunk as usize, header.dim as usize);
        limits::check("trunk dimensions", trunk, limits::MAX_DIM)?;
        limits::check("projected dimensions", dim, limits::MAX_DIM)?;
        let bias = fields.array(dim)?;
        let image_mean = fields.array(dim)?;
        let weight = fields.array(dim * trunk)?;
        fields.end()?;
        Ok(Self { trunk, dim, weight, bias, image_mean })
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

/// Writes a projection.
#[cfg(feature = "std")]
#[must_use]
pub fn projection_section(projection: Projection) -> std::vec::Vec<u8> {
    super::fields::Writer::new(&ProjectionHeader {
        trunk: projection.trunk as u32,
        dim: projection.dim as u32,
    })
    .array(projection.bias)
    .array(projection.image_mean)
    .array(projection.weight)
    .end()
}
