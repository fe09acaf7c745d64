//! The operators of an encoder's graph. Each reads its weights in the asset where they lie, writes
//! into a tensor that was made when the asset was opened, and shares its output out over threads:
//! sums are never split, so that the bits do not depend on the number of threads.

mod attention;
mod codes;
mod conv;
mod depthwise;
mod float;
mod join;
mod norm;
mod patches;
mod pool;
mod scale;
mod slot;
mod softmax;
mod strided;
mod tokens;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tract_core::internal::*;
#[cfg(feature = "import")]
use zerocopy::IntoBytes;
use zerocopy::{FromBytes, Immutable};

use crate::asset::AssetFile;
use crate::asset::encoder::{self, Layer, LayerKind};
use crate::kernels::{AttentionScratch, CodeRows, Kernels, Out, Pool, Requant};

use float::FloatScratch;
pub(super) use slot::{Slot, Slots};
#[cfg(feature = "import")]
pub(super) use {
    join::join,
    patches::{Window, unfold},
    pool::Windows,
    softmax::softmax,
    strided::{Axis, Nest},
};

/// What all ops of an encoder share.
pub(super) struct Engine {
    pub(super) kernels: &'static Kernels,
    pub(super) pool: Pool,
    /// Codes of the rows of the layer that runs: one runs at a time.
    workspace: Mutex<Workspace>,
    /// One for each thread.
    attention: Vec<Mutex<AttentionScratch>>,
    /// One for each thread.
    float: Vec<Mutex<FloatScratch>>,
}

/// Rows of codes that live as long as one layer runs.
#[derive(Default)]
struct Workspace {
    codes: Vec<u8>,
    scale: Vec<f32>,
    zero: Vec<u8>,
    /// Units of a layer that depend on the picture.
    units: [Vec<f32>; 2],
}

impl Workspace {
    /// Room for `count` rows of codes of `len` values.
    fn rows(&mut self, count: usize, len: usize) -> CodeRows<'_> {
        let stride = len.next_multiple_of(4);
        CodeRows {
            codes: &mut self.codes[..count * stride],
            stride,
            scale: &mut self.scale[..count],
            zero: &mut self.zero[..count],
        }
    }
}

impl Engine {
    /// With room for all of `layers`.
    pub(super) fn new(
        kernels: &'static Kernels,
        threads: usize,
        layers: &[Layer],
    ) -> TractResult<Self> {
        let scratch = layers.iter().map(|layer| conv::scratch(kernels, layer)).max();
        let pool = Pool::new(threads, scratch.unwrap_or(0))?;
        let mut workspace = Workspace::default();
        let mut attention: Vec<AttentionScratch> = Vec::new();
        attention.resize_with(threads, AttentionScratch::default);
        let mut float: Vec<FloatScratch> = Vec::new();
        float.resize_with(threads, FloatScratch::default);
        for layer in layers {
            let rows = layer.rows();
            match layer.kind {
                LayerKind::Conv if conv::is_dynamic(layer) => {
                    let bytes = rows * layer.depth().next_multiple_of(4);
                    grow(&mut workspace.codes, bytes);
                    grow(&mut workspace.scale, rows);
                    grow(&mut workspace.zero, rows);
                }
                LayerKind::Float => {
                    float.iter_mut().for_each(|scratch| scratch.reserve(layer.columns()));
                }
                LayerKind::Scale => {
                    let channels = (layer.record.shape.channels as usize).next_multiple_of(16);
                    workspace.units.iter_mut().for_each(|units| grow(units, channels));
                }
                LayerKind::Attention => {
                    let tokens = layer.inputs[1].map_or(0, |keys| keys.shape.positions());
                    let depth = (layer.record.shape.channels / layer.record.heads) as usize;
                    attention.iter_mut().for_each(|scratch| scratch.reserve(tokens, depth));
                }
                _ => (),
            }
        }
        let attention = attention.into_iter().map(Mutex::new).collect();
        let float = float.into_iter().map(Mutex::new).collect();
        Ok(Self { kernels, pool, workspace: Mutex::new(workspace), attention, float })
    }

    fn workspace(&self) -> MutexGuard<'_, Workspace> {
        // A panic while it was lent leaves nothing in it that anybody reads.
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn grow<T: Clone + Default>(values: &mut Vec<T>, len: usize) {
    if values.len() < len {
        values.resize(len, T::default());
    }
}

/// What a layer computes from its inputs.
pub(super) trait Compute: Send + Sync {
    fn compute(&self, engine: &Engine, inputs: &[Input], out: Out) -> TractResult<()>;
}

/// A value that a layer reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Codes(&'a [u8]),
    Real(&'a [f32]),
}

fn codes_of<'a>(inputs: &[Input<'a>], i: usize) -> TractResult<&'a [u8]> {
    match inputs.get(i) {
        Some(Input::Codes(codes)) => Ok(codes),
        _ => bail!("input {i} has no codes"),
    }
}

fn reals_of<'a>(inputs: &[Input<'a>], i: usize) -> TractResult<&'a [f32]> {
    match inputs.get(i) {
        Some(Input::Real(values)) => Ok(values),
        _ => bail!("input {i} has no real values"),
    }
}

