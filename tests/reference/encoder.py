"""Reference of the encoder: photographs as PIL prepares them, and the float network's features.

    python encoder.py DATA OUT --split train|val|test --count N

writes OUT/pixels.npy, u8 [N,224,224,3], and OUT/trunk.npy, f32 [N,1280] from ONNX Runtime, for N photographs of the split
spread evenly over its list, which goes class by class. DATA is the folder with images/ and encoders/.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

SIDE, MEAN, STD = 224, 127.0, 128.0


def photo(path):
    """Shorter side to SIDE (bicubic, antialiased), centre crop, RGB."""
    image = Image.open(path).convert("RGB")
    scale = SIDE / min(image.size)
    width, height = (max(SIDE, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.BICUBIC)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", choices=["train", "val", "test"], required=True)
    parser.add_argument("--count", type=int, required=True)
    args = parser.parse_args()

    files = json.loads((args.data / "clip-vitb32/caltech101_files.json").read_text())[args.split]
    chosen = [files[i * len(files) // args.count] for i in range(args.count)]
    pixels = np.stack([photo(args.data / "images/caltech101" / name) for name in chosen])

    session = onnxruntime.InferenceSession(args.data / "encoders/efficientnet_lite0_features.onnx")
    planes = ((pixels.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2)
    trunk = [session.run(None, {"x": planes[i : i + 16]})[0] for i in range(0, len(planes), 16)]

    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "pixels.npy", pixels)
    np.save(args.out / "trunk.npy", np.concatenate(trunk))
    print(f"{len(pixels)} photographs of {args.split}; onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
