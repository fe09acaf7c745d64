"""Image encoders of every family as ONNX, with seeded weights.

    python tests/reference/families tiny OUT [NAME...]  the small ones that the tests read, with float features
    python tests/reference/families full OUT [NAME...]  true shapes, for benchmarks

OUT/NAME.onnx are the networks. `tiny` also writes each export style of one transformer and one network of convolutions,
encoders.json (per file: side of the picture, mean and std in units of a pixel's value, which output is the feature, and
which features the file should give) and features.safetensors: pictures.SIDE, u8 [n,side,side,3], and NAME, f32 [n,d], the
float network's features of them from ONNX Runtime, which agree with PyTorch's. With names only those are made, and the rest of
OUT stays: statistics of BatchNorm differ in their last bits between processors.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
import export  # noqa: E402
from networks import FULL, TINY, feature_of, make, make_full  # noqa: E402
from pictures import pictures  # noqa: E402

PICTURES = 6
TORCH_TOLERANCE = 1e-4


def check(module, path, x, family):
    """ONNX Runtime's features, after a comparison with PyTorch's."""
    name = feature_of(family)
    with torch.no_grad():
        outputs = module(torch.from_numpy(x))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    ours = outputs[family.outputs.index(name)].numpy()
    theirs = export.run(path, x, name)
    difference = np.abs(ours - theirs).max() / np.abs(ours).max()
    if not difference < TORCH_TOLERANCE:
        sys.exit(f"{path}: ONNX Runtime and PyTorch differ by {difference:.1e} of the largest feature")
    return theirs


def full(out, names):
    for name in names or FULL:
        family = FULL[name]
        module, x = make_full(name)
        path = out / f"{name}.onnx"
        export.torchscript(module, torch.from_numpy(x[:1]), path, family.outputs)
        features = check(module, path, x[:1], family)
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {features.shape[1]} features", flush=True)


def tiny(out, names):
    about, tensors = {}, {}
    if names:
        about = json.loads((out / "encoders.json").read_text())
        tensors = load_file(out / "features.safetensors")
    scratch = out / "scratch.onnx"

    def note(file, name, style):
        family = TINY[name]
        mean, std = family.normalisation
        about[file] = {
            "style": style,
            "side": family.side,
            "mean": mean,
            "std": std,
            "output": feature_of(family),
            "features": name,
        }
        print(f"{file}: {(out / f'{file}.onnx').stat().st_size / 1e3:.0f} kB")

    for name in names or TINY:
        family = TINY[name]
        module, x = make(family, pictures(PICTURES, family.side))
        example = torch.from_numpy(x[:1])
        path = out / f"{name}.onnx"
        export.torchscript(module, example, path, family.outputs)
        tensors[f"pictures.{family.side}"] = pictures(PICTURES, family.side)
        tensors[name] = check(module, path, x, family)
        note(name, name, "torchscript")
        if name in ("clip", "mobileclip_s"):
            export.dynamo(module, example, out / f"{name}_dynamo.onnx", family.outputs)
            note(f"{name}_dynamo", name, "dynamo")
        if name == "clip":
            export.torchscript(module, example, out / f"{name}_batch.onnx", family.outputs, dynamic_batch=True)
            note(f"{name}_batch", name, "torchscript, dynamic batch")
            export.torchscript(module, example, out / f"{name}_opset14.onnx", family.outputs, opset=14)
            note(f"{name}_opset14", name, "torchscript, operator set 14")
        if name in ("clip", "resnet"):
            export.float16(path, out / f"{name}_float16.onnx")
            note(f"{name}_float16", name, "float16")
        if name in ("clip", "efficientnet_lite"):
            export.qdq(path, out / f"{name}_qdq.onnx", scratch, x)
            note(f"{name}_qdq", name, "QDQ")
        if name in ("clip", "open_clip"):
            export.dynamic_int8(path, out / f"{name}_dynamic.onnx", scratch)
            note(f"{name}_dynamic", name, "DynamicQuantizeLinear")
        if name == "clip":
            export.dynamic_uint8(path, out / f"{name}_uint8.onnx", scratch)
            note(f"{name}_uint8", name, "DynamicQuantizeLinear, u8 weights")
    scratch.unlink(missing_ok=True)
    (out / "encoders.json").write_text(json.dumps(about, indent=1) + "\n")
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (np, onnx, onnxruntime, torch))
    save_file(tensors, out / "features.safetensors", metadata={"versions": versions})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tiny", "full"])
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    known = TINY if args.what == "tiny" else FULL
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f"{', '.join(unknown)} is none of {', '.join(known)}")
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if args.what == "tiny":
        tiny(args.out, args.names)
    else:
        full(args.out, args.names)


if __name__ == "__main__":
    main()
