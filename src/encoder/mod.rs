//! The int8 encoder: from a picture's pixels to its features.
//!
//! An asset's sections become a small tract graph of our operators (`ops`), run by a tract plan.
//! Weights are read in the asset where they lie. The graph takes raw u8 pixels: mean and deviation
//! of the preprocessing were folded into the first layer when the encoder was imported.
//!
//! The same picture gives the same bits with every instruction set and any number of threads.

mod graph;
#[cfg(feature = "import")]
pub mod import;
mod ops;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_core::internal::{TractError, TypedSimpleState, tvec};
use tract_core::plan;

use self::graph::Graph;
use self::ops::Slot;
use crate::asset::encoder::{Element, LayerKind, Layers, Projection};
use crate::asset::{AssetError, AssetFile, Container, EncoderId, Preprocess, Tag};
use crate::kernels::{Kernels, Out};
use crate::project::{normalize, project};

/// Most threads that an encoder takes.
pub const MAX_THREADS: usize = 64;

/// Why an encoder cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The asset is damaged or has no encoder.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// The projection wants another trunk than the graph gives.
    #[error(
        "the encoder's projection takes {projection} values but its graph gives {trunk}: \
         import the encoder again"
    )]
    ProjectionLength {
        /// What the projection takes.
        projection: usize,
        /// What the graph gives.
        trunk: usize,
    },
    /// The preprocessing makes pictures of another size than the graph takes.
    #[error(
        "the asset's preprocessing makes {preprocess} pixels a side but its encoder takes {graph}: \
         import the encoder again"
    )]
    InputSize {
        /// Side that the preprocessing gives.
        preprocess: usize,
        /// Side that the graph takes.
        graph: usize,
    },
    /// The picture has the wrong number of values.
    #[error("the encoder takes {expected} bytes (RGB, {side} x {side}), the picture has {found}")]
    Pixels {
        /// Bytes that it takes.
        expected: usize,
        /// Side of the picture that it takes.
        side: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The number of threads is impossible.
    #[error("{0} threads: the encoder runs on 1 to {MAX_THREADS}")]
    Threads(usize),
    /// tract refused the graph or failed in it.
    #[error("the encoder's graph failed: {0:#}")]
    Graph(TractError),
}

/// The features of one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedding {
    /// The trunk's pooled feature, unit norm (all zeros if every channel is).
    pub trunk: Vec<f32>,
    /// The feature in the text's space, centred on the mean of photographs, unit norm; empty if the
    /// encoder has no projection.
    pub projected: Vec<f32>,
}

/// A layer as tables show it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerInfo {
    /// Name in the network that it came from.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// What it reads first, if it reads anything.
    pub element: Option<Element>,
    /// Side of its kernel, 0 if it has none.
    pub kernel: usize,
    /// Height, width, channels of its result.
    pub shape: [usize; 3],
    /// Multiply-accumulates for one picture.
    pub macs: u64,
}

/// An encoder ready to run.
pub struct Encoder {
    file: AssetFile,
    kernels: &'static Kernels,
    preprocess: Preprocess,
    id: EncoderId,
    layers: Vec<LayerInfo>,
    trunk_dim: usize,
    /// Where the file has the projection, and its length.
    projection: Option<(Range<usize>, usize)>,
    state: TypedSimpleState,
    /// Where the picture goes.
    picture: Arc<Slot>,
}

