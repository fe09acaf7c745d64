use super::{CONTEXT, TextError};
use crate::encoder::import::TextNetwork;

/// A CLIP's text encoder out of an ONNX file.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    network: TextNetwork,
}

impl TextEncoder {
    /// Reads a network with one input `[batch, 77]` of token ids (perhaps a mask beside it) and one
    /// output `[batch, dim]`, or several outputs one of which `output` names.
    ///
    /// # Errors
    /// [`TextError::Network`].
    pub fn parse(onnx: &[u8], output: Option<&str>) -> Result<Self, TextError> {
        Ok(Self { network: TextNetwork::read(onnx, CONTEXT, output)? })
    }

    /// Length of an embedding.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.network.dim()
    }

    /// The embedding of a text's token ids, as the network gives it.
    ///
    /// # Errors
    /// [`TextError::Network`]: most often a vocabulary that is larger than the network's.
    pub fn encode(&self, ids: &[u32; CONTEXT]) -> Result<Vec<f32>, TextError> {
        Ok(self.network.run(ids)?)
    }
}