/// What `layer` computes.
///
/// # Errors
/// A strided layer that would leave the values that it reads.
pub(super) fn compute(source: &Source, layer: &Layer) -> TractResult<Arc<dyn Compute>> {
    Ok(match layer.kind {
        LayerKind::Conv => Arc::new(conv::Conv::new(source, layer)),
        LayerKind::Depthwise => Arc::new(depthwise::Depthwise::new(source, layer)?),
        LayerKind::Norm => Arc::new(norm::Norm::new(source, layer)),
        LayerKind::Attention => Arc::new(attention::Attention::new(layer)),
        LayerKind::Tokens => Arc::new(tokens::Tokens::new(source, layer)),
        LayerKind::Rows => Arc::new(tokens::Rows::new(layer)),
        LayerKind::Constant => Arc::new(tokens::Constant::new(source, layer)),
        LayerKind::Mean => Arc::new(scale::Mean::new(source, layer)),
        LayerKind::Scale => Arc::new(scale::Scale::new(source, layer)),
        LayerKind::Float => Arc::new(float::Float::new(source, layer)),
        LayerKind::Strided => Arc::new(strided::Strided::new(source, layer)?),
        LayerKind::Join => Arc::new(join::Join::new(layer)),
        LayerKind::Softmax => Arc::new(softmax::Softmax::new(layer)),
        LayerKind::Codes => Arc::new(codes::Codes::new(source, layer)),
        LayerKind::MaxPool => Arc::new(pool::MaxPool::new(layer)),
    })
}

/// The output of a layer that gives codes.
fn codes(out: Out<'_>) -> TractResult<&mut [u8]> {
    match out {
        Out::Codes(codes) => Ok(codes),
        Out::Real(_) => bail!("the layer gives codes"),
    }
}

/// The output of a layer that gives real values.
fn reals(out: Out<'_>) -> TractResult<&mut [f32]> {
    match out {
        Out::Real(values) => Ok(values),
        Out::Codes(_) => bail!("the layer gives real values"),
    }
}

/// A layer as an operator of tract's graph.
#[derive(Clone)]
pub(super) struct LayerOp {
    engine: Arc<Engine>,
    compute: Arc<dyn Compute>,
    kind: LayerKind,
    slot: Arc<Slot>,
    macs: u64,
}

impl LayerOp {
    pub(super) fn new(
        engine: &Arc<Engine>,
        source: &Source,
        layer: &Layer,
        slot: Arc<Slot>,
    ) -> TractResult<Self> {
        let compute = compute(source, layer)?;
        let macs = layer.macs();
        Ok(Self { engine: Arc::clone(engine), compute, kind: layer.kind, slot, macs })
    }
}

impl fmt::Debug for LayerOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())
    }
}

impl PartialEq for LayerOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.compute, &other.compute)
    }
}

impl Eq for LayerOp {}

impl Op for LayerOp {
    fn name(&self) -> StaticName {
        self.kind.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for LayerOp {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut views: TVec<Input> = tvec!();
        for value in &inputs {
            let view = value.try_as_plain_ram()?;
            views.push(match value.datum_type() {
                DatumType::U8 => Input::Codes(view.as_slice()?),
                _ => Input::Real(view.as_slice()?),
            });
        }
        let value = self.slot.write(|out| self.compute.compute(&self.engine, &views, out))?;
        Ok(tvec!(value))
    }
}

impl TypedOp for LayerOp {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.slot.fact()))
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(tvec!((Cost::FMA(i8::datum_type()), self.macs.to_dim())))
    }
}

/// Where the parts of layers are.
#[derive(Clone)]
pub(super) enum Source {
    /// In a file, whose weights section starts at this byte.
    File(AssetFile, usize),
    /// In memory, while an encoder is being made.
    #[cfg(feature = "import")]
    Memory(Arc<[u64]>),
}

impl Source {
    fn part(&self, part: encoder::Part) -> Part {
        Part { source: self.clone(), range: part.range() }
    }
}

/// A part of the weights, read in place.
struct Part {
    source: Source,
    range: Range<usize>,
}

impl Part {
    /// The part as values of `T`.
    fn get<T: FromBytes + Immutable>(&self) -> TractResult<&[T]> {
        let (bytes, start) = match &self.source {
            Source::File(file, start) => (file.bytes(), *start),
            #[cfg(feature = "import")]
            Source::Memory(words) => (words.as_bytes(), 0),
        };
        let range = start + self.range.start..start + self.range.end;
        let bytes = bytes.get(range).context("part of the asset")?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| format_err!("misaligned part of the asset"))
    }
}

/// A layer's way from sums to results.
struct Units {
    scale: Part,
    bias: Part,
    step: Part,
    zero: Part,
    activation: crate::kernels::Activation,
    lo: f32,
    hi: f32,
}

impl Units {
    fn new(source: &Source, layer: &Layer) -> Self {
        let r = layer.record;
        Self {
            scale: source.part(r.scale),
            bias: source.part(r.bias),
            step: source.part(r.step),
            zero: source.part(r.zero),
            // The table of layers was checked when it was opened.
            activation: r.activation().unwrap_or(crate::kernels::Activation::Linear),
            lo: r.lo,
            hi: r.hi,
        }
    }

    fn get(&self) -> TractResult<Requant<'_>> {
        let steps = if self.step.range.is_empty() {
            None
        } else {
            Some([self.step.get()?, self.zero.get()?])
        };
        Ok(Requant {
            scale: self.scale.get()?,
            bias: self.bias.get()?,
            activation: self.activation,
            steps,
            lo: self.lo,
            hi: self.hi,
        })
    }
}
