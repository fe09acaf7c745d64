"""Caches as other programs write them, for `tipcam convert`: PyTorch's files of Tip-Adapter's repository,
and NumPy's, with the logits of Tip-Adapter computed from them in float64.

    python tests/reference/convert.py [--out tests/golden/convert]

writes *.pt with torch.save (half precision, keys and text as columns, labels one-hot), cache.safetensors
from them by the very line that docs/convert.md tells, cache.npz and arrays/*.npy by NumPy, and logits.npy.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
CLASSES, SHOTS, DIM, TESTS = 3, 2, 16, 5
ALPHA, BETA = 1.5, 5.5
NAMES = ["sea cat", "été", "mug"]


def line():
    """The export of docs/convert.md, without the names of files."""
    lines = (ROOT / "docs/convert.md").read_text().splitlines()
    words = shlex.split(next(line for line in lines if line.startswith("python3 -c")))
    return [sys.executable, *words[1:3]]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "tests/golden/convert")
    out = parser.parse_args().out
    (out / "arrays").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(5)
    centres = unit(draw.standard_normal((CLASSES, DIM)))
    near = lambda labels, by: unit(centres[labels] + by * draw.standard_normal((len(labels), DIM)))
    labels, test_labels = np.repeat(np.arange(CLASSES), SHOTS), np.arange(TESTS) % CLASSES
    half = lambda x: x.astype(np.float16)
    keys, text = half(near(labels, 0.15)), half(near(np.arange(CLASSES), 0.2))
    test = half(near(test_labels, 0.15))
    values = np.eye(CLASSES, dtype=np.float16)[labels]

    tensors = {
        # Tip-Adapter's code keeps the permuted view
        f"keys_{SHOTS}shots": torch.from_numpy(keys).permute(1, 0),
        f"values_{SHOTS}shots": torch.from_numpy(values),
        "clip_weights": torch.nn.Parameter(torch.from_numpy(text.T.copy())),
        "test_f": torch.from_numpy(test),
        "test_l": torch.from_numpy(test_labels),
    }
    for name, tensor in tensors.items():
        torch.save(tensor, out / f"{name}.pt")
    files = [str(out / f"{name}.pt") for name in tensors]
    subprocess.run([*line(), str(out / "cache.safetensors"), *files], check=True, env=os.environ)

    np.savez_compressed(
        out / "cache.npz", keys=keys, labels=labels, text=text, class_names=np.array(NAMES),
        alpha=np.float32(ALPHA), beta=np.float32(BETA),
    )
    np.save(out / "arrays/keys.npy", np.asfortranarray(keys.astype(np.float64)))
    np.save(out / "arrays/labels.npy", labels.astype(np.uint8))
    np.save(out / "arrays/text.npy", text.T.astype(np.float32))

    f, k, t = (unit(x.astype(np.float64)) for x in (test, keys, text))
    logits = 100 * f @ t.T + ALPHA * np.exp(-(BETA - BETA * f @ k.T)) @ values.astype(np.float64)
    np.save(out / "logits.npy", logits)


if __name__ == "__main__":
    main()
