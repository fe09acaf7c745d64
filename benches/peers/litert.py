"""Makes float.tflite and int8.tflite for LiteRT: static int8 for convolutions, dynamic for transformers (what LiteRT offers).

python litert.py --home HOME [--only NAME,...]     after models.py, in the environment of requirements-litert.txt
"""

import argparse
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe

from common import ENCODERS, Made, calibration, torch_module


def to_float(folder, name):
    module, example = torch_module(name), torch.from_numpy(calibration(folder)[:1])
    if not ENCODERS[name].transformer:  # convolutions take the channels last, as TFLite files have it
        module = litert_torch.to_channel_last_io(module, args=[0]).eval()
        example = example.permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(module, (example,)).export(str(folder / "float.tflite"))


def to_int8(folder, name):
    source = str(folder / "float.tflite")
    maker = quantizer.Quantizer(source)
    if ENCODERS[name].transformer:
        maker.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        result = maker.quantize()
    else:
        maker.load_quantization_recipe(recipe.static_wi8_ai8())
        signatures = Interpreter(source).get_signature_list()
        signature = next(iter(signatures))
        x = signatures[signature]["inputs"][0]
        pictures = np.ascontiguousarray(calibration(folder).transpose(0, 2, 3, 1))
        result = maker.quantize(maker.calibrate({signature: [{x: p[None]} for p in pictures]}))
    result.export_model(str(folder / "int8.tflite"), overwrite=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ENCODERS))
    args = parser.parse_args()
    for name in args.only.split(","):
        folder = args.home / "models" / name
        made = Made(folder)
        made.step(name, "LiteRT", lambda: to_float(folder, name))
        made.step(name, "LiteRT int8", lambda: to_int8(folder, name))


if __name__ == "__main__":
    main()
