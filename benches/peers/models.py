"""Makes what each engine reads, from one float network and one set of calibration photographs.

    python models.py --home HOME --images DIR [--only NAME,...]

HOME/models/NAME/ then has
  float.onnx             fixed batch 1, one output; macs.json counts its multiply-accumulates
  qdq.onnx               ONNX Runtime's static int8
  dynamic.onnx           its dynamic int8, transformers only
  nncf.xml               OpenVINO's own int8
  ncnn.param             ncnn's float; ncnn-int8.param its int8
  calibration.npy        the calibration photographs, normalised; calibration/ has them for tipcam
  made.json              what was made and what failed
LiteRT's files are made by litert.py in an environment of its own, because its converter wants an older torch.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import ncnn_int8
from common import ENCODERS, Made, calibration, chosen, photograph, torch_module
from export import dynamic_int8, qdq, torchscript
from macs import count_macs


def photos(folder, encoder, files):
    np.save(folder / "calibration.npy", np.concatenate([photograph(f, encoder) for f in files]))
    (folder / "calibration").mkdir(exist_ok=True)
    for i, file in enumerate(files):
        shutil.copy(file, folder / "calibration" / f"{i:02}.jpg")


def to_float(folder, name):
    example = torch.from_numpy(calibration(folder)[:1])
    torchscript(torch_module(name), example, folder / "float.onnx", ["feature"])
    count_macs(folder / "float.onnx", folder / "macs.json")


def to_qdq(folder, encoder):
    operators = ["MatMul", "Gemm", "Conv"] if encoder.transformer else None
    qdq(folder / "float.onnx", folder / "qdq.onnx", folder / "prepared.onnx", calibration(folder), operators)


def to_dynamic(folder):
    dynamic_int8(folder / "float.onnx", folder / "dynamic.onnx", folder / "prepared.onnx")


def to_nncf(folder, encoder):
    import nncf
    import openvino

    data = nncf.Dataset(list(calibration(folder)[:, None]))
    options = {"model_type": nncf.ModelType.TRANSFORMER} if encoder.transformer else {}
    model = openvino.Core().read_model(folder / "float.onnx")
    model = nncf.quantize(
        model, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration(folder)), **options
    )
    openvino.save_model(model, folder / "nncf.xml", compress_to_fp16=False)


def to_ncnn(folder, name, side):
    example = torch.from_numpy(calibration(folder)[:1])
    scratch = folder / "pnnx"
    scratch.mkdir(exist_ok=True)
    with torch.no_grad():
        torch.jit.trace(torch_module(name), example, check_trace=False).save(scratch / "net.pt")
    pnnx = Path(sys.executable).parent / "pnnx"
    done = subprocess.run(
        [pnnx, "net.pt", f"inputshape=[1,3,{side},{side}]", "fp16=0"], cwd=scratch, capture_output=True, text=True
    )
    if not (scratch / "net.ncnn.param").exists():
        raise RuntimeError("pnnx: " + (done.stdout + done.stderr)[-300:])
    names = {line.split()[0] for line in (scratch / "net.ncnn.param").read_text().splitlines()[2:]}
    if unknown := sorted(n for n in names if "." in n):  # PyTorch's names: pnnx has left them as they were
        raise RuntimeError(f"ncnn has no operators for {', '.join(unknown)}")
    for end in ("param", "bin"):
        shutil.copy(scratch / f"net.ncnn.{end}", folder / f"ncnn.{end}")
    shutil.rmtree(scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ENCODERS))
    args = parser.parse_args()
    files, _ = chosen(args.images)
    for name in args.only.split(","):
        encoder = ENCODERS[name]
        folder = args.home / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        made = Made(folder)
        made.step(name, "photographs", lambda: photos(folder, encoder, files))
        made.step(name, "float", lambda: to_float(folder, name))
        made.step(name, "ORT QDQ", lambda: to_qdq(folder, encoder))
        if encoder.transformer:
            made.step(name, "ORT dynamic", lambda: to_dynamic(folder))
        made.step(name, "OpenVINO NNCF", lambda: to_nncf(folder, encoder))
        made.step(name, "ncnn", lambda: to_ncnn(folder, name, encoder.side))
        if (folder / "ncnn.param").exists():
            made.step(name, "ncnn int8", lambda: ncnn_int8.quantise(folder))
        (folder / "prepared.onnx").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
