"""What a process writes, line by line, while it runs."""

import queue
import threading
import time


class Lines:
    """The lines of a stream of text, read on a thread of its own."""

    def __init__(self, stream):
        self.waiting = queue.Queue()
        threading.Thread(target=self._read, args=[stream], daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self.waiting.put(line.rstrip())
        self.waiting.put(None)

    def wait(self, what, found, seconds=300):
        """What `found` makes of the next lines, as soon as it is something."""
        end = time.monotonic() + seconds
        seen = []
        while True:
            try:
                line = self.waiting.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise SystemExit("\n".join([*seen[-40:], f"board: no {what} within {seconds} s, or its source has ended"]))
            seen.append(line)
            if result := found(line):
                return result
