use super::{TextError, Tokenizer, Tokens};
use crate::encoder::import::TextNetwork;

/// The text encoder of a CLIP or a SigLIP out of an ONNX file.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    network: TextNetwork,
}

impl TextEncoder {
    /// Reads a network with one input `[batch, tokens]` of token ids (perhaps a mask beside it) and one
    /// output `[batch, dim]`, or several outputs one of which `output` names. Where the file leaves the
    /// number of tokens open, it is `context`, or else what is usual for the tokenizer.
    ///
    /// # Errors
    /// [`TextError::Network`]; also for a `context` that the network does not read.
    pub fn parse(
        onnx: &[u8],
        tokenizer: &Tokenizer,
        context: Option<usize>,
        output: Option<&str>,
    ) -> Result<Self, TextError> {
        Ok(Self { network: TextNetwork::read(onnx, context, tokenizer.context(), output)? })
    }

    /// Tokens that it reads.
    #[must_use]
    pub fn context(&self) -> usize {
        self.network.context()
    }

    /// Length of an embedding.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.network.dim()
    }

    /// The embedding of a text's tokens, [`context`](Self::context) of them, as the network gives it.
    ///
    /// # Errors
    /// [`TextError::Network`]: most often a vocabulary that is larger than the network's.
    pub fn encode(&self, tokens: &Tokens) -> Result<Vec<f32>, TextError> {
        Ok(self.network.run(&tokens.ids, &tokens.seen)?)
    }
}
