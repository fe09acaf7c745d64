"""Export styles: the forms in which people have an encoder."""

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

OPSET = 17


def torchscript(module, example, path, outputs, dynamic_batch=False, opset=OPSET):
    """The exporter of most files in circulation; before operator set 17 without LayerNormalization."""
    axes = {name: {0: "batch_size"} for name in ("pixel_values", *outputs)} if dynamic_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            path,
            input_names=["pixel_values"],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
            do_constant_folding=True,
        )


def dynamo(module, example, path, outputs):
    """torch's newer exporter, weights inside of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (example,), input_names=["pixel_values"], output_names=list(outputs), dynamo=True, verbose=False
        )
    model = program.model_proto
    for item in (*model.graph.node, *model.graph.value_info):
        del item.metadata_props[:]  # stack traces, most of a small file
    onnx.save(model, path)


def float16(source, path):
    """Weights and arithmetic in float16; input and output stay float32."""
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), path)


def prepared(source, path):
    quant_pre_process(str(source), str(path), skip_symbolic_shape=True)
    return path


def dynamic_int8(source, path, scratch):
    """DynamicQuantizeLinear and MatMulInteger, s8 weights per output channel."""
    quantize_dynamic(
        prepared(source, scratch),
        path,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def dynamic_uint8(source, path, scratch):
    """As transformers.js publishes them: u8 weights with a zero point, one scale per tensor, ConvInteger too."""
    quantize_dynamic(
        prepared(source, scratch), path, weight_type=QuantType.QUInt8, extra_options={"MatMulConstBOnly": True}
    )


class Batches(CalibrationDataReader):
    def __init__(self, planes):
        self.rest = iter([{"pixel_values": p[None]} for p in planes])

    def get_next(self):
        return next(self.rest, None)


def qdq(source, path, scratch, planes, operators=None):
    """QuantizeLinear and DequantizeLinear around operators: u8 activations, s8 weights per output channel."""
    quantize_static(
        prepared(source, scratch),
        path,
        Batches(planes),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=operators,
        extra_options={"MatMulConstBOnly": True},
    )


def run(path, planes, output):
    """f32 [n,d] from ONNX Runtime, one picture at a time."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = [session.run([output], {session.get_inputs()[0].name: p[None]})[0] for p in planes]
    return np.concatenate(rows).astype(np.float32)
