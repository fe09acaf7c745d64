"""ncnn's float model to its int8 model: what its tools ncnn2table and ncnn2int8 do, which no Python package has.

The same layers and the same kinds of scales: convolutions and fully connected layers with a scale per output channel of
the weights and one of the activations, which are 127 / the largest magnitude over the calibration photographs; Gemm and
attention with scales of the weights, activations quantized as they come. A convolution whose output only goes into
another one hands over int8. One difference: ncnn2table can also choose scales by Kullback-Leibler divergence.
"""

import struct

import numpy as np

from common import calibration

INT8_TAG = struct.pack("<I", 0x000D4B38)
FLOAT_TAG = b"\0\0\0\0"
PHOTOGRAPHS = 32
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")


class Layer:
    """A line of the .param file and its part of the .bin file: [values, has a tag in front] each."""

    def __init__(self, line):
        words = line.split()
        self.type, self.name = words[:2]
        inputs, outputs = int(words[2]), int(words[3])
        self.inputs, self.outputs = words[4 : 4 + inputs], words[4 + inputs : 4 + inputs + outputs]
        self.words = words[4 + inputs + outputs :]
        self.parameters = dict(w.split("=", 1) for w in self.words if not w.startswith("-"))
        self.weights = []
        self.int8 = None  # ncnn's "int8_scale_term"

    def get(self, key, default=0):
        return int(self.parameters.get(str(key), default))

    def line(self):
        words = list(self.words)
        if self.int8:
            words.append(f"{8 if self.is_convolution_like() else 18}={self.int8}")
        counts = [str(len(self.inputs)), str(len(self.outputs))]
        return " ".join([self.type, self.name, *counts, *self.inputs, *self.outputs, *words])

    def is_convolution_like(self):
        return self.type in (*CONVOLUTIONS, "InnerProduct")

    def sizes(self, gemm_bias_tag):
        """(count, tagged) of each array in the .bin file, in order."""
        get = self.get
        if self.type in CONVOLUTIONS:
            return [(get(6), True)] + [(get(0), False)] * get(5)
        if self.type == "InnerProduct":
            return [(get(2), True)] + [(get(0), False)] * get(1)
        if self.type == "Gemm":
            if get(4) or get(5) != 1:
                raise RuntimeError(
                    f"ncnn layer {self.name}: Gemm whose first operand is constant or whose second is not"
                )
            return [(get(8) * get(9), True)] + [(get(8), gemm_bias_tag)] * (get(6) == 1 and get(10) != -1)
        if self.type == "MultiHeadAttention":
            width = get(0)
            inner = get(2) // width
            shapes = (
                (width * inner, width),
                (width * get(3, width), width),
                (width * get(4, width), width),
                (inner * width, inner),
            )
            return [array for weight, bias in shapes for array in ((weight, True), (bias, False))]
        if self.type == "LayerNorm":
            return [(get(0), False)] * 2 * get(2, 1)
        if self.type == "MemoryData":
            return [(int(np.prod([get(k) or 1 for k in (0, 1, 11, 2)])), get(21, 1) == 0)]
        if self.type == "BatchNorm":
            return [(get(0), False)] * 4
        if self.type in ("PReLU", "Scale", "GroupNorm", "Embed"):
            raise RuntimeError(f"ncnn layer {self.name}: weights of {self.type} are not known here")
        return []


def read_weights(layers, data, gemm_bias_tag):
    """Fills the layers; whether `data` was used up exactly, which only the right guess of the tag does."""
    at = 0
    for layer in layers:
        layer.weights = []
        for count, tagged in layer.sizes(gemm_bias_tag):
            if tagged:
                if data[at : at + 4] != FLOAT_TAG:
                    return False
                at += 4
            if at + 4 * count > len(data):
                return False
            layer.weights.append([np.frombuffer(data, np.float32, count, at), tagged])
            at += 4 * count
    return at == len(data)


def read(folder):
    layers = [Layer(line) for line in (folder / "ncnn.param").read_text().splitlines()[2:]]
    data = (folder / "ncnn.bin").read_bytes()
    if not any(read_weights(layers, data, tag) for tag in (True, False)):
        raise RuntimeError("ncnn.bin: its layout is not understood")
    return layers


