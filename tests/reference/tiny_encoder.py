"""Writes the small network that the importer's tests read.

    python tiny_encoder.py tests/golden

tiny_encoder.onnx has what an encoder may have: a padded dense convolution, BatchNormalization, Clip, a depthwise convolution
of stride 2, a residual block, and a global average pool. foreign.onnx has an operator that no encoder may have.
tiny_encoder.safetensors has pictures for it, u8 [N,32,32,3], and
the features that ONNX Runtime gives for them, f32 [N,48]. Weights and pictures come from one seed.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

SIDE, MEAN, STD, PICTURES = 32, 127.0, 128.0, 12
random = np.random.default_rng(7)
nodes, weights = [], []


def constant(name, values):
    weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
    return name


def conv(name, x, inputs, outputs, kernel=1, stride=1, groups=1, clip=True, batch_norm=True):
    fan_in = inputs // groups * kernel * kernel
    w = random.normal(0, (2 / fan_in) ** 0.5, (outputs, inputs // groups, kernel, kernel))
    args = [x, constant(f"{name}.weight", w)]
    if not batch_norm:
        args.append(constant(f"{name}.bias", random.normal(0, 0.1, outputs)))
    y = f"{name}.conv"
    nodes.append(helper.make_node("Conv", args, [y], name, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                                  pads=[kernel // 2] * 4, group=groups))
    if batch_norm:
        scale, shift = random.uniform(0.8, 1.2, outputs), random.normal(0.2, 0.2, outputs)
        mean, var = random.normal(0, 0.1, outputs), random.uniform(0.5, 1.5, outputs)
        args = [y] + [constant(f"{name}.bn{i}", v) for i, v in enumerate((scale, shift, mean, var))]
        y = f"{name}.bn"
        nodes.append(helper.make_node("BatchNormalization", args, [y], y))
    if clip:
        nodes.append(helper.make_node("Clip", [y, "zero", "six"], [f"{name}.clip"], f"{name}.clip"))
        y = f"{name}.clip"
    return y


def pictures():
    """Blurred noise: neighbouring pixels are alike, as in photographs."""
    x = random.normal(0, 1, (PICTURES, SIDE, SIDE, 3))
    for axis in (1, 2):
        x = sum(np.roll(x, shift, axis) for shift in range(-3, 4))
    x = x / x.std() * 60 + random.uniform(60, 200, (PICTURES, 1, 1, 3))
    return x.clip(0, 255).astype(np.uint8)


def save(path, dim):
    graph = helper.make_graph(
        nodes, path.stem, [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["b", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["b", dim])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return model


def main(out):
    constant("zero", 0.0), constant("six", 6.0)
    x = conv("stem", "picture", 3, 8, kernel=3, stride=2)
    x = conv("spatial", x, 8, 8, kernel=3, stride=2, groups=8)
    block = conv("narrow", x, 8, 12, clip=False)
    x = conv("widen", block, 12, 24, batch_norm=False)
    x = conv("middle", x, 24, 24, kernel=5, groups=24)
    x = conv("project", x, 24, 12, clip=False)
    nodes.append(helper.make_node("Add", [block, x], ["sum"], "sum"))
    x = conv("head", "sum", 12, 48)
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pool"], ["feature"], "flatten"))
    model = save(out / "tiny_encoder.onnx", 48)

    pixels = pictures()
    planes = ((pixels.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2)
    trunk = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"picture": planes})[0]
    save_file({"pixels": pixels, "trunk": trunk}, out / "tiny_encoder.safetensors",
              metadata={"numpy": np.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__})

    nodes.clear(), weights.clear()
    x = conv("stem", "picture", 3, 4, clip=False)
    nodes.append(helper.make_node("Sin", [x], ["gate"], "gate"))
    nodes.append(helper.make_node("GlobalAveragePool", ["gate"], ["pool"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pool"], ["feature"], "flatten"))
    save(out / "foreign.onnx", 4)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
