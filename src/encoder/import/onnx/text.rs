//! A text encoder in float, run by tract as it is: it makes rows once, on the host, and no device has it.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::pb::GraphProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::super::ImportError;
use super::prepare;

/// Names that a text's feature has where a network has several outputs, the best first.
const FEATURES: [&str; 4] = ["text_embeds", "text_features", "sentence_embedding", "pooler_output"];

/// The input that says which tokens are padding. CLIP's attention never looks ahead, so all count.
const MASK: &str = "attention_mask";

/// A text encoder that reads `[1, context]` token ids and gives `[1, dim]`.
#[derive(Clone, Debug)]
pub struct TextNetwork {
    plan: Arc<TypedRunnableModel>,
    /// Type of each input, and whether it is the mask.
    inputs: Vec<(DatumType, bool)>,
    context: usize,
    tokens: i64,
    dim: usize,
}

impl TextNetwork {
    /// Reads an ONNX file for texts of `context` tokens. `output` names the result to take.
    ///
    /// # Errors
    /// [`ImportError::Text`], [`ImportError::Interface`].
    pub fn read(onnx: &[u8], context: usize, output: Option<&str>) -> Result<Self, ImportError> {
        let error = ImportError::Text;
        let interface =
            |what, found, wanted: String| ImportError::Interface { what, found, wanted };
        let reader = tract_onnx::onnx().with_ignore_value_info(true);
        let mut proto = reader.proto_model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
        let tokens = tokens(prepare(&mut proto, output, &FEATURES)?);
        let mut model = reader.model_for_proto_model(&proto).map_err(error)?;
        drop(proto);

        let wanted = format!("[batch, {context}] token ids, as whole numbers");
        let mut inputs = Vec::new();
        for (at, outlet) in model.inputs.clone().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let fact = model.input_fact(at).map_err(error)?;
            let kind = fact.datum_type.concretize().unwrap_or(DatumType::F32);
            let dims: Vec<_> = fact.shape.dims().map(|dim| dim.concretize()).collect();
            let fits = match dims.as_slice() {
                [_, Some(tokens)] => {
                    tokens.to_i64().map_or(true, |tokens| tokens == context as i64)
                }
                [_, None] => true,
                _ => false,
            };
            if !fits || ![DatumType::I64, DatumType::I32].contains(&kind) {
                let found = format!("{name} {fact:?}");
                return Err(interface("input", found, wanted));
            }
            let fact = InferenceFact::dt_shape(kind, [1, context]);
            model.set_input_fact(at, fact).map_err(error)?;
            inputs.push((kind, name == MASK));
        }
        let texts = inputs.iter().filter(|(_, mask)| !mask).count();
        if texts != 1 {
            return Err(interface("interface", format!("{texts} inputs without a mask"), wanted));
        }
        let typed = model.into_typed().map_err(error)?;
        let shape = typed.output_fact(0).map_err(error)?.shape.as_concrete().map(<[_]>::to_vec);
        let Some([1, dim]) = shape.as_deref() else {
            let wanted = "[batch, dim], one vector a text: name the output to take".into();
            return Err(interface("output", format!("{shape:?}"), wanted));
        };
        let dim = *dim;
        let Some(tokens) = tokens else {
            let wanted = "a table with a row for each token".into();
            return Err(interface("first node", "something else".into(), wanted));
        };
        let plan = typed.into_optimized().and_then(|model| model.into_runnable()).map_err(error)?;
        Ok(Self { plan, inputs, context, tokens, dim })
    }

    /// Length of a feature.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The feature of one text's token ids, as long as the context; not of unit norm.
    ///
    /// # Errors
    /// [`ImportError::Text`]; [`ImportError::Interface`] for a token that it does not have.
    pub fn run(&self, ids: &[u32]) -> Result<Vec<f32>, ImportError> {
        // tract would panic
        if let Some(id) = ids.iter().find(|&&id| i64::from(id) >= self.tokens) {
            return Err(ImportError::Interface {
                what: "vocabulary",
                found: format!("{} tokens", self.tokens),
                wanted: format!("the tokenizer's, which has a token {id}"),
            });
        }
        let run = || {
            let mut inputs = tvec!();
            for &(kind, mask) in &self.inputs {
                let ids = ids.iter().map(|&id| if mask { 1 } else { i64::from(id) });
                let ids = Tensor::from_shape(&[1, self.context], &ids.collect::<Vec<i64>>())?;
                inputs.push(ids.cast_to_dt(kind)?.into_owned().into_tvalue());
            }
            let output = self.plan.run(inputs)?;
            let feature = output[0].cast_to::<f32>()?;
            TractResult::Ok(feature.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        };
        run().map_err(ImportError::Text)
    }
}

/// Rows of the table that the token ids are looked up in.
fn tokens(graph: &GraphProto) -> Option<i64> {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let mut ids: HashSet<&str> = inputs.filter(|name| *name != MASK).collect();
    for node in &graph.node {
        let reads = |at: usize| node.input.get(at).is_some_and(|name| ids.contains(name.as_str()));
        match node.op_type.as_str() {
            "Cast" | "Identity" | "Reshape" if reads(0) => {
                ids.extend(node.output.iter().map(String::as_str));
            }
            "Gather" if reads(1) => {
                let table = graph.initializer.iter().find(|table| table.name == node.input[0]);
                return table?.dims.first().copied();
            }
            _ => {}
        }
    }
    None
}
