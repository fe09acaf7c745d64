"""Reference of the head: Tip-Adapter from its formulas in PyTorch float32, independent of the Rust code.

    python tests/reference/head.py [--data ../shared/data/clip-vitb32] [--out tests/golden]

writes head_synthetic.safetensors (made-up features, included) and, for the real CLIP features in DATA,
head_caltech101.safetensors and head_oxford_pets.safetensors: logits of a few test photographs and the
predictions for all of them. The features themselves may not be redistributed and are not in the files.

Where a data set has no text for its classes, the unit mean of a class's 16 shots stands in for the
text vector: it exercises the same arithmetic.
"""

import argparse
import hashlib
import json
import platform
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
SCALE = 100.0
# alpha, beta: close to the defaults of Tip-Adapter, its paper's, and a sharp one.
SETTINGS = [(1.17, 1.0), (1.0, 5.5), (3.0, 20.0)]
SHOTS = [1, 16]
QUERIES = 32

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.use_deterministic_algorithms(True)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def processor():
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name(DEVICE)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def provenance(**more):
    versions = f"torch {torch.__version__}, safetensors {safetensors.__version__}, python {platform.python_version()}"
    about = {"device": f"{DEVICE.type}: {processor()}", "versions": versions, "tf32": "off"}
    return {**about, **{key: str(value) for key, value in more.items()}}


def affinity(queries, keys, beta):
    return torch.exp(-(beta - beta * queries @ keys.T))


def one_hot(labels, classes):
    return torch.nn.functional.one_hot(labels.long(), classes).float()


