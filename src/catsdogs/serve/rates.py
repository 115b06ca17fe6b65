"""How often a key may ask, counted once for all processes of the service."""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from catsdogs.serve.shared import Shared

CELL = struct.Struct("dd")  # tokens, and when they were counted; CLOCK_MONOTONIC is the same for all processes


class Cells:
    """A pair of numbers for each key: in a file that the processes share, or in memory where there is one process."""

    def __init__(self, count: int, shared: Shared | None) -> None:
        self.file: int | None = None  # a bare descriptor: it is held for as long as the process lives
        if shared is None:
            self.memory = mmap.mmap(-1, count * CELL.size)
            return
        self.file = os.open(shared.folder / "rates", os.O_RDWR | os.O_CREAT, 0o600)
        # Never smaller: a process that was started with more keys would fall over. After a change of keys a cell
        # may pass to another key, which then begins with what the first one has left.
        if os.fstat(self.file).st_size < count * CELL.size:
            os.truncate(self.file, count * CELL.size)
        self.memory = mmap.mmap(self.file, count * CELL.size)

    @contextmanager
    def held(self, place: int) -> Iterator[None]:
        """No other process changes this cell meanwhile. The kernel frees the lock of a process that is killed."""
        if self.file is None:
            yield
            return
        fcntl.lockf(self.file, fcntl.LOCK_EX, CELL.size, place * CELL.size)
        try:
            yield
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, CELL.size, place * CELL.size)


@dataclass
class Bucket:
    """Lets `rate` photos a second pass, and twice as many at once after a pause (token bucket)."""

    rate: float
    cells: Cells = field(default_factory=lambda: Cells(1, None))
    place: int = 0
    now: Callable[[], float] = time.monotonic

    @property
    def most(self) -> float:
        return max(1.0, 2 * self.rate)

    def take(self) -> float:
        """Take one; returns 0, or in how many seconds there will be one."""
        with self.cells.held(self.place):
            tokens = self._counted()
            self._write(tokens - 1 if tokens >= 1 else tokens)
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate

    def owe(self, count: int) -> None:
        """The other photos of a batch, which is let through as a whole: what comes next waits for them."""
        with self.cells.held(self.place):
            self._write(self._counted() - count)

    def _counted(self) -> float:
        """Tokens of now. They are stored as what was taken, so that a new cell, all zeros, is a full bucket."""
        taken: float
        last: float
        taken, last = CELL.unpack_from(self.cells.memory, self.place * CELL.size)
        return self.most - max(0.0, taken - (self.now() - last) * self.rate)

    def _write(self, tokens: float) -> None:
        CELL.pack_into(self.cells.memory, self.place * CELL.size, self.most - tokens, self.now())
