"""Fits the linear map from EfficientNet-Lite0 features (1280) into the CLIP ViT-B/32 image space (512).

    python models/projection/fit.py ../shared/data models/projection/efficientnet_lite0_to_clip512.safetensors

needs the packages of tests/reference/requirements.txt. Pairs are of two kinds: photographs of the
*validation* split of Caltech101 (feature, true CLIP image feature), and, for each ImageNet class
whose name the text bank has, the mean feature moved along the class's classifier row with the mean
CLIP feature moved along the class's text embedding. Ridge regression on both. No test photograph is
looked at, so the test figures in MODEL_CARD.md stay clean.
"""
import hashlib, json, re, sys
from pathlib import Path

import numpy as np, onnxruntime
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

RIDGE, CLASS_WEIGHT, CLASS_STEP, FEATURE_SCALE, SIDE = 300.0, 5.0, 0.6, 10.0, 224
unit = lambda a: a / np.linalg.norm(a, axis=-1, keepdims=True)


def photograph(path):
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    image = image.resize([int(SIDE * s / short) for s in image.size], Image.BICUBIC)
    left, top = ((s - SIDE) // 2 for s in image.size)
    pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32)
    return ((pixels - 127) / 128).transpose(2, 0, 1)


def tensors(path):
    with safe_open(path, "np") as f:
        return {k: f.get_tensor(k).astype(np.float64) for k in f.keys()}, f.metadata()


def plain(name):
    return name.lower().replace("_", " ").strip()


def main(data, out):
    clip, _ = tensors(data / "clip-vitb32/caltech101.safetensors")
    bank, meta = tensors(data / "clip-vitb32/text_bank.safetensors")
    head, head_meta = tensors(data / "encoders/efficientnet_lite0_classifier.safetensors")
    text = unit(bank["text"])

    # Pairs of photographs; big classes count less.
    files = json.loads((data / "clip-vitb32/caltech101_files.json").read_text())["val"]
    session = onnxruntime.InferenceSession(str(data / "encoders/efficientnet_lite0_features.onnx"))
    paths = [data / "images/caltech101" / f for f in files]
    batches = (paths[i : i + 16] for i in range(0, len(paths), 16))
    x = unit(np.concatenate([session.run(None, {"x": np.stack([photograph(p) for p in b])})[0] for b in batches]).astype(np.float64))
    y = unit(clip["val_features"])
    labels = clip["val_labels"].astype(int)
    weight = np.bincount(labels)[labels] ** -0.5
    weight /= weight.mean()
    x_mean, y_mean = (x * weight[:, None]).mean(0), (y * weight[:, None]).mean(0)

    # Pairs of ImageNet classes with a name in the bank.
    index = {}
    for i, entry in enumerate(json.loads(meta["names"])):
        for alias in re.split(r"[/,]", re.sub(r"\(.*?\)", "", plain(entry["name"]))):
            index.setdefault(alias.strip(), i)
    find = lambda n: next((index[c] for c in (n, n.replace("-", " "), n + "s", n.rstrip("s"), n.replace(" ", "")) if c in index), None)
    named = {i: j for i, j in ((i, find(plain(n))) for i, n in enumerate(json.loads(head_meta["class_names"]))) if j is not None}
    rows, row_text = head["classifier"][list(named)], text[list(named.values())]
    text_mean = row_text.mean(0)
    class_x = unit(x_mean + CLASS_STEP * unit(rows - rows.mean(0)))
    class_y = unit(y_mean + row_text - text_mean)

    a = np.vstack([np.hstack([m * FEATURE_SCALE, np.ones((len(m), 1))]) for m in (x, class_x)])
    b, w = np.vstack([y, class_y]), np.r_[weight, np.full(len(class_x), CLASS_WEIGHT)][:, None]
    m = np.linalg.solve(a.T @ (a * w) + RIDGE * np.eye(a.shape[1]), (a * w).T @ b)

    digest = lambda p: hashlib.sha256((data / p).read_bytes()).hexdigest()
    save_file(
        {"weight": (m[:-1] * FEATURE_SCALE).T.astype(np.float16).copy(), "bias": m[-1].astype(np.float32),
         "image_mean": y_mean.astype(np.float32), "text_mean": text_mean.astype(np.float32)},
        out,
        metadata={"input": "unit-norm EfficientNet-Lite0 feature, 1280", "output": "CLIP ViT-B/32 image space, 512, not normalised",
                  "pairs": f"{len(x)} photographs of Caltech101's validation split, {len(class_x)} ImageNet classes",
                  "encoder_sha256": digest("encoders/efficientnet_lite0_features.onnx"),
                  "text_bank_sha256": digest("clip-vitb32/text_bank.safetensors"), "onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
    )
    print(f"{len(x)} photographs, {len(class_x)} classes -> {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
