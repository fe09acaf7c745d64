//! Constants whose products with other constants are computed here and not by tract, whose matrix
//! kernels round differently on other processors. The query of an attention pooling is such a product.

use std::collections::{HashMap, HashSet};

use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value};
use tract_onnx::pb::{
    GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};
use tract_onnx::prelude::*;

use super::super::ImportError;

/// Operators that tract gives to a matrix kernel.
const PRODUCTS: [&str; 3] = ["MatMul", "Gemm", "Einsum"];

/// Makes inputs of the constants that go into products of constants. Gives their names and numbers.
pub(super) fn hold(graph: &mut GraphProto) -> Result<Vec<(String, Tensor)>, ImportError> {
    let names = wanted(graph);
    let (held, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.initializer)
        .into_iter()
        .partition(|tensor| names.contains(&tensor.name));
    graph.initializer = rest;
    let mut tensors = Vec::new();
    for proto in held {
        let tensor = tract_onnx::tensor::load_tensor(&MmapDataResolver, &proto, None);
        let name = proto.name.clone();
        tensors.push((name.clone(), tensor.map_err(|error| ImportError::Tensor { name, error })?));
        if graph.input.iter().all(|input| input.name != proto.name) {
            graph.input.push(input(&proto));
        }
    }
    Ok(tensors)
}

/// Initializers in float that reach the first input of a product of constants.
fn wanted(graph: &GraphProto) -> HashSet<String> {
    let float: HashSet<&str> = graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_type == DataType::Float as i32)
        .map(|tensor| tensor.name.as_str())
        .collect();
    let mut constant: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut makers: HashMap<&str, &NodeProto> = HashMap::new();
    let mut wanted = HashSet::new();
    for node in &graph.node {
        let fixed = ["Constant", "ConstantOfShape", "Shape", "Size"];
        let inputs = node.input.iter().filter(|input| !input.is_empty());
        let all = fixed.contains(&node.op_type.as_str())
            || inputs.clone().all(|input| constant.contains(input.as_str()));
        if !all {
            continue;
        }
        for output in &node.output {
            constant.insert(output);
            makers.insert(output, node);
        }
        if PRODUCTS.contains(&node.op_type.as_str()) {
            let mut from: Vec<&str> = node.input.first().map(String::as_str).into_iter().collect();
            let mut seen = HashSet::new();
            while let Some(name) = from.pop() {
                if !seen.insert(name) {
                    continue;
                }
                if float.contains(name) {
                    wanted.insert(name.to_string());
                }
                let maker = makers.get(name).filter(|maker| maker.op_type != "Shape");
                from.extend(maker.iter().flat_map(|maker| &maker.input).map(String::as_str));
            }
        }
    }
    wanted
}

fn input(proto: &TensorProto) -> ValueInfoProto {
    let dimension = |len: &i64| Dimension {
        value: Some(dimension::Value::DimValue(*len)),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: proto.dims.iter().map(dimension).collect() };
    let tensor = TensorType { elem_type: proto.data_type, shape: Some(shape) };
    let value = Some(Value::TensorType(tensor));
    ValueInfoProto {
        name: proto.name.clone(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
