"""A process of the service as its supervisor sees it, and the place that it or its successor holds."""

import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.serve.shared import Shared


@dataclass
class Worker:
    pid: int
    shared: Shared
    report: int
    started: float = field(default_factory=time.monotonic)
    said: bytes = b""
    ready: bool = False
    reload: bool = False  # SIGHUP came before it could take it
    leaving: bool = False  # another is ready in its place
    until: float | None = None  # when it is to be gone, having been told to

    def tell(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass  # its end is about to be noticed


@dataclass
class Place:
    """One of the processes that there are to be. Its socket outlives them: what waits there, the next one answers."""

    listener: socket.socket | None
    worker: Worker | None = None
    successor: Worker | None = None
    failures: int = 0
    due: float | None = None  # when to start again


def reason(worker: Worker, status: int) -> CatsdogsError:
    """Why it ended: what it said last, or its exit status (of a signal, minus its number)."""
    try:
        said = json.loads(worker.said)
    except ValueError:
        said = {}
    if "refused" in said:
        return (UsageError if said["status"] == UsageError.exit_status else CatsdogsError)(said["refused"])
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    return CatsdogsError(f"A process of the service {how}; where memory is short, lower --processes.")
