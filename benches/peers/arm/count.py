"""Instructions an image on emulated ARM processors, one thread.

    python arm/count.py --home HOME --images DIR --tipcam ARM_PROGRAM [--only NAME,...] [--processors a53,...] [ENGINE...]

Appends to HOME/arm/results.jsonl (what it has is not counted again, except of tipcam when the program is another one) and writes
HOME/arm/table.md. A count is that of a request for two runs less that of a request for one, so neither loading nor the
protocol is in it. It says nothing of caches and latencies.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import ENCODERS, HERE, chosen, photograph  # noqa: E402
from processors import PROCESSORS, make_root  # noqa: E402
from table import write_table  # noqa: E402

PEERS = {  # name: kind in worker.py, file
    "LiteRT": ("litert", "int8.tflite"),
    "ncnn": ("ncnn", "ncnn-int8.param"),
    "ONNX Runtime QDQ": ("ort", "qdq.onnx"),
    "ONNX Runtime dynamic": ("ort", "dynamic.onnx"),
}
TIMEOUT = 1200
REPORT = "instructions "


def command(engine, folder, side, args, path):
    if engine == "tipcam":
        return [args.tipcam, "bench", "--worker", "--encoder", folder / "encoder.tipcam", "--threads", "1", path]
    kind, file = PEERS[engine]
    python = next((args.home / "arm/root/usr/bin").glob("python3.??"))
    return [python, HERE / "worker.py", kind, folder / file, "1", path, str(side)]


def count(engine, folder, side, processor, args, path):
    """Instructions of one run, and its feature."""
    settings = PROCESSORS[processor]
    root = make_root(args.home, processor, settings)
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    if engine != "tipcam":
        variables |= {"PYTHONHOME": args.home / "arm/root/usr", "PYTHONPATH": args.home / "arm/site"}
    out = Path(path).with_suffix(".out")
    emulator = ["qemu-aarch64", "-L", root, "-cpu", settings.qemu, "-plugin", args.home / "arm/count.so"]
    done = subprocess.run(
        [*emulator, *command(engine, folder, side, args, path)],
        input=f"run 1\nrun 2\nout {out}\n",
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    reports = [int(line.removeprefix(REPORT)) for line in done.stderr.splitlines() if line.startswith(REPORT)]
    if done.returncode or len(reports) < 4:
        errors = [line for line in done.stderr.splitlines() if not line.startswith(REPORT)]
        raise RuntimeError(f"exit code {done.returncode}, {len(reports)} reports: {' '.join(errors)[-300:]}")
    started, once, thrice = reports[:3]
    return (thrice - once) - (once - started), np.fromfile(out, np.float32)


def reference(folder, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "float.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0].ravel()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--tipcam", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ENCODERS))
    parser.add_argument("--processors", default=",".join(PROCESSORS))
    parser.add_argument("engines", nargs="*", default=["tipcam", *PEERS])
    args = parser.parse_args()

    results = args.home / "arm/results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    stamp = args.tipcam.stat().st_mtime if args.tipcam.exists() else 0
    done = {(r["encoder"], r["processor"], r["engine"]): r for r in rows}
    _, files = chosen(args.images)
    with tempfile.TemporaryDirectory() as scratch, open(results, "a") as file:
        for name in args.only.split(","):
            folder, encoder = args.home / "models" / name, ENCODERS[name]
            x, path = photograph(files[0], encoder), f"{scratch}/x.f32"
            x.tofile(path)
            for processor in args.processors.split(","):
                for engine in args.engines:
                    known = done.get((name, processor, engine), {})
                    wanted = folder / ("encoder.tipcam" if engine == "tipcam" else PEERS[engine][1])
                    current = engine != "tipcam" or known.get("program") == stamp
                    if not wanted.exists() or ("instructions" in known and current):
                        continue
                    row = {"encoder": name, "processor": processor, "engine": engine}
                    if engine == "tipcam":
                        row["program"] = stamp
                    try:
                        instructions, y = count(engine, folder, encoder.side, processor, args, path)
                        float_y = reference(folder, x)
                        cosine = float(y @ float_y / np.linalg.norm(y) / np.linalg.norm(float_y))
                        row |= {"instructions": instructions, "cosine": cosine}
                    except (RuntimeError, subprocess.TimeoutExpired) as error:
                        row["failure"] = str(error)[-400:]
                    print(json.dumps(row), file=file, flush=True)
                    print(json.dumps(row), flush=True)
                    done[name, processor, engine] = row
    write_table(done, args.home)


if __name__ == "__main__":
    main()
