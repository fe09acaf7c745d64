"""A real MQTT broker beside the board, and what it hears."""

import shutil
import socket
import subprocess
import time

from lines import Lines

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
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.broker = subprocess.Popen(["/usr/sbin/mosquitto", "-p", str(self.port)], **quiet)
        for _ in range(100):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        self.listener = subprocess.Popen(["mosquitto_sub", "-p", str(self.port), "-v", "-t", "tipcam/#"],
                                         stdout=subprocess.PIPE, text=True)
        self.messages = Lines(self.listener.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.listener, self.broker):
            process.kill()
            process.wait()

    def hears(self, message):
        """Waits for `TOPIC PAYLOAD` among the next messages."""
        self.messages.wait(f"message {message!r}", lambda heard: heard == message)
