//! ONNX → tract's typed graph → our [`Net`](super::ir::Net), operator by operator.
//!
//! `half` and `quantized` first make a float32 network of the file; tract then knows every shape and
//! computes what does not depend on the picture. `lower` walks over its graph: what only moves
//! numbers becomes a `view`, all else one primitive of ours; what lies in the way of that `general`
//! makes loops in float.

mod attention;
mod constant;
mod conv;
mod elementwise;
mod general;
mod half;
mod held;
mod lower;
mod moves;
mod order;
mod product;
mod prune;
mod quantized;
mod text;
mod tokens;
mod view;

use std::io::Cursor;
use std::sync::Arc;

use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TypedModel;

pub(super) use lower::lower;
pub use text::{MAX_CONTEXT, TextNetwork};

use super::ImportError;

/// Names that a picture's feature has where a network has several outputs, the best first.
const FEATURES: [&str; 5] =
    ["image_embeds", "image_features", "pooler_output", "sentence_embedding", "feature"];

/// A network as tract reads it.
pub(super) struct Onnx {
    typed: TypedModel,
    /// Inputs beside the picture that are constant, and what they are.
    held: Vec<(OutletId, Arc<Tensor>)>,
}

/// Reads an ONNX network for one picture of `size` x `size` and lets tract compute its constants.
/// `output` names the result to take.
pub(super) fn read(onnx: &[u8], size: usize, output: Option<&str>) -> Result<Onnx, ImportError> {
    let error = |error| ImportError::Onnx { size, error };
    let reader = tract_onnx::onnx().with_ignore_value_info(true);
    let mut proto = reader.proto_model_for_read(&mut Cursor::new(onnx)).map_err(error)?;
    let graph = prepare(&mut proto, output, &FEATURES)?;
    let mut constants = held::hold(graph)?;
    let mut model = reader.model_for_proto_model(&proto).map_err(error)?;
    drop(proto);
    let mut picture = None;
    let mut held = Vec::new();
    for (at, outlet) in model.inputs.clone().into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        if let Some(known) = constants.iter().position(|(n, _)| *n == name) {
            let (name, tensor) = constants.swap_remove(known);
            let fact = f32::fact(tensor.shape());
            model.set_input_fact(at, fact.into()).map_err(error)?;
            held.push((name, tensor.into_arc_tensor()));
        } else if picture.replace(at).is_some() {
            return Err(ImportError::Interface {
                what: "interface",
                found: format!("{} inputs", model.inputs.len()),
                wanted: "one input, the picture".into(),
            });
        }
    }
    let Some(picture) = picture else {
        return Err(ImportError::Interface {
            what: "interface",
            found: "no input".into(),
            wanted: "one input, the picture".into(),
        });
    };
    model.set_input_fact(picture, f32::fact([1, 3, size, size]).into()).map_err(error)?;
    // The picture first, the constants behind it.
    let mut inputs = model.inputs.clone();
    inputs.swap(0, picture);
    model.set_input_outlets(&inputs).map_err(error)?;
    // Not decluttered: tract's passes over axes give other graphs on other processors.
    let mut typed = model.into_typed().map_err(error)?;
    typed.prop_consts().map_err(error)?;
    typed.compact().map_err(error)?;
    let held = held.into_iter().filter_map(|(name, tensor)| {
        let outlet = typed.inputs.iter().find(|outlet| typed.node(outlet.node).name == name);
        Some((*outlet?, tensor))
    });
    Ok(Onnx { held: held.collect(), typed })
}

impl Onnx {
    /// Runs it in tract on a picture, `[3][size][size]`, normalized.
    pub(super) fn run(&self, planes: &[f32], size: usize) -> TractResult<Vec<f32>> {
        let mut inputs = tvec!(Tensor::from_shape(&[1, 3, size, size], planes)?.into());
        for outlet in &self.typed.inputs[1..] {
            let held = self.held.iter().find(|(held, _)| held == outlet);
            inputs.extend(held.map(|(_, tensor)| tensor.clone().into_tvalue()));
        }
        let model = self.typed.clone().into_optimized()?.into_runnable()?;
        let output = model.run(inputs)?;
        Ok(output[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }
}

/// Makes a float32 network with one output of the file: `output`, or the first of `known` names where
/// there are several.
fn prepare<'p>(
    proto: &'p mut ModelProto,
    output: Option<&str>,
    known: &[&str],
) -> Result<&'p mut GraphProto, ImportError> {
    let Some(graph) = &mut proto.graph else {
        return Err(ImportError::Interface {
            what: "file",
            found: "without a graph".into(),
            wanted: "an ONNX network".into(),
        });
    };
    graph.value_info.clear();
    choose_output(graph, output, known)?;
    prune::prune(graph);
    half::widen(graph)?;
    quantized::to_float(graph)?;
    // tract takes for granted that there is such a value.
    let name = &graph.output[0].name;
    let made = graph.node.iter().any(|node| node.output.contains(name));
    if !made {
        return Err(ImportError::Interface {
            what: "output",
            found: name.clone(),
            wanted: "what a node gives".into(),
        });
    }
    Ok(graph)
}

/// Leaves the one output that is the feature.
fn choose_output(
    graph: &mut GraphProto,
    wanted: Option<&str>,
    known: &[&str],
) -> Result<(), ImportError> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let found = || names.join(", ");
    if names.is_empty() {
        return Err(ImportError::Interface {
            what: "outputs",
            found: "missing".into(),
            wanted: "the feature".into(),
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
        let known = known.iter().find_map(|name| names.iter().position(|n| n == name));
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
