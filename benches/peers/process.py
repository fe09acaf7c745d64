"""A worker process: started, asked, stopped and measured from outside."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np


class WorkerError(Exception):
    pass


class Worker:
    """Waits stopped (SIGSTOP) between calls of `active`, so that no spinning thread of it disturbs another engine."""

    def __init__(self, engine, argv, threads, environment):
        self.engine = engine
        variables = dict(os.environ, **environment, PYTHONDONTWRITEBYTECODE="1")
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
        self.stderr = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=self.stderr, text=True, env=variables)
        line = self.process.stdout.readline()
        try:
            self.about = dict(json.loads(line))
        except (ValueError, TypeError):
            self.close()
            raise WorkerError(self.why(f"first line {line!r}")) from None
        self.stop()

    def why(self, what):
        self.stderr.seek(0)
        return f"{what}: {self.stderr.read().strip()[-400:]}"

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise WorkerError(self.why(f"no answer to {line!r}"))
        return answer

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    def times(self, count):
        """Wall times in microseconds."""
        times = json.loads(self.ask(f"run {count}"))
        if len(times) != count:
            raise WorkerError(f"{len(times)} times for run {count}")
        return times

    def feature(self, path):
        """The output for the input at `path`, f32 [d]."""
        self.wake()
        if self.ask(f"in {path}") != "ok":
            raise WorkerError("the answer to `in PATH` is not ok")
        self.times(1)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.f32"
            self.ask(f"out {out}")
            values = np.fromfile(out, np.float32)
        self.stop()
        return values

    def cpu_ms(self):
        """Time that all threads have run on a processor so far."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass  # the thread has ended
        return total / 1e6

    def peak_kb(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def close(self):
        self.wake()
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
