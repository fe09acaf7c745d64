//! The operators of an encoder's graph. Each takes and gives one NHWC image, reads its weights in
//! the asset where they lie, and splits its output over threads by rows or channels: sums are never
//! split, so that the bits do not depend on the number of threads.

mod conv;
mod depthwise;
mod patches;
mod pooled_conv;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tract_core::internal::*;
use zerocopy::{FromBytes, Immutable};

use crate::asset::AssetFile;
use crate::asset::encoder::Layer;
use crate::kernels::{self, Kernels, PackedMatrix, Pool, Requant};

pub(super) use conv::Conv;
pub(super) use depthwise::Depthwise;
#[cfg(feature = "import")]
pub(super) use patches::unfold;
pub(super) use pooled_conv::PooledConv;

/// What all ops of an encoder share.
pub(super) struct Engine {
    pub(super) kernels: &'static Kernels,
    pub(super) pool: Pool,
}

/// A part of the asset, read in place.
#[derive(Clone)]
pub(super) struct Part {
    file: AssetFile,
    range: Range<usize>,
}

impl Part {
    pub(super) fn new(file: &AssetFile, range: Range<usize>) -> Self {
        Self { file: file.clone(), range }
    }

    /// The part as values of `T`.
    fn get<T: FromBytes + Immutable>(&self) -> TractResult<&[T]> {
        let bytes = self.file.bytes().get(self.range.clone()).context("part of the asset")?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| format_err!("misaligned part of the asset"))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.file.bytes(), other.file.bytes()) && self.range == other.range
    }
}

/// What every op is made of.
#[derive(Clone)]
pub(super) struct Body {
    engine: Arc<Engine>,
    geometry: Geometry,
    weights: Part,
    sums: Arc<[i32]>,
    scale: Part,
    bias: Part,
    pad: Part,
}

/// Shapes, kernel and bounds of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    pub(super) height_in: usize,
    pub(super) width_in: usize,
    pub(super) channels_in: usize,
    pub(super) height_out: usize,
    pub(super) width_out: usize,
    pub(super) channels_out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) pad_top: usize,
    pub(super) pad_left: usize,
    /// Columns of the matrix product.
    pub(super) columns: usize,
    pub(super) pointwise: bool,
    pub(super) macs: u64,
    pub(super) lo: f32,
    pub(super) hi: f32,
}

impl Geometry {
    pub(super) fn of(layer: &Layer) -> Self {
        let r = layer.record;
        Self {
            height_in: r.shape_in.height as usize,
            width_in: r.shape_in.width as usize,
            channels_in: r.shape_in.channels as usize,
            height_out: r.shape_out.height as usize,
            width_out: r.shape_out.width as usize,
            channels_out: r.shape_out.channels as usize,
            kernel: r.kernel as usize,
            stride: r.stride as usize,
            pad_top: r.pad_top as usize,
            pad_left: r.pad_left as usize,
            columns: layer.columns(),
            pointwise: layer.is_pointwise(),
            macs: layer.macs(),
            lo: r.lo,
            hi: r.hi,
        }
    }

    fn shape_out(&self) -> [usize; 4] {
        [1, self.height_out, self.width_out, self.channels_out]
    }

    pub(super) fn positions_out(&self) -> usize {
        self.height_out * self.width_out
    }
}

impl Body {
    /// `weights` is where the asset's weights section starts in the file.
    pub(super) fn new(
        engine: &Arc<Engine>,
        file: &AssetFile,
        weights: usize,
        layer: &Layer,
    ) -> Self {
        let part = |part: crate::asset::encoder::Part| {
            let range = part.range();
            Part::new(file, weights + range.start..weights + range.end)
        };
        let (geometry, weights) = (Geometry::of(layer), part(layer.record.weights));
        let (k, n) = (geometry.columns, geometry.channels_out);
        let mut sums = vec![0; n.next_multiple_of(kernels::LANES)];
        if let Ok(packed) = weights.get::<i8>()
            && packed.len() == kernels::packed_len(k, n)
        {
            kernels::row_sums(k, n, packed, &mut sums);
        }
        Self {
            engine: Arc::clone(engine),
            geometry,
            weights,
            sums: sums.into(),
            scale: part(layer.record.scale),
            bias: part(layer.record.bias),
            pad: part(layer.record.pad),
        }
    }

    fn requant(&self) -> TractResult<Requant<'_>> {
        let Geometry { lo, hi, .. } = self.geometry;
        Ok(Requant { lo, hi, ..Requant::to_codes(self.scale.get()?, self.bias.get()?) })
    }

    fn matrix(&self) -> TractResult<PackedMatrix<'_>> {
        let Geometry { columns, channels_out, .. } = self.geometry;
        let data = self.weights.get()?;
        Ok(PackedMatrix { k: columns, n: channels_out, data, sums: &self.sums })
    }

    /// A tensor for a u8 result.
    fn output(&self) -> TractResult<Tensor> {
        // SAFETY: bytes have no invalid values, and the kernels write every one of them.
        unsafe { Tensor::uninitialized::<u8>(&self.geometry.shape_out()) }
    }

    fn output_facts(&self) -> TVec<TypedFact> {
        tvec!(u8::fact(self.geometry.shape_out()))
    }

    fn cost(&self) -> TVec<(Cost, TDim)> {
        tvec!((Cost::FMA(i8::datum_type()), self.geometry.macs.to_dim()))
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.geometry == other.geometry
            && [&self.weights, &self.scale, &self.bias, &self.pad]
                == [&other.weights, &other.scale, &other.bias, &other.pad]
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.geometry.fmt(f)
    }
}
