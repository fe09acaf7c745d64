"""Where tipcam's instructions go on emulated ARM processors.

    python arm/parts.py --home HOME --images DIR --tipcam ARM_PROGRAM [--only NAME,...] [--processors a53,...]

Writes HOME/arm/parts.md. The program must have its symbols: build it with CARGO_PROFILE_RELEASE_STRIP=none.
"""

import argparse
import bisect
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import ENCODERS, chosen, photograph  # noqa: E402
from processors import PROCESSORS, make_root  # noqa: E402
from report import TITLES, table  # noqa: E402

RUNS = 3
# What functions do, by a part of their names; the first that fits.
PARTS = {
    "products": ("::sums",),
    "their order": ("::arrange", "Tiles::product", "ops::patches"),
    "depthwise": ("depthwise", "kernels::strip"),
    "results": ("finish", "swish_tokens"),
    "codes of rows": ("::quantize", "normalize", "pack_key", "pack_value"),
    "softmax": ("::softmax",),
    "rest": ("",),
}


def symbols(program):
    """Addresses and names of functions, in order."""
    lines = subprocess.run(["nm", "-C", program], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(" ", 2) for line in lines]
    found = sorted((int(s[0], 16), s[2]) for s in found if len(s) == 3 and s[1] in "tTwW")
    if not found:
        raise SystemExit(f"{program} has no symbols: build it with CARGO_PROFILE_RELEASE_STRIP=none")
    return found


def profile(folder, processor, args, functions, path):
    """Instructions of an image by what they do."""
    root = make_root(args.home, processor, PROCESSORS[processor])
    emulator = ["qemu-aarch64", "-L", root, "-cpu", PROCESSORS[processor].qemu, "-plugin", args.home / "arm/count.so"]
    command = [args.tipcam, "bench", "--worker", "--encoder", folder / "encoder.tipcam", "--threads", "1", path]
    blocks = Path(path).with_suffix(".blocks")
    subprocess.run(
        [*emulator, *command],
        # The last write is that of the last runs, the first of which found everything warm.
        input=f"run 1\nrun {RUNS}\n",
        env={**os.environ, "PROFILE": str(blocks)},
        capture_output=True,
        text=True,
        check=True,
    )
    addresses = [address for address, _ in functions]
    parts = Counter()
    for line in blocks.read_text().splitlines():
        address, count = line.split()
        name = functions[max(bisect.bisect_right(addresses, int(address, 16)) - 1, 0)][1]
        part = next(part for part, names in PARTS.items() if any(n in name for n in names))
        parts[part] += int(count) / RUNS
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--tipcam", type=Path, required=True)
    parser.add_argument("--only", default="effl0,tinyclip8m,vitb32")
    parser.add_argument("--processors", default="a53,a76,i8mm")
    args = parser.parse_args()

    functions = symbols(args.tipcam)
    _, files = chosen(args.images)
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.only.split(","):
            folder = args.home / "models" / name
            path = f"{scratch}/x.f32"
            photograph(files[0], ENCODERS[name]).tofile(path)
            macs = sum(json.loads((folder / "macs.json").read_text()).values())
            for processor in args.processors.split(","):
                parts = profile(folder, processor, args, functions, path)
                cells = [f"{parts[part] / 1e6:.1f}" for part in PARTS]
                ideal = f"{macs / PROCESSORS[processor].macs / 1e6:.1f}"
                lines.append([TITLES[name], PROCESSORS[processor].title, ideal, *cells, f"{sum(parts.values()) / 1e6:.1f}"])
                print(" ".join(map(str, lines[-1])), flush=True)
    head = ["encoder", "processor", "multiply-accumulates", *PARTS, "all"]
    (args.home / "arm/parts.md").write_text(table(head, lines))


if __name__ == "__main__":
    main()
