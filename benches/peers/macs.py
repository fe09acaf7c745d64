"""Counts a network's multiply-accumulates by kind, from the shapes of one run."""

import json
import math

import numpy as np
import onnx
import onnxruntime


def count_macs(path, out):
    """Writes {"conv", "depthwise", "linear", "attention"} in units of one."""
    model = onnx.load(path)
    graph = model.graph
    shapes = {w.name: list(w.dims) for w in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = next((list(a.t.dims) for a in node.attribute if a.name == "value"), None)
        elif node.op_type == "Identity" and node.input[0] in shapes:  # a weight that the exporter found twice
            shapes[node.output[0]] = shapes[node.input[0]]
    constant = set(shapes)
    nodes = [n for n in graph.node if n.op_type in ("Conv", "MatMul", "Gemm")]
    outputs = {o.name for o in graph.output}
    asked = {t for n in nodes for t in (*n.input[:2], n.output[0])} - constant - outputs
    picture = graph.input[0]
    asked.discard(picture.name)
    graph.output.extend(onnx.helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in sorted(asked))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.zeros([d.dim_value for d in picture.type.tensor_type.shape.dim], np.float32)
    shapes |= {o.name: v.shape for o, v in zip(session.get_outputs(), session.run(None, {picture.name: x}))}
    shapes[picture.name] = x.shape

    macs = dict.fromkeys(("conv", "depthwise", "linear", "attention"), 0)
    for node in nodes:
        a, b, y = (shapes[t] for t in (*node.input[:2], node.output[0]))
        if node.op_type == "Conv":
            groups = next((t.i for t in node.attribute if t.name == "group"), 1)
            macs["depthwise" if groups > 1 else "conv"] += math.prod(y) * math.prod(b[1:])
        else:
            macs["linear" if node.input[1] in constant else "attention"] += math.prod(y) * a[-1]
    out.write_text(json.dumps(macs))
