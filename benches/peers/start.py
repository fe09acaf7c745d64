"""From the start of tipcam to its first answer, and its memory at the peak.

    python start.py --home HOME --images DIR --tipcam PROGRAM [--runs 15]

For the asset inside of the program and one of each encoder with 10 classes of 5 shots: `tipcam classify PHOTOGRAPH`,
files in the page cache. Writes HOME/start.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Nothing else is imported: a child's peak counts that of its parent at the fork.
CLASSES, SHOTS = 10, 5


def classify(program, photograph, options):
    """Wall milliseconds and peak resident kB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [program, "classify", photograph, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = (time.perf_counter() - start) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{program} classify {photograph} {options}: exit code {process.returncode}")
    return elapsed, usage.ru_maxrss


def build(program, encoder, images, asset):
    classes = sorted(p for p in (images / "caltech101").iterdir() if p.name[0].islower())[:CLASSES]
    chosen = asset.with_suffix(".classes")
    chosen.write_text("".join(f"{c.name}\n" for c in classes))
    command = [program, "build", "--encoder", encoder, "--shots", images / "caltech101", "--classes", chosen]
    done = subprocess.run([*command, "--per-class", str(SHOTS), "-o", asset], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tipcam build with {encoder}: {done.stderr.strip()[-400:]}")
    return asset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--tipcam", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    photograph = next((args.images / "caltech101/butterfly").glob("*.jpg"))
    assets = {"default": None}
    for encoder in sorted(args.home.glob("models/*/encoder.tipcam")):
        assets[encoder.parent.name] = build(args.tipcam, encoder, args.images, encoder.with_name("asset.tipcam"))
    results = {}
    for name, asset in assets.items():
        options = ["--asset", asset] if asset else []
        classify(args.tipcam, photograph, options)
        walls, peaks = zip(*(classify(args.tipcam, photograph, options) for _ in range(args.runs)))
        results[name] = {
            "asset_bytes": asset.stat().st_size if asset else None,
            "median_ms": statistics.median(walls),
            "peak_kb": max(peaks),
        }
        print(name, results[name], flush=True)
    (args.home / "start.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