def activation_maxima(folder, layers):
    """Largest magnitude of each blob that a convolution or fully connected layer reads."""
    import ncnn

    blobs = {layer.inputs[0] for layer in layers if layer.is_convolution_like()}
    largest = dict.fromkeys(blobs, 1e-20)
    net = ncnn.Net()
    net.opt.lightmode = False
    net.opt.use_vulkan_compute = False
    net.load_param(str(folder / "ncnn.param"))
    net.load_model(str(folder / "ncnn.bin"))
    for x in calibration(folder)[:PHOTOGRAPHS]:
        x = np.ascontiguousarray(x)
        run = net.create_extractor()
        run.input("in0", ncnn.Mat(x))
        for blob in blobs:
            values = x if blob == "in0" else np.array(run.extract(blob)[1])
            largest[blob] = max(largest[blob], float(np.abs(values).max()))
    return largest


def to_int8(values, scale):
    """Rounds halves away from zero, as ncnn does."""
    scaled = values * scale
    return np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -127, 127).astype(np.int8)


def scales_of(rows):
    largest = np.abs(rows).max(axis=1)
    return (127 / np.maximum(largest, 1e-20)).astype(np.float32)


def quantise_convolution(layer, largest):
    rows = layer.weights[0][0].reshape(layer.get(0), -1)
    scales = scales_of(rows)
    layer.input_scale = np.float32([127 / largest[layer.inputs[0]]])
    weights = [to_int8(rows, scales[:, None]), True]
    layer.weights = [weights, *layer.weights[1:], [scales, False], [layer.input_scale, False]]
    layer.int8 = 1 if layer.type == "ConvolutionDepthWise" else 2


def quantise_matrices(layer):
    """Gemm (one matrix, one scale) and attention (queries, keys and values with a scale per row, the output with one)."""
    matrices = [0] if layer.type == "Gemm" else [0, 2, 4, 6]
    scales = []
    for i in matrices:
        values = layer.weights[i][0]
        per_row = layer.type == "MultiHeadAttention" and i < 6
        rows = values.reshape(layer.get(0) if per_row else 1, -1)
        scale = scales_of(rows)
        layer.weights[i] = [to_int8(rows, scale[:, None]), True]
        scales.append([scale, False])
    layer.weights += scales
    layer.int8 = 2


def hand_over_int8(layers):
    """Convolutions of which every reader is a convolution too write int8 in the reader's scale."""
    readers = {}
    for layer in layers:
        for blob in layer.inputs:
            readers.setdefault(blob, []).append(layer)

    def final_readers(blob):
        found = readers.get(blob, [])
        return [r for f in found for r in (sum(map(final_readers, f.outputs), []) if f.type == "Split" else [f])]

    for layer in layers:
        if layer.type in CONVOLUTIONS:
            after = final_readers(layer.outputs[0])
            if after and all(r.type in CONVOLUTIONS for r in after):
                layer.weights.append([after[0].input_scale, False])
                layer.int8 += 100


def write(folder, layers):
    blobs = {b for layer in layers for b in layer.outputs}
    lines = ["7767517", f"{len(layers)} {len(blobs)}", *(layer.line() for layer in layers)]
    (folder / "ncnn-int8.param").write_text("\n".join(lines) + "\n")
    with open(folder / "ncnn-int8.bin", "wb") as file:
        for values, tagged in (w for layer in layers for w in layer.weights):
            data = values.tobytes()
            if values.dtype == np.int8:
                file.write(INT8_TAG + data + b"\0" * (-len(data) % 4))
            else:
                file.write((FLOAT_TAG if tagged else b"") + data)


def quantise(folder):
    layers = read(folder)
    largest = activation_maxima(folder, layers)
    for layer in layers:
        if layer.is_convolution_like():
            quantise_convolution(layer, largest)
        elif layer.type in ("Gemm", "MultiHeadAttention"):
            quantise_matrices(layer)
    hand_over_int8(layers)
    write(folder, layers)
