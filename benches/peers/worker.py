"""One engine in a process of its own, driven over a line protocol.

    python worker.py ENGINE MODEL THREADS INPUT.f32 [SIDE]

It loads the model, runs once and prints a JSON object: load_ms (from before the model is read to after the first run),
rss0_kb (memory before the model is read), note. Then it answers each line of stdin with one line:

    run K      runs K times; prints the K wall times in microseconds as a JSON list
    in PATH    reads another input; prints "ok"
    out PATH   writes the last output, raw f32; prints "ok"

INPUT is raw f32, [1,3,SIDE,SIDE], normalised. Any program that does this can join (compare.py --join).
"""

import json
import os
import sys
import time

import numpy as np


class OnnxRuntime:
    def __init__(self, model, threads, _):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def set(self, x):
        self.feed = {self.name: x}

    def run(self):
        self.output = self.session.run(None, self.feed)[0]

    def get(self):
        return self.output


class OpenVino:
    def __init__(self, model, threads, precision):
        import openvino

        self.openvino = openvino
        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        if precision:
            options["INFERENCE_PRECISION_HINT"] = precision
        compiled = core.compile_model(core.read_model(model), "CPU", options)
        self.request = compiled.create_infer_request()
        self.note = f"rest in {compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}"

    def set(self, x):
        self.request.set_input_tensor(self.openvino.Tensor(x))

    def run(self):
        self.request.infer()

    def get(self):
        return self.request.get_output_tensor(0).data


class Ncnn:
    def __init__(self, model, threads, _):
        import ncnn

        self.ncnn, self.net = ncnn, ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_vulkan_compute = False
        self.net.load_param(model)
        self.net.load_model(model.removesuffix("param") + "bin")

    def set(self, x):
        self.x = x[0]

    def run(self):
        run = self.net.create_extractor()
        run.input("in0", self.ncnn.Mat(self.x))
        self.output = np.array(run.extract("out0")[1])

    def get(self):
        return self.output


class LiteRt:
    """Quantizing an int8 input and reading an int8 output back are outside of the timed call."""

    def __init__(self, model, threads, _):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]
        self.note = f"{self.input['dtype'].__name__} input"

    def set(self, x):
        if self.input["shape"][-1] == 3:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if self.input["dtype"] == np.int8:
            scale, zero = self.input["quantization"]
            x = np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int8)
        self.interpreter.set_tensor(self.input["index"], x)

    def run(self):
        self.interpreter.invoke()

    def get(self):
        y = self.interpreter.get_tensor(self.output["index"])
        if y.dtype == np.int8:
            scale, zero = self.output["quantization"]
            y = (y.astype(np.float32) - zero) * scale
        return y


KINDS = {"ort": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "litert": LiteRt}


def resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def say(answer):
    print(answer if isinstance(answer, str) else json.dumps(answer), flush=True)


def main():
    kind, model, threads, path, side = sys.argv[1:6]
    kind, _, precision = kind.partition(":")

    def load(path):
        return np.fromfile(path, np.float32).reshape(1, 3, int(side), int(side))

    x, rss = load(path), resident_kb()
    start = time.perf_counter()
    engine = KINDS[kind](model, int(threads), precision)
    engine.set(x)
    engine.run()
    say({"load_ms": (time.perf_counter() - start) * 1e3, "rss0_kb": rss, "note": getattr(engine, "note", "")})
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            times = []
            for _ in range(int(argument)):
                start = time.perf_counter()
                engine.run()
                times.append(round((time.perf_counter() - start) * 1e6, 1))
            say(times)
        elif command == "in":
            engine.set(load(argument))
            say("ok")
        elif command == "out":
            np.asarray(engine.get(), np.float32).ravel().tofile(argument)
            say("ok")
        else:
            break


if __name__ == "__main__":
    main()
