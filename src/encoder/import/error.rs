use tract_onnx::prelude::TractError;

use crate::asset::{AssetError, FileError};
use crate::encoder::EncoderError;

/// What the importer can take, for messages.
const SUPPORTED: &str = "known are vision transformers and convolutional networks: convolutions \
                         (square kernels), linear layers, attention, layer and batch \
                         normalization, ReLU, GELU, SiLU, hard swish, sigmoid gates, sums, average \
                         pools, and in float copies, concatenations, softmax, products and \
                         functions of one or two values; export the image encoder alone, for one \
                         picture, without preprocessing";

/// Why a network cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// tract cannot read the file, or not with a picture of this size.
    #[error(
        "this is not an ONNX network that can be read with pictures of {size} x {size}: {error:#}"
    )]
    Onnx {
        /// Side of the picture.
        size: usize,
        /// tract's words.
        error: TractError,
    },
    /// tract cannot read or run a text encoder.
    #[error(
        "this is not an ONNX text encoder that can be run: {0:#}; export CLIP's text encoder with its \
         projection, as optimum's text_model.onnx"
    )]
    Text(TractError),
    /// The network does not have one input `[1, 3, size, size]` and one output.
    #[error("the network's {what} is {found}, it must be {wanted}")]
    Interface {
        /// Input or output.
        what: &'static str,
        /// What there is.
        found: String,
        /// What there must be.
        wanted: String,
    },
    /// Weights or constants that are damaged, or of a type that is unknown here.
    #[error("tensor {name} cannot be read: {error:#}")]
    Tensor {
        /// The tensor.
        name: String,
        /// tract's words.
        error: TractError,
    },
    /// An operator that is known neither in int8 nor in float.
    #[error("node {node}: {op} cannot be imported ({why}); {SUPPORTED}")]
    Unsupported {
        /// The ONNX node.
        node: String,
        /// Its operator.
        op: String,
        /// What about it.
        why: String,
    },
    /// The picture goes into something else than a convolution.
    #[error(
        "node {node}: {op} reads the picture, which only a convolution may do; export the encoder \
         without preprocessing, mean and deviation are given to the import"
    )]
    Picture {
        /// The ONNX node.
        node: String,
        /// Its operator.
        op: &'static str,
    },
    /// The calibration pictures are missing or of another size.
    #[error(
        "calibration pictures: {found} bytes are not one or more pictures of {size} x {size} RGB; \
         give a directory with photographs like those that the camera will see"
    )]
    Pictures {
        /// Side of a picture.
        size: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The rewritten network computes something else than the ONNX file.
    #[error(
        "the rewritten network differs from the ONNX file (cosine {cosine:.6}): please report this \
         network"
    )]
    Rewritten {
        /// Cosine between their features on a calibration picture.
        cosine: f64,
    },
    /// The int8 encoder is too far from the float network.
    #[error(
        "the int8 encoder's features have a mean cosine of {cosine:.4} to the float network's, \
         {wanted} is wanted: give more or more typical calibration pictures, check mean and \
         deviation of the preprocessing, keep some layers in float (--mixed {wanted:.4}), or lower the \
         limit"
    )]
    Cosine {
        /// What was reached.
        cosine: f64,
        /// What was asked for.
        wanted: f64,
    },
    /// The projection's file is of another shape.
    #[error("projection: {0}")]
    Projection(String),
    /// The text bank's file is of another shape.
    #[error("text bank: {0}")]
    TextBank(String),
    /// The new sections cannot be read back.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// The new sections do not make a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The new encoder does not run.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
}
