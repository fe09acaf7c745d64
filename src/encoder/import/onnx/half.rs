//! float16 → float32: weights, constants and casts. The network's own arithmetic then needs no
//! rounding, and nothing after this knows of float16.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, TensorProto};

use super::super::ImportError;
use super::constant;

const HALF: i32 = DataType::Float16 as i32;
const FLOAT: i32 = DataType::Float as i32;

/// Turns everything in float16 into float32.
pub(super) fn widen(graph: &mut GraphProto) -> Result<(), ImportError> {
    for tensor in &mut graph.initializer {
        widen_tensor(tensor)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(tensor) = &mut attribute.t {
            widen_tensor(tensor)?;
        }
    }
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Cast") {
        let to = node.attribute.iter_mut().filter(|a| a.name == "to" && a.i == i64::from(HALF));
        to.for_each(|attribute| attribute.i = i64::from(FLOAT));
    }
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(Value::TensorType(tensor)) =
            info.r#type.as_mut().and_then(|kind| kind.value.as_mut())
            && tensor.elem_type == HALF
        {
            tensor.elem_type = FLOAT;
        }
    }
    Ok(())
}

fn widen_tensor(tensor: &mut TensorProto) -> Result<(), ImportError> {
    if tensor.data_type == HALF {
        let values = constant::floats(tensor)?;
        constant::set_floats(tensor, &values);
    }
    Ok(())
}
