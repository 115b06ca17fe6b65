"""SIGTERM, which spot machines and clusters send before they take a machine away."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from catsdogs.errors import CatsdogsError

STATUS = 128 + signal.SIGTERM  # as a shell would say


class Stopped(CatsdogsError):
    """Asked to stop; the checkpoint was written."""

    exit_status = STATUS


@dataclass
class Interruption:
    asked: bool = False


@contextmanager
def watched() -> Iterator[Interruption]:
    """Notes SIGTERM instead of dying of it, so that the step under way can be ended with a checkpoint."""
    interruption = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        interruption.asked = True

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
