"""Times the engines side by side and compares their features with the float network's.

    python compare.py --home HOME --images DIR --out RESULTS.jsonl --tipcam PROGRAM [options] [ENGINE...]

Engines are loaded together. Each round visits them in a seeded random order; the others wait stopped. A visit is one run
that does not count, then --runs timed ones. Cosines to the float network's features are taken with one thread and the first
instruction set (--hold, see hold.c) only. A line of RESULTS is one engine with one network, thread count and instruction
set; what RESULTS has already is not run again. With names of engines, for example `tipcam LiteRT`, only these run.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
from datetime import datetime, timezone
from itertools import product
from pathlib import Path

import numpy as np

from common import ENCODERS, SEED, chosen, photograph
from engines import PEERS, available, command, rust_peers, tipcam
from process import Worker, WorkerError

FLOAT_PHOTOGRAPHS = 8


def environment(home, hold):
    if hold == "none":
        return {}
    # A static tipcam loads nothing, and is told.
    return {"LD_PRELOAD": str(home / "hold.so"), "HOLD": hold, "TIPCAM_KERNEL": hold}


def start(engines, folder, threads, path, variables):
    """Workers that run, and why the others do not."""
    workers, failures = [], {}
    for engine in engines:
        try:
            worker = Worker(engine, command(engine, folder, threads, path), threads, variables)
        except WorkerError as error:
            failures[engine.name] = str(error)
            continue
        try:  # Some end in their first run.
            worker.wake()
            worker.times(1)
            worker.stop()
            workers.append(worker)
        except WorkerError as error:
            failures[engine.name] = str(error)
            worker.close()
    return workers, failures


def time_workers(workers, rounds, runs):
    """Per worker: wall times in microseconds of each round, CPU milliseconds a run of each round."""
    order = random.Random(SEED)
    for worker in workers:
        worker.wall, worker.cpu = [], []
    for _ in range(rounds):
        for worker in order.sample(workers, len(workers)):
            worker.wake()
            worker.times(1)
            before = worker.cpu_ms()
            worker.wall.append(worker.times(runs))
            worker.cpu.append((worker.cpu_ms() - before) / runs)
            worker.stop()


def result(worker, best):
    """`quiet_ms`: median over the rounds of a round's fastest run, which a preempted run does not spoil. `ratio`: the same
    relative to the fastest int8 peer in the same round."""
    every = sorted(t for times in worker.wall for t in times)
    fastest = [min(times) for times in worker.wall]
    return {
        "median_ms": statistics.median(every) / 1e3,
        "quiet_ms": statistics.median(fastest) / 1e3,
        "p90_ms": every[int(0.9 * (len(every) - 1))] / 1e3,
        "ratio": statistics.median(a / min(b) for a, b in zip(fastest, best.wall)),
        "cpu_ms": statistics.median(worker.cpu),
        "peak_kb": worker.peak_kb(),
        **worker.about,
    }


def cosines(workers, reference, encoder, files, scratch):
    """Cosine of each worker's features to the reference's, for each photograph; of float engines for the first few."""
    found = {worker.engine.name: [] for worker in workers}
    for i, file in enumerate(files):
        photograph(file, encoder).tofile(scratch)
        wanted = reference.feature(scratch)
        for worker in (w for w in workers if w.engine.int8 or i < FLOAT_PHOTOGRAPHS):
            got = worker.feature(scratch)
            found[worker.engine.name].append(float(wanted @ got / np.linalg.norm(wanted) / np.linalg.norm(got)))
    return found


def peak(program, threads, variables):
    """Multiply-accumulates a second, in thousand millions, of the processor's int8 instruction."""
    done = subprocess.run(
        [program, "bench", "--threads", str(threads), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    return json.loads(done.stdout)["peak_gmacs"]


def measure(name, threads, hold, engines, files, args):
    """Result rows of one network, thread count and instruction set."""
    folder, encoder = args.home / "models" / name, ENCODERS[name]
    scratch = Path(tempfile.gettempdir()) / f"peers-{os.getpid()}.f32"
    photograph(files[0], encoder).tofile(scratch)
    workers, failures = start(engines, folder, threads, scratch, environment(args.home, hold))
    time_workers(workers, args.rounds, args.runs)
    peers = [w for w in workers if w.engine.int8 and not w.engine.own]
    best = min(peers or workers, key=lambda w: statistics.median(map(min, w.wall)))
    common = {
        "encoder": name,
        "threads": threads,
        "hold": hold,
        "rounds": args.rounds,
        "runs": args.runs,
        "load": os.getloadavg()[0],
        "peak_gmacs": peak(args.tipcam, threads, environment(args.home, hold)),
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    rows = {w.engine.name: {**common, "engine": w.engine.name, **result(w, best)} for w in workers}
    if threads == 1 and hold == args.hold.split(",")[0]:
        engine = next(e for e in PEERS if e.file == "float.onnx")
        reference = Worker(engine, command(engine, folder, 1, scratch), 1, {})
        found = cosines(workers, reference, encoder, files[: args.photographs], scratch)
        for engine, values in found.items():
            cosine = {"cosine_mean": float(np.mean(values)), "cosine_min": min(values), "photographs": len(values)}
            rows[engine] |= cosine
        reference.close()
    for worker in workers:
        worker.close()
    scratch.unlink()
    rows |= {n: {**common, "engine": n, "failure": why} for n, why in failures.items()}
    return list(rows.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tipcam", type=Path, required=True)
    parser.add_argument("--only", default=",".join(ENCODERS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--hold", default="none,avx512,avxvnni")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=500)
    parser.add_argument("--floats", action="store_true", help="the float engines too, where nothing is held")
    parser.add_argument("engines", nargs="*")
    args = parser.parse_args()

    _, files = chosen(args.images)
    every = (*tipcam(args.tipcam), *PEERS, *rust_peers(args.home / "rust/release/peers"))
    done = read(args.out)
    for case in product(args.only.split(","), map(int, args.threads.split(",")), args.hold.split(",")):
        name, threads, hold = case
        engines = [
            e for e in available(every, args.home / "models" / name) if not args.engines or e.name in args.engines
        ]
        engines = [e for e in engines if e.int8 or (args.floats and hold == "none")]
        # A ratio needs every engine in the same run: all again or none.
        if {e.name for e in engines} <= {row["engine"] for row in done if key(row) == case}:
            continue
        rows = measure(name, threads, hold, engines, files, args)
        with open(args.out, "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        show(case, rows)


def key(row):
    return row["encoder"], row["threads"], row["hold"]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def show(case, rows):
    name, threads, hold = case
    print(f"\n{name}, {threads} thread(s), held to {hold}")
    for row in sorted(rows, key=lambda r: r.get("quiet_ms", 1e9)):
        if "failure" in row:
            print(f"  {row['engine']:22} {row['failure'][:120]}")
        else:
            cosine = f"{row['cosine_mean']:.4f}" if "cosine_mean" in row else ""
            print(f"  {row['engine']:22} {row['quiet_ms']:8.2f} ms  x{row['ratio']:.2f}  {cosine}", flush=True)


if __name__ == "__main__":
    main()
