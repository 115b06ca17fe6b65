"""Runs a command and reads its memory while it runs."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    output: str
    seconds: float
    peak_bytes: int  # of the process and its children together, file-backed maps not counted


def measure(command: list[str]) -> Measured:
    """Raises CalledProcessError where the command fails."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watcher = _Watcher(process.pid)
        watcher.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - started
        watcher.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Measured(output, seconds, watcher.peak)


class _Watcher(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self._done = pid, 0, threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, sum(map(_anonymous_bytes, tree(self.pid))))

    def stop(self) -> None:
        self._done.set()
        self.join()


def tree(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        found.append(current := waiting.pop())
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:
                continue  # it ended meanwhile
    return found


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
