//! A text encoder in float, run by tract as it is: it makes rows once, on the host, and no device has it.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::pb::{GraphProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::super::ImportError;
use super::prepare;

/// Names that a text's feature has where a network has several outputs, the best first.
const FEATURES: [&str; 4] = ["text_embeds", "text_features", "sentence_embedding", "pooler_output"];

/// The input that says which tokens may be looked at.
const MASK: &str = "attention_mask";

/// Tokens that a text encoder reads at most.
pub const MAX_CONTEXT: usize = 4096;

/// A table with fewer rows is of something else than positions, as of kinds of tokens.
const LEAST_POSITIONS: usize = 16;

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
    /// Reads an ONNX file for texts of as many tokens as its input says; where it leaves that open, of
    /// `asked` or else `usual` tokens. `output` names the result to take.
    ///
    /// # Errors
    /// [`ImportError::Text`], [`ImportError::Interface`]: also where `asked` is not what it reads.
    pub fn read(
        onnx: &[u8],
        asked: Option<usize>,
        usual: usize,
        output: Option<&str>,
    ) -> Result<Self, ImportError> {
        let error = ImportError::Text;
        let interface =
            |what, found, wanted: String| ImportError::Interface { what, found, wanted };
        let reader = tract_onnx::onnx().with_ignore_value_info(true);
        let mut proto = reader.proto_model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
        let graph = prepare(&mut proto, output, &FEATURES)?;
        let table = tokens(graph);
        let tables = other_tables(graph, table);
        let tokens = table.and_then(|table| table.dims.first().copied());
        let mut model = reader.model_for_proto_model(&proto).map_err(error)?;
        drop(proto);

        let mut context = asked;
        let mut inputs = Vec::new();
        for (at, outlet) in model.inputs.clone().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let fact = model.input_fact(at).map_err(error)?;
            let kind = fact.datum_type.concretize().unwrap_or(DatumType::F32);
            let dims: Vec<_> = fact.shape.dims().map(|dim| dim.concretize()).collect();
            let length = match dims.as_slice() {
                [_, length] => Some(length.as_ref().and_then(|length| length.to_i64().ok())),
                _ => None,
            };
            let fits = match length {
                Some(Some(fixed)) => {
                    let fixed = usize::try_from(fixed).unwrap_or(0);
                    let other = *context.get_or_insert(fixed);
                    fixed == other && (1..=MAX_CONTEXT).contains(&fixed)
                }
                Some(None) => true,
                None => false,
            };
            if !fits || ![DatumType::I64, DatumType::I32].contains(&kind) {
                let found = format!("{name} {fact:?}");
                return Err(interface("input", found, wanted(context)));
            }
            inputs.push((kind, name == MASK));
        }
        let context = context.unwrap_or(usual);
        // of positions; tract would panic
        let short = tables.into_iter().find(|rows| (LEAST_POSITIONS..context).contains(rows));
        if let Some(rows) = short {
            let wanted = format!("as many as a text has tokens here, {context}");
            return Err(interface("number of positions", rows.to_string(), wanted));
        }
        for (at, &(kind, _)) in inputs.iter().enumerate() {
            let fact = InferenceFact::dt_shape(kind, [1, context]);
            model.set_input_fact(at, fact).map_err(error)?;
        }
        let texts = inputs.iter().filter(|(_, mask)| !mask).count();
        if texts != 1 {
            let found = format!("{texts} inputs without a mask");
            return Err(interface("interface", found, wanted(asked)));
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

    /// Tokens that it reads.
    #[must_use]
    pub fn context(&self) -> usize {
        self.context
    }

    /// Length of a feature.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The feature of one text: its token ids and which of them may be looked at, both as long as the
    /// context; not of unit norm.
    ///
    /// # Errors
    /// [`ImportError::Text`]; [`ImportError::Interface`] for a token that it does not have.
    pub fn run(&self, ids: &[u32], seen: &[bool]) -> Result<Vec<f32>, ImportError> {
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
                let values: Vec<i64> = match mask {
                    true => seen.iter().map(|&seen| seen.into()).collect(),
                    false => ids.iter().map(|&id| id.into()).collect(),
                };
                let values = Tensor::from_shape(&[1, self.context], &values)?;
                inputs.push(values.cast_to_dt(kind)?.into_owned().into_tvalue());
            }
            let output = self.plan.run(inputs)?;
            let feature = output[0].cast_to::<f32>()?;
            TractResult::Ok(feature.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        };
        run().map_err(ImportError::Text)
    }
}

/// What the token ids must be like, for messages.
fn wanted(context: Option<usize>) -> String {
    let tokens = context.map_or("tokens".to_owned(), |context| context.to_string());
    format!("[batch, {tokens}] token ids, as whole numbers")
}

/// Rows of every table that something else than token ids is looked up in.
fn other_tables(graph: &GraphProto, tokens: Option<&TensorProto>) -> Vec<usize> {
    let gathers = graph.node.iter().filter(|node| node.op_type == "Gather");
    let read: HashSet<&str> =
        gathers.filter_map(|node| node.input.first()).map(String::as_str).collect();
    let of_tokens = tokens.map(|table| table.name.as_str());
    let tables = graph.initializer.iter();
    tables
        .filter(|table| read.contains(&*table.name) && of_tokens != Some(&*table.name))
        .filter_map(|table| match table.dims.as_slice() {
            &[rows, _] => usize::try_from(rows).ok(),
            _ => None,
        })
        .collect()
}

/// The table that the token ids are looked up in.
fn tokens(graph: &GraphProto) -> Option<&TensorProto> {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let mut ids: HashSet<&str> = inputs.filter(|name| *name != MASK).collect();
    for node in &graph.node {
        let reads = |at: usize| node.input.get(at).is_some_and(|name| ids.contains(name.as_str()));
        match node.op_type.as_str() {
            "Cast" | "Identity" | "Reshape" if reads(0) => {
                ids.extend(node.output.iter().map(String::as_str));
            }
            "Gather" if reads(1) => {
                return graph.initializer.iter().find(|table| table.name == node.input[0]);
            }
            _ => {}
        }
    }
    None
}
