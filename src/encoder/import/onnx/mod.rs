//! ONNX → tract's typed graph → our [`Net`](super::ir::Net), operator by operator.
//!
//! `half` and `quantized` first make a float32 network of the file; tract then knows every shape and
//! computes what does not depend on the picture. `lower` walks over its graph: what only moves
//! numbers becomes a `view`, all else one primitive of ours.

mod attention;
mod constant;
mod conv;
mod elementwise;
mod half;
mod lower;
mod moves;
mod order;
mod product;
mod quantized;
mod tokens;
mod view;

use std::io::Cursor;

use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TypedModel;

pub(super) use lower::lower;

use super::ImportError;

/// Names that a picture's feature has where a network has several outputs, the best first.
const FEATURES: [&str; 5] =
    ["image_embeds", "image_features", "pooler_output", "sentence_embedding", "feature"];

/// Reads an ONNX network for one picture of `size` x `size` and lets tract compute its constants.
/// `output` names the result to take.
pub(super) fn read(
    onnx: &[u8],
    size: usize,
    output: Option<&str>,
) -> Result<TypedModel, ImportError> {
    let error = |error| ImportError::Onnx { size, error };
    let reader = tract_onnx::onnx().with_ignore_value_info(true);
    let mut proto = reader.proto_model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
    prepare(&mut proto, output)?;
    let mut model = reader.model_for_proto_model(&proto).map_err(error)?;
    drop(proto);
    if model.inputs.len() != 1 {
        return Err(ImportError::Interface {
            what: "interface",
            found: format!("{} inputs", model.inputs.len()),
            wanted: "one input, the picture".into(),
        });
    }
    model.set_input_fact(0, f32::fact([1, 3, size, size]).into()).map_err(error)?;
    // Not decluttered: tract's passes over axes give other graphs on other processors.
    let mut typed = model.into_typed().map_err(error)?;
    typed.prop_consts().map_err(error)?;
    typed.compact().map_err(error)?;
    Ok(typed)
}

/// Makes a float32 network with one output of the file.
fn prepare(proto: &mut ModelProto, output: Option<&str>) -> Result<(), ImportError> {
    let Some(graph) = &mut proto.graph else {
        return Err(ImportError::Interface {
            what: "file",
            found: "without a graph".into(),
            wanted: "an ONNX network".into(),
        });
    };
    graph.value_info.clear();
    choose_output(graph, output)?;
    half::widen(graph)?;
    quantized::to_float(graph)?;
    // tract takes for granted that there is such a value.
    let name = &graph.output[0].name;
    let made = graph.node.iter().any(|node| node.output.contains(name));
    made.then_some(()).ok_or_else(|| ImportError::Interface {
        what: "output",
        found: name.clone(),
        wanted: "what a node gives".into(),
    })
}

/// Leaves the one output that is the picture's feature.
fn choose_output(graph: &mut GraphProto, wanted: Option<&str>) -> Result<(), ImportError> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let found = || names.join(", ");
    if names.is_empty() {
        return Err(ImportError::Interface {
            what: "outputs",
            found: "missing".into(),
            wanted: "the picture's feature".into(),
        });
    }
    let chosen = if let Some(wanted) = wanted {
        names.iter().position(|name| *name == wanted).ok_or_else(|| ImportError::Interface {
            what: "outputs",
            found: found(),
            wanted: format!("among them {wanted}"),
        })?
    } else if names.len() == 1 {
        0
    } else {
        let known = FEATURES.iter().find_map(|name| names.iter().position(|n| n == name));
        known.ok_or_else(|| ImportError::Interface {
            what: "outputs",
            found: found(),
            wanted: "one output; name the one to take".into(),
        })?
    };
    let output = graph.output.swap_remove(chosen);
    graph.output = vec![output];
    Ok(())
}