def real(path, out):
    """Every class has text and equally many shots: the method as published."""
    data = {name: tensor.to(DEVICE) for name, tensor in load_file(path).items()}
    with safetensors.safe_open(path, "pt") as file:
        classes = len(json.loads(file.metadata()["class_names"]))
    test, labels = unit(data["test_features"].float()), data["test_labels"].long()
    keys16 = unit(data["keys_16shot"].float())
    text = unit(one_hot(data["labels_16shot"], classes).T @ keys16)
    # Spread over the test set, which goes class by class.
    chosen = torch.arange(QUERIES, device=DEVICE) * len(test) // QUERIES

    zero_shot = SCALE * test @ text.T
    tensors = {"queries": chosen.int(), "zero_shot": zero_shot[chosen]}
    accuracy = {}

    def record(name, logits):
        best = logits.argmax(1)
        tensors[f"top1.{name}"] = best.to(torch.uint16)
        accuracy[name] = round(100 * (best == labels).double().mean().item(), 4)

    record("zero_shot", zero_shot)
    for shots in SHOTS:
        keys, values = unit(data[f"keys_{shots}shot"].float()), one_hot(data[f"labels_{shots}shot"], classes)
        for i, (alpha, beta) in enumerate(SETTINGS):
            cache = alpha * affinity(test, keys, beta) @ values
            tensors[f"cache.{shots}.{i}"] = cache[chosen]
            tensors[f"tip.{shots}.{i}"] = (zero_shot + cache)[chosen]
            record(f"cache.{shots}.{i}", cache)
            record(f"tip.{shots}.{i}", zero_shot + cache)
    about = provenance(
        settings=json.dumps(SETTINGS), accuracy=json.dumps(accuracy),
        input=path.name, input_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    save(out / f"head_{path.stem}.safetensors", tensors, about)
    print(path.stem, accuracy)


def synthetic(out):
    """Unequal shots, classes without text and classes without shots: the rule of coverage.

    Text rows are centred over the classes with text. A class without text gets the row
    row_gain * (mean of its shots - mean of all classes' means); a class without shots gets the cache
    term alpha * mean(A) + text_gain * (z - mean(z)), means over the classes with shots, and with both.
    Both gains come from leaving one shot out at a time.
    """
    classes, dim, alpha, beta = 20, 64, 1000.0, 8.0
    random = torch.Generator().manual_seed(20240601)

    def normal(*shape):
        return torch.randn(*shape, generator=random)

    common = normal(1, dim)
    centres = unit(normal(classes, dim) + 0.7 * common)
    counts = [4, 4, 3, 2, 1] * 4
    has_text = torch.ones(classes, dtype=torch.bool)
    has_text[3::5] = False  # shots only, two each
    counts[7] = counts[12] = 0  # text only (12 is one of these)
    has_text[12] = True
    labels = torch.tensor([c for c in range(classes) for _ in range(counts[c])])
    keys = unit(centres[labels] + 0.11 * normal(len(labels), dim))
    text = unit(centres + 0.15 * normal(classes, dim)) * has_text[:, None]
    truth = torch.arange(60) % classes
    queries = unit(centres[truth] + 0.11 * normal(60, dim))

    shots = torch.tensor(counts).float()
    covered, both, reference = shots > 0, (shots > 0) & has_text, shots.max()
    values = one_hot(labels, classes)
    text_rows = (text - text[has_text].mean(0)) * has_text[:, None]

    def means(drop=None):
        keep = torch.ones(len(labels), dtype=torch.bool)
        if drop is not None:
            keep[drop] = False
        v = values * keep[:, None]
        return (v.T @ keys) / v.sum(0).clamp(min=1)[:, None]

    mean_of_means = means()[covered].mean(0)
    held_out = [n for n in range(len(labels)) if counts[labels[n]] > 1]

    def outstanding(scores, own, among):
        others = among.clone()
        others[own] = False
        return (scores[own] - scores[others].mean()).item()

    text_margin, row_margin = [], []
    for n in held_out:
        own = labels[n].item()
        if has_text[own]:
            text_margin.append(outstanding(text_rows @ keys[n], own, has_text))
        scores = (means() - mean_of_means) @ keys[n]
        scores[own] = (means(drop=n) - mean_of_means)[own] @ keys[n]
        row_margin.append(outstanding(scores, own, covered))
    row_gain = (sum(text_margin) / len(text_margin)) / (sum(row_margin) / len(row_margin))

    def text_term(features, rows):
        return SCALE * features @ rows.T

    shot_rows = row_gain * (means() - mean_of_means) * (covered & ~has_text)[:, None]
    rows = text_rows + shot_rows

    products = squares = 0.0
    for n in held_out:
        z = text_term(keys[n], rows)
        a = affinity(keys[n : n + 1], keys, beta)[0]
        a[n] = 0
        weights = (reference / shots)[labels]
        weights[labels == labels[n]] = reference / (shots[labels[n]] - 1)
        sums = (a * weights) @ values
        x, y = z[both] - z[both].mean(), sums[both] - sums[both].mean()
        products, squares = products + (x * y).sum().item(), squares + (x * x).sum().item()
    text_gain = alpha * products / squares

    zero_shot = text_term(queries, rows)
    sums = (affinity(queries, keys, beta) * (reference / shots)[labels]) @ values
    expected = alpha * sums[:, covered].mean(1, keepdim=True) + text_gain * (
        zero_shot - zero_shot[:, both].mean(1, keepdim=True)
    )
    cache = torch.where(covered, alpha * sums, expected)
    tip = zero_shot + cache
    naive = SCALE * queries @ text.T + alpha * sums

    def percent(logits, only):
        return round(100 * (logits.argmax(1) == truth)[only[truth]].double().mean().item(), 2)

    figures = {
        name: [percent(logits, only) for only in (torch.ones_like(covered), ~covered, ~has_text)]
        for name, logits in (("tip", tip), ("naive", naive))
    }
    about = provenance(
        alpha=alpha, beta=beta, row_gain=row_gain, text_gain=text_gain, classes=classes,
        accuracy_all_nokeys_notext=json.dumps(figures),
    )
    tensors = {
        "text": text, "has_text": has_text.to(torch.uint8), "keys": keys, "labels": labels.int(),
        "queries": queries, "truth": truth.int(), "zero_shot": zero_shot, "cache": cache, "tip": tip,
    }
    save(out / "head_synthetic.safetensors", tensors, about)
    print("synthetic", figures, f"row_gain {row_gain:.4f} text_gain {text_gain:.4f}")


def save(path, tensors, about):
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path, metadata=about)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/clip-vitb32")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/golden")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    synthetic(args.out)
    for name in ("caltech101", "oxford_pets"):
        path = args.data / f"{name}.safetensors"
        if path.exists():
            real(path, args.out)
        else:
            print(f"left out: {path} is not there")


if __name__ == "__main__":
    main()
