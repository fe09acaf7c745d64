"""A real MQTT broker beside the board, and what it hears."""

import queue
import shutil
import socket
import subprocess
import threading
import time

# What the emulated network calls this machine.
HOST = "10.0.2.2"


def missing():
    """The programs that this needs and that are not here."""
    needed = ["mosquitto", "mosquitto_sub"]
    return [name for name in needed if not shutil.which(name, path="/usr/sbin:/usr/bin")]


class Broker:
    """Runs until the end of `with`."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"mqtt://{HOST}:{self.port}"
        self.messages = queue.Queue()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.broker = subprocess.Popen(["/usr/sbin/mosquitto", "-p", str(self.port)], **quiet)
        for _ in range(100):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        self.listener = subprocess.Popen(["mosquitto_sub", "-p", str(self.port), "-v", "-t", "tipcam/#"],
                                         stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.listener, self.broker):
            process.kill()
            process.wait()

    def _read(self):
        for line in self.listener.stdout:
            self.messages.put(line.rstrip("\n"))
        self.messages.put(None)

    def hears(self, message, seconds=300):
        """Waits for `TOPIC PAYLOAD` among the next messages."""
        end = time.monotonic() + seconds
        heard = []
        while True:
            try:
                next_one = self.messages.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                next_one = None
            if next_one is None:
                raise SystemExit("\n".join([*heard[-20:], f"board: the broker did not hear {message!r} within {seconds} s"]))
            heard.append(next_one)
            if next_one == message:
                return
