"""Writes docs/benchmarks.md from the results of compare.py and arm/count.py.

python report.py --home HOME --out docs/benchmarks.md
"""

import argparse
import json
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from common import ENCODERS, HERE
from engines import PEERS

TITLES = {
    "effl0": "EfficientNet-Lite0",
    "tinyclip8m": "TinyCLIP ViT-8M/16",
    "vitb32": "CLIP ViT-B/32",
    "vitb16": "CLIP ViT-B/16",
    "mobileclip_s0": "MobileCLIP-S0",
    "rn50": "CLIP RN50",
}
HOLDS = {"none": "as they come", "avx512": "AVX-512 VNNI", "avxvnni": "AVX2 with AVX-VNNI", "avx2": "AVX2"}
# How many times faster than the fastest peer tipcam is to be, with AVX-512 VNNI.
GOALS = {"effl0": 1.5, "tinyclip8m": 1.35, "vitb32": 1.25, "vitb16": 1.25, "mobileclip_s0": 1.25, "rn50": 1.25}
# What the goals are for: "as they come" is the same on a processor that has AVX-512 VNNI and no AMX.
FLAGS = set(Path("/proc/cpuinfo").read_text().split())
GOAL_HOLDS = {"avx512"} | ({"none"} if "avx512_vnni" in FLAGS and "amx_int8" not in FLAGS else set())
FLOAT = {engine.name for engine in PEERS if not engine.int8} | {"rten float"}


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def machine():
    lines = subprocess.run(
        ["lscpu"], capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    ).stdout
    facts = dict(re.findall(r"^([^:]+):\s+(.*)$", lines, re.M))
    sets = [s for s in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8") if s in facts["Flags"].split()]
    caches = ", ".join(f"{level} {facts[level + ' cache']}" for level in ("L2", "L3"))
    name = f"{facts['Model name']} (family {facts['CPU family']}, model {facts['Model']})"
    return f"{name}, {facts['CPU(s)']} cores, {caches}; {', '.join(sets)}; Linux {platform.release()}"


def versions(home):
    packages = ("onnxruntime", "openvino", "nncf", "ncnn", "pnnx", "ai-edge-litert", "torch", "transformers", "timm")
    found = [f"{p} {version(p)}" for p in (*packages, "open-clip-torch")]
    lock = (HERE / "rust/Cargo.lock").read_text()
    found.append("rten " + re.search(r'name = "rten"\nversion = "(.*)"', lock)[1])
    litert = subprocess.run(
        [
            home / "vl/bin/python",
            "-c",
            "from importlib.metadata import version as v; print(v('litert-torch'), v('ai-edge-quantizer'))",
        ],
        capture_output=True,
        text=True,
    ).stdout.split()
    return ", ".join([*found, *(f"{n} {v}" for n, v in zip(("litert-torch", "ai-edge-quantizer"), litert))])


def latest(path):
    """Last row of each engine in each case."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(r["encoder"], r["threads"], r["hold"], r["engine"]): r for r in rows}


def summary(rows, home):
    """tipcam beside the fastest int8 peer of each case."""
    lines = []
    peaks = {}
    for (_, threads, hold, _), row in rows.items():
        peaks[threads, hold] = max(peaks.get((threads, hold), 0), row.get("peak_gmacs", 0))
    for name in ENCODERS:
        for hold in HOLDS:
            for threads in (1, 2):
                case = {
                    e: r for (n, t, h, e), r in rows.items() if (n, t, h) == (name, threads, hold) and "quiet_ms" in r
                }
                ours = case.pop("tipcam", None)
                peers = [r for e, r in case.items() if e not in FLOAT]
                onnx_runtime = [r["quiet_ms"] for r in peers if r["engine"].startswith("ONNX Runtime")]
                if not ours or not peers:
                    continue
                best = min(peers, key=lambda r: r["quiet_ms"])
                faster = best["quiet_ms"] / ours["quiet_ms"]
                goal = GOALS[name] if hold in GOAL_HOLDS else "1 (ONNX Runtime)" if hold == "avx2" else ""
                macs = sum(json.loads((home / "models" / name / "macs.json").read_text()).values())
                # Small products do not show how fast tiles can be.
                known = peaks[threads, hold] and not (hold == "none" and "amx_int8" in FLAGS)
                least = f"{macs / 1e6 / peaks[threads, hold]:.2f}" if known else ""
                lines.append(
                    [
                        TITLES[name],
                        HOLDS[hold],
                        threads,
                        f"{ours['quiet_ms']:.2f}",
                        f"{best['quiet_ms']:.2f} ({best['engine']})",
                        f"{faster:.2f}",
                        f"{min(onnx_runtime) / ours['quiet_ms']:.2f}" if onnx_runtime else "",
                        goal,
                        least,
                    ]
                )
    head = ["encoder", "instruction sets", "threads", "tipcam ms", "fastest int8 peer ms", "times faster", "than ONNX Runtime", "goal", "at the peak ms"]
    return table(head, lines) if lines else "tipcam was not in these runs.\n"


def details(name, rows, home):
    """One table: an engine a row, a case a column."""
    rows = {key[1:]: row for key, row in rows.items() if key[0] == name}
    cases = [(t, h) for h in HOLDS for t in (1, 2) if any(k[:2] == (t, h) for k in rows)]
    if not cases:
        return ""

    def cell(threads, hold, engine):
        row = rows.get((threads, hold, engine), {})
        return f"{row['quiet_ms']:.2f}" if "quiet_ms" in row else "failed" if "failure" in row else ""

    def first(engine, field, text):
        for threads, hold in cases:
            value = rows.get((threads, hold, engine), {}).get(field)
            if value is not None:
                return text(value)
        return ""

    def speed(engine):
        return min((r["quiet_ms"] for k, r in rows.items() if k[2] == engine and "quiet_ms" in r), default=1e9)

    lines = []
    for engine in sorted({k[2] for k in rows}, key=lambda e: (e in FLOAT, speed(e))):
        lines.append(
            [
                f"**{engine}**" if engine == "tipcam" else engine,
                *(cell(t, h, engine) for t, h in cases),
                first(engine, "cosine_mean", "{:.4f}".format),
                first(engine, "cosine_min", "{:.4f}".format),
                first(engine, "peak_kb", lambda kb: f"{kb / 1024:.0f}"),
                first(engine, "load_ms", "{:.0f}".format),
            ]
        )
    head = [
        "engine",
        *(f"{HOLDS[h]}, {t} thread{'s' * (t > 1)}" for t, h in cases),
        "cosine mean",
        "least",
        "peak MB",
        "load ms",
    ]
    macs = json.loads((home / "models" / name / "macs.json").read_text())
    kinds = ", ".join(f"{kind} {count / 1e6:.1f}" for kind, count in macs.items() if count)
    text = f"\n### {TITLES[name]}\n\n{sum(macs.values()) / 1e6:.1f} million multiply-accumulates ({kinds}).\n\n{table(head, lines)}"
    made = json.loads((home / "models" / name / "made.json").read_text())
    failures = [f"{step}: {why}" for step, why in made.items() if why != "ok"]
    failures += sorted({f"{k[2]}: {r['failure']}" for k, r in rows.items() if "failure" in r})
    return text + "".join(f"\nNot measured: {line}\n" for line in failures)


def start(path):
    """Start to first answer and peak memory of tipcam."""
    if not path.exists():
        return ""
    lines = []
    for name, result in json.loads(path.read_text()).items():
        size = result["asset_bytes"] or (HERE.parent.parent / "models/default.tipcam").stat().st_size
        limit = 1.3 * size / 2**20 + 16
        title = (
            "built in (EfficientNet-Lite0, 100 classes)"
            if name == "default"
            else f"{TITLES[name]}, 10 classes of 5 shots"
        )
        cells = [f"{size / 2**20:.1f}", f"{result['median_ms']:.0f}", f"{result['peak_kb'] / 1024:.1f}", f"{limit:.1f}"]
        lines.append([title, *cells])
    head = ["asset", "MiB", "start to first answer, ms", "peak MiB", "goal: 1.3 assets + 16 MiB"]
    return (
        "\n## Start and memory\n\nThe whole of `tipcam classify PHOTOGRAPH` with the program as it ships (`targets/build.sh`), files in the page cache, median.\n\n"
        + table(head, lines)
    )


def affinity(path):
    if not path.exists():
        return ""
    intro = "Similarities of a feature to all keys and their exponentials, one thread, beside a plain read of the same memory."
    return f"\n## Affinity\n\n{intro}\n\n```\n{path.read_text().strip()}\n```\n"


def arm(folder):
    text = (folder / "table.md").read_text() if (folder / "table.md").exists() else ""
    if (folder / "parts.md").exists():
        text += (
            "\n### Where tipcam's instructions go\n\nMillions an image. The third column is what all multiply-accumulates are at the processor's rate: "
            "what no program is below.\nProducts and depthwise hold what they make of sums while these are in registers; results are those "
            "of sums in memory.\n\n" + (folder / "parts.md").read_text()
        )
    return f"\n## ARM\n\n{text}" if text else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = latest(args.home / "results.jsonl")
    if not rows:
        raise SystemExit(f"{args.home}/results.jsonl: no results yet")
    days = sorted({r["when"][:10] for r in rows.values()})
    loads = [r["load"] for r in rows.values()]
    rounds = sorted({f"{r['rounds']} rounds of {r['runs']} runs" for r in rows.values()})
    photographs = max((r.get("photographs", 0) for r in rows.values()), default=0)
    args.out.write_text(
        (HERE / "benchmarks-head.md")
        .read_text()
        .format(
            days=" to ".join(dict.fromkeys((days[0], days[-1]))),
            machine=machine(),
            versions=versions(args.home),
            rounds=" or ".join(rounds),
            loads=f"{min(loads):.1f} to {max(loads):.1f}",
            photographs=photographs,
            summary=summary(rows, args.home),
        )
        + "".join(details(name, rows, args.home) for name in ENCODERS)
        + affinity(args.home / "affinity.txt")
        + start(args.home / "start.json")
        + arm(args.home / "arm")
    )


if __name__ == "__main__":
    main()
