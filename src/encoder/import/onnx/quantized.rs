//! Already quantized networks → float32: weights get their real values, and activations are no
//! longer rounded. The int8 codes of the file are of no use here, since ours are chosen from what
//! this network's values really are.
//!
//! Two forms are known. QDQ: `QuantizeLinear` and `DequantizeLinear` around float operators.
//! Dynamic: `DynamicQuantizeLinear`, then `MatMulInteger` or `ConvInteger`, whose result is
//! multiplied by the scales of both sides.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::super::ImportError;
use super::constant::{floats, set_floats};

/// Operators whose results a quantizer may bound: a ReLU in front of it is left out of the file.
const BOUNDED: [&str; 4] = ["Conv", "Gemm", "MatMul", "Add"];

/// Takes all quantization out.
pub(super) fn to_float(graph: &mut GraphProto) -> Result<(), ImportError> {
    let quantized = ["DequantizeLinear", "DynamicQuantizeLinear"];
    if !graph.node.iter().any(|node| quantized.contains(&node.op_type.as_str())) {
        return Ok(());
    }
    let mut pass = Pass::new(graph);
    let nodes = std::mem::take(&mut graph.node);
    for node in nodes {
        pass.node(node)?;
    }
    for output in &mut graph.output {
        pass.resolve(&mut output.name);
    }
    graph.node = pass.nodes;
    graph.initializer = pass.tensors.into_values().collect();
    // The same order in every run, and so the same graph.
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

struct Pass {
    nodes: Vec<NodeProto>,
    tensors: HashMap<String, TensorProto>,
    /// Values that are now others.
    renamed: HashMap<String, String>,
    /// What the quantized values in the graph were made of: input, scale, zero point.
    quantized: HashMap<String, [String; 3]>,
    /// Values that a quantizer may bound.
    bounded: HashSet<String>,
}

impl Pass {
    fn new(graph: &mut GraphProto) -> Self {
        let tensors = std::mem::take(&mut graph.initializer);
        let outputs = graph.node.iter().filter(|node| BOUNDED.contains(&node.op_type.as_str()));
        Self {
            nodes: Vec::new(),
            bounded: outputs.flat_map(|node| node.output.iter().cloned()).collect(),
            tensors: tensors.into_iter().map(|t| (t.name.clone(), t)).collect(),
            renamed: HashMap::new(),
            quantized: HashMap::new(),
        }
    }

    fn node(&mut self, mut node: NodeProto) -> Result<(), ImportError> {
        node.input.iter_mut().for_each(|input| self.resolve(input));
        match node.op_type.as_str() {
            "Constant" => {
                let tensor = node.attribute.iter().find_map(|attribute| attribute.t.clone());
                if let (Some(tensor), Some(name)) = (tensor, node.output.first()) {
                    self.add(name, tensor);
                    return Ok(());
                }
            }
            "QuantizeLinear" => {
                let operand = |i: usize| node.input.get(i).cloned().unwrap_or_default();
                let Some(output) = node.output.first() else { return Ok(()) };
                self.quantized.insert(output.clone(), [operand(0), operand(1), operand(2)]);
                return Ok(());
            }
            "DequantizeLinear" => return self.dequantize(node),
            "DynamicQuantizeLinear" => {
                if let [input, ..] = node.input.as_slice()
                    && let [codes, scale, ..] = node.output.as_slice()
                {
                    self.renamed.insert(codes.clone(), input.clone());
                    let mut one = TensorProto::default();
                    set_floats(&mut one, &[1.0]);
                    self.add(scale, one);
                }
                return Ok(());
            }
            "MatMulInteger" | "ConvInteger" => {
                let Some(weights) = node.input.get(1).cloned() else { return Ok(()) };
                let zero = node.input.get(3).cloned();
                // Real values of a code's size: the scales follow in the graph.
                let name = format!("{weights} without zero point");
                let outputs = if node.op_type == "ConvInteger" { 0 } else { -1 };
                self.dequantized(&node, &weights, None, zero.as_deref(), outputs, &name)?;
                node.input.truncate(1);
                node.input.push(name);
                node.op_type = node.op_type.trim_end_matches("Integer").into();
            }
            _ => {}
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The name that a value has now.
    fn resolve(&self, name: &mut String) {
        while let Some(now) = self.renamed.get(name) {
            name.clone_from(now);
        }
    }

    fn add(&mut self, name: &str, tensor: TensorProto) {
        self.tensors.insert(name.into(), TensorProto { name: name.into(), ..tensor });
    }

    fn dequantize(&mut self, node: NodeProto) -> Result<(), ImportError> {
        let ([codes, scale, zero @ ..], [output]) = (node.input.as_slice(), node.output.as_slice())
        else {
            return Err(unsupported(&node, "it has too few inputs"));
        };
        let Some([input, scale, zero]) = self.quantized.get(codes).cloned() else {
            let axis = node.attribute.iter().find(|a| a.name == "axis").map_or(1, |a| a.i);
            let zero = zero.first().map(String::as_str);
            return self.dequantized(&node, codes, Some(scale), zero, axis, output);
        };
        // Codes that begin at zero cut off what is negative: that was a ReLU.
        if self.bounded.contains(&input) {
            let (lo, hi) = self.range(&node, &scale, &zero)?;
            if lo == 0.0 {
                self.clip(&node, input, output, hi);
                return Ok(());
            }
        }
        self.renamed.insert(output.clone(), input);
        Ok(())
    }

    /// The least and greatest value that a quantizer's codes stand for.
    fn range(&self, node: &NodeProto, scale: &str, zero: &str) -> Result<(f32, f32), ImportError> {
        let scale = self.floats(node, scale)?;
        let (Some(zero), [scale]) = (self.tensors.get(zero), scale.as_slice()) else {
            return Err(unsupported(node, "activations with a scale for each channel"));
        };
        let (least, greatest) = match DataType::try_from(zero.data_type) {
            Ok(DataType::Uint8) => (0.0, 255.0),
            Ok(DataType::Int8) => (-128.0, 127.0),
            Ok(DataType::Uint16) => (0.0, 65535.0),
            Ok(DataType::Int16) => (-32768.0, 32767.0),
            _ => return Err(unsupported(node, "codes that are not of 8 or 16 bits")),
        };
        let zero = floats(zero)?.first().copied().unwrap_or(0.0);
        Ok(((least - zero) * scale, (greatest - zero) * scale))
    }

    fn clip(&mut self, node: &NodeProto, input: String, output: &str, hi: f32) {
        let bounds = [("lo", 0.0), ("hi", hi)].map(|(what, bound)| {
            let name = format!("{output} {what}");
            let mut tensor = TensorProto::default();
            set_floats(&mut tensor, &[bound]);
            self.add(&name, tensor);
            name
        });
        let [lo, hi] = bounds;
        self.nodes.push(NodeProto {
            name: node.name.clone(),
            op_type: "Clip".into(),
            input: vec![input, lo, hi],
            output: vec![output.into()],
            ..NodeProto::default()
        });
    }

    /// Adds a constant: `(codes - zero) * scale`, these two one for all or one for each index of
    /// `axis`.
    fn dequantized(
        &mut self,
        node: &NodeProto,
        codes: &str,
        scale: Option<&str>,
        zero: Option<&str>,
        axis: i64,
        name: &str,
    ) -> Result<(), ImportError> {
        let values = self.floats(node, codes)?;
        let dims = self.tensors[codes].dims.clone();
        let scale = scale.map_or(Ok(vec![1.0]), |scale| self.floats(node, scale))?;
        let zero = match zero.filter(|zero| !zero.is_empty()) {
            Some(zero) => self.floats(node, zero)?,
            None => vec![0.0],
        };
        let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let axis = usize::try_from(axis).unwrap_or(usize::MAX);
        let inner: i64 = dims.iter().skip(axis.saturating_add(1)).product();
        let along = dims.get(axis).copied().unwrap_or(1);
        if [&scale, &zero].iter().any(|each| each.len() != 1 && each.len() as i64 != along) {
            return Err(unsupported(node, "blocks of weights with scales of their own"));
        }
        let of = |each: &[f32], at: usize| match each {
            [one] => *one,
            _ => each[at / inner as usize % each.len()],
        };
        let values: Vec<f32> = values
            .iter()
            .enumerate()
            .map(|(at, code)| (code - of(&zero, at)) * of(&scale, at))
            .collect();
        let mut tensor = TensorProto { dims, ..TensorProto::default() };
        set_floats(&mut tensor, &values);
        self.add(name, tensor);
        Ok(())
    }

    fn floats(&self, node: &NodeProto, name: &str) -> Result<Vec<f32>, ImportError> {
        let tensor = self.tensors.get(name);
        floats(tensor.ok_or_else(|| unsupported(node, "its codes or scales are no constants"))?)
    }
}

fn unsupported(node: &NodeProto, why: &str) -> ImportError {
    ImportError::Unsupported { node: node.name.clone(), op: node.op_type.clone(), why: why.into() }
}