impl Encoder {
    /// Prepares the encoder of an asset. It keeps the asset alive and reads its weights in place.
    ///
    /// # Errors
    /// A damaged or missing section, an impossible number of threads, or no memory for them.
    pub fn new(
        asset: AssetFile,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Self, EncoderError> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(EncoderError::Threads(threads));
        }
        let container = Container::open(asset.bytes())?;
        let section = |tag: Tag| container.section(tag).ok_or(tag.missing());
        let range = |wanted: Tag| {
            container.sections().find_map(|(tag, range, _)| (tag == wanted).then_some(range))
        };
        let preprocess = Preprocess::parse(section(Tag::PREPROCESS)?)?;
        let layers = Layers::parse(section(Tag::LAYERS)?, section(Tag::WEIGHTS)?.len())?;
        let weights = range(Tag::WEIGHTS).ok_or(Tag::WEIGHTS.missing())?;
        let trunk_dim = layers.trunk_dim();
        let side = layers.input_size();
        if preprocess.size as usize != side {
            let preprocess = preprocess.size as usize;
            return Err(EncoderError::InputSize { preprocess, graph: side });
        }
        let projection = match range(Tag::PROJECTION) {
            None => None,
            Some(range) => {
                let p = Projection::parse(&container.bytes()[range.clone()])?;
                if p.trunk != trunk_dim {
                    let projection = p.trunk;
                    return Err(EncoderError::ProjectionLength { projection, trunk: trunk_dim });
                }
                Some((range, p.dim))
            }
        };
        let Graph { plan, picture } = graph::plan(&asset, weights.start, &layers, kernels, threads)
            .map_err(EncoderError::Graph)?;
        let state = plan.spawn().map_err(EncoderError::Graph)?;
        let infos = layers.iter().map(|layer| LayerInfo {
            name: layer.name.to_owned(),
            kind: layer.kind,
            element: layer.inputs[0].map(|value| value.element),
            kernel: layer.record.kernel as usize,
            shape: layer.record.shape.sides(),
            macs: layer.macs(),
        });
        let (layers, id) = (infos.collect(), container.encoder_id());
        Ok(Self {
            file: asset,
            kernels,
            preprocess,
            id,
            layers,
            trunk_dim,
            projection,
            state,
            picture,
        })
    }

    /// How a frame becomes the encoder's input.
    #[must_use]
    pub fn preprocess(&self) -> Preprocess {
        self.preprocess
    }

    /// Identity of the encoder: features of encoders with other identities cannot be compared.
    #[must_use]
    pub fn id(&self) -> EncoderId {
        self.id
    }

    /// Length of [`Embedding::trunk`].
    #[must_use]
    pub fn trunk_dim(&self) -> usize {
        self.trunk_dim
    }

    /// Length of [`Embedding::projected`], 0 without a projection.
    #[must_use]
    pub fn projected_dim(&self) -> usize {
        self.projection.as_ref().map_or(0, |(_, dim)| *dim)
    }

    /// The layers in the order in which they are computed.
    #[must_use]
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// The kernels that it runs on.
    #[must_use]
    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// Encodes a picture: `pixels` are the u8 RGB values of [`preprocess`](Self::preprocess),
    /// `[size][size][3]`. `out` is overwritten and keeps its memory.
    ///
    /// # Errors
    /// A picture of another size, or a failure inside of the graph.
    pub fn encode(&mut self, pixels: &[u8], out: &mut Embedding) -> Result<(), EncoderError> {
        self.encode_timed(pixels, out, &mut [])
    }

    /// [`encode`](Self::encode), with the time that each of [`layers`](Self::layers) took; nothing is
    /// measured where `times` is empty.
    ///
    /// # Errors
    /// As `encode`.
    pub fn encode_timed(
        &mut self,
        pixels: &[u8],
        out: &mut Embedding,
        times: &mut [Duration],
    ) -> Result<(), EncoderError> {
        self.check(pixels)?;
        self.run(pixels, &mut out.trunk, times).map_err(EncoderError::Graph)?;
        normalize(self.kernels, &mut out.trunk);
        match &self.projection {
            None => out.projected.clear(),
            Some((range, dim)) => {
                let p = Projection::parse(&self.file.bytes()[range.clone()])?;
                out.projected.resize(*dim, 0.0);
                project(self.kernels, &p, &out.trunk, &mut out.projected);
            }
        }
        Ok(())
    }

    /// The trunk of a picture before it is scaled to unit norm, as means over several pictures are made
    /// of it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_unscaled(
        &mut self,
        pixels: &[u8],
        trunk: &mut Vec<f32>,
    ) -> Result<(), EncoderError> {
        self.check(pixels)?;
        self.run(pixels, trunk, &mut []).map_err(EncoderError::Graph)
    }

    fn check(&self, pixels: &[u8]) -> Result<(), EncoderError> {
        let side = self.preprocess.size as usize;
        if pixels.len() != side * side * 3 {
            let (expected, found) = (side * side * 3, pixels.len());
            return Err(EncoderError::Pixels { expected, side, found });
        }
        Ok(())
    }

    /// The trunk before it is scaled to unit norm.
    fn run(
        &mut self,
        pixels: &[u8],
        out: &mut Vec<f32>,
        times: &mut [Duration],
    ) -> Result<(), TractError> {
        let picture = self.picture.write(|slot| match slot {
            Out::Codes(slot) => {
                slot.copy_from_slice(pixels);
                Ok(())
            }
            Out::Real(_) => Ok(()),
        })?;
        let outputs = if times.is_empty() {
            self.state.run(tvec!(picture))?
        } else {
            self.state.run_plan_with_eval(tvec!(picture), |context, state, node, inputs| {
                let begun = Instant::now();
                let result = plan::eval(context, state, node, inputs);
                // Node 0 is the picture.
                if let Some(time) = node.id.checked_sub(1).and_then(|layer| times.get_mut(layer)) {
                    *time = begun.elapsed();
                }
                result
            })?
        };
        out.clear();
        out.extend_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}
