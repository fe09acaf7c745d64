use tract_onnx::prelude::TractError;

use crate::asset::{AssetError, FileError};
use crate::encoder::EncoderError;

/// What the importer can take, for messages.
const SUPPORTED: &str = "supported are convolutional networks of Conv (dense or depthwise, square \
                         kernels up to 7, no dilation), BatchNormalization, Relu, Relu6 or Clip, \
                         residual Add, and a global average pool at the end";

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
    /// An operator that has no place in an encoder.
    #[error("node {node}: {op} cannot be imported ({why}); {SUPPORTED}")]
    Unsupported {
        /// The ONNX node.
        node: String,
        /// Its operator.
        op: String,
        /// What about it.
        why: String,
    },
    /// An operator that could not be made part of a convolution.
    #[error("node {node}: {op} does not belong to a convolution before it; {SUPPORTED}")]
    Unfolded {
        /// The ONNX node.
        node: String,
        /// Its operator.
        op: &'static str,
    },
    /// The network does not end as encoders do.
    #[error(
        "node {node}: an encoder must end, and only end, with a 1x1 convolution and the mean over \
         all positions"
    )]
    End {
        /// The ONNX node.
        node: String,
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
         deviation of the preprocessing, or lower the limit"
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
