//! One layer of the new encoder: the device's own operators, over values in memory.

use std::sync::Arc;

use tract_core::internal::TractResult;
use zerocopy::{Immutable, IntoBytes};

use crate::asset::encoder::{
    Element, Layer, LayerKind, LayerRecord, PART_ALIGN, Part, Shape, Value,
};
use crate::encoder::ops::{Compute, Engine, Input, Source, Window, compute};
use crate::kernels::{self, Kernels, Out};

/// What one picture has between two layers.
#[derive(Clone)]
pub(super) enum Data {
    Codes(Vec<u8>),
    Real(Vec<f32>),
}

impl Data {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Codes(codes) => Input::Codes(codes),
            Self::Real(values) => Input::Real(values),
        }
    }

    /// The codes, or nothing of real values.
    pub(super) fn codes(&self) -> &[u8] {
        match self {
            Self::Codes(codes) => codes,
            Self::Real(_) => &[],
        }
    }
}

/// The parts of a layer one behind the other.
#[derive(Clone, Default)]
pub(super) struct Parts(Vec<u8>);

impl Parts {
    /// Adds an array and says where it is.
    pub(super) fn add<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Part {
        let bytes = values.as_bytes();
        if bytes.is_empty() {
            return Part::default();
        }
        self.0.resize(self.0.len().next_multiple_of(PART_ALIGN), 0);
        let part = Part { offset: self.0.len() as u32, len: bytes.len() as u32 };
        self.0.extend_from_slice(bytes);
        part
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A layer with everything that the sections need.
pub(super) struct NewLayer {
    pub(super) name: String,
    pub(super) record: LayerRecord,
    pub(super) kind: LayerKind,
    /// What it reads.
    pub(super) inputs: [Option<Value>; 3],
    /// Where the record's parts lie.
    pub(super) parts: Parts,
}

impl NewLayer {
    pub(super) fn layer(&self) -> Layer<'_> {
        Layer { name: &self.name, kind: self.kind, record: &self.record, inputs: self.inputs }
    }

    pub(super) fn window(&self) -> Window {
        Window::of(&self.layer())
    }

    /// The layer ready to run on pictures.
    pub(super) fn ready(&self) -> TractResult<Ready<'_>> {
        let words = self.parts.0.chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        });
        let source = Source::Memory(words.collect::<Vec<u64>>().into());
        Ok(Ready { compute: compute(&source, &self.layer())?, layer: self.layer() })
    }
}

/// A layer that can be run.
pub(super) struct Ready<'a> {
    compute: Arc<dyn Compute>,
    layer: Layer<'a>,
}

impl Ready<'_> {
    /// Memory and kernels for one thread.
    pub(super) fn engine(&self, kernels: &'static Kernels) -> TractResult<Engine> {
        Engine::new(kernels, 1, std::slice::from_ref(&self.layer))
    }

    /// The layer's result for one picture.
    pub(super) fn run(&self, engine: &Engine, inputs: &[&Data]) -> TractResult<Data> {
        let inputs: Vec<Input> = inputs.iter().map(|data| data.input()).collect();
        let volume = self.layer.record.shape.volume();
        if self.layer.record.element == Element::Codes as u32 {
            let mut codes = vec![0; volume];
            self.compute.compute(engine, &inputs, Out::Codes(&mut codes))?;
            Ok(Data::Codes(codes))
        } else {
            let mut values = vec![0.0; volume];
            self.compute.compute(engine, &inputs, Out::Real(&mut values))?;
            Ok(Data::Real(values))
        }
    }
}

/// Sides as an asset has them.
pub(super) fn shape([height, width, channels]: [usize; 3]) -> Shape {
    Shape { height: height as u32, width: width as u32, channels: channels as u32 }
}

/// Packs rows of a dense layer, `[outputs][depth]`, for a product with `columns` inputs; and the sums
/// of the rows.
pub(super) fn pack_dense(codes: &[i8], depth: usize, columns: usize) -> (Vec<i8>, Vec<i32>) {
    let outputs = codes.len() / depth;
    let mut rows = vec![0; outputs * columns];
    for (row, codes) in rows.chunks_exact_mut(columns).zip(codes.chunks_exact(depth)) {
        row[..depth].copy_from_slice(codes);
    }
    let mut packed = vec![0; kernels::packed_len(columns, outputs)];
    kernels::pack(columns, outputs, &rows, &mut packed);
    let mut sums = vec![0; outputs.next_multiple_of(kernels::LANES)];
    kernels::row_sums(columns, outputs, &packed, &mut sums);
    (packed, sums)
}

/// Packs a depthwise layer, `[channels][taps]`: two taps side by side, each in 16 bits.
pub(super) fn pack_depthwise(codes: &[i8], taps: usize) -> Vec<i16> {
    let channels = codes.len() / taps;
    let padded = channels.next_multiple_of(kernels::LANES);
    let mut packed = vec![0; taps.div_ceil(2) * padded * 2];
    for (at, code) in codes.iter().enumerate() {
        let (c, tap) = (at / taps, at % taps);
        packed[(tap / 2 * padded + c) * 2 + tap % 2] = i16::from(*code);
    }
    packed
}
