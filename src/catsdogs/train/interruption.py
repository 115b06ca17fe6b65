"""SIGTERM, which spot machines and clusters send before they take a machine away."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from catsdogs.errors import CatsdogsError

STATUS = 128 + signal.SIGTERM  # as a shell would say
LEAVE_WITHIN = 8.0
"""Seconds after SIGTERM: docker gives 10, clouds 25 to 30. What is not sent then, another machine does without: the
bucket's last checkpoint is a minute old at most."""
LEAST = 1.0  # for each of what is left to do, however late it is


class Stopped(CatsdogsError):
    """Asked to stop; the checkpoint was written."""

    exit_status = STATUS

    def __init__(self, message: str = "Stopped; run the same command again to go on.", asked_at: float | None = None
                 ) -> None:
        super().__init__(message)
        self._leave_at = (time.monotonic() if asked_at is None else asked_at) + LEAVE_WITHIN

    def seconds_left(self) -> float:
        """Until this process should be gone."""
        return max(LEAST, self._leave_at - time.monotonic())


class Abandoned(Exception):
    """A step or a validation was given up half-way: the network is as it was before."""


@dataclass
class Interruption:
    asked: bool = False
    at: float | None = None  # on the monotonic clock; of another process that was asked, it is not known


@contextmanager
def watched() -> Iterator[Interruption]:
    """Notes SIGTERM instead of dying of it, so that the step under way can be ended with a checkpoint."""
    interruption = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        interruption.asked, interruption.at = True, interruption.at or time.monotonic()

    with _handled_by(note):
        yield interruption


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit inside, so that what is open is closed; by itself it would end the process at once."""
    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would end the closing
        raise SystemExit(STATUS)

    with _handled_by(end):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGTERM, until the end; Python lets only the main thread handle signals, so elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
