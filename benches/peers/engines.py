"""The engines: what each reads and how it is started."""

import sys
from dataclasses import dataclass

from common import ENCODERS, HERE


@dataclass(frozen=True)
class Engine:
    name: str
    file: str  # in the encoder's folder
    command: tuple  # {model}, {threads}, {side} and {dir} are filled in; the input's path comes last
    int8: bool = True
    own: bool = False


def python(name, kind, file, int8=True):
    return Engine(
        name, file, (sys.executable, str(HERE / "worker.py"), kind, "{model}", "{threads}", "{input}", "{side}"), int8
    )


PEERS = (
    python("ONNX Runtime QDQ", "ort", "qdq.onnx"),
    python("ONNX Runtime dynamic", "ort", "dynamic.onnx"),
    python("OpenVINO NNCF", "openvino", "nncf.xml"),
    python("OpenVINO QDQ", "openvino", "qdq.onnx"),
    python("LiteRT", "litert", "int8.tflite"),
    python("ncnn", "ncnn", "ncnn-int8.param"),
    python("ONNX Runtime float", "ort", "float.onnx", int8=False),
    python("OpenVINO float", "openvino:f32", "float.onnx", int8=False),
    python("OpenVINO bf16", "openvino:bf16", "float.onnx", int8=False),
    python("LiteRT float", "litert", "float.tflite", int8=False),
    python("ncnn float", "ncnn", "ncnn.param", int8=False),
)


def rust_peers(binary):
    """rten, built from rust/."""
    if not binary.exists():
        return ()

    def engine(name, file, int8):
        return Engine(name, file, (str(binary), "{model}", "{threads}", "{input}", "{side}"), int8)

    return (
        engine("rten QDQ", "qdq.onnx", True),
        engine("rten dynamic", "dynamic.onnx", True),
        engine("rten float", "float.onnx", False),
    )


def tipcam(binary):
    if not binary.exists():
        return ()
    return (
        Engine(
            "tipcam",
            "encoder.tipcam",
            (str(binary), "bench", "--worker", "--encoder", "{model}", "--threads", "{threads}", "{input}"),
            own=True,
        ),
    )


def available(engines, folder):
    return [engine for engine in engines if (folder / engine.file).exists()]


def command(engine, folder, threads, path):
    values = {
        "model": folder / engine.file,
        "dir": folder,
        "threads": threads,
        "side": ENCODERS[folder.name].side,
        "input": path,
    }
    return [part.format(**values) for part in engine.command]
