"""SIGTERM, which spot machines and clusters send before they take a machine away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from catsdogs.errors import CatsdogsError


class Stopped(CatsdogsError):
    """Asked to stop; the checkpoint was written."""

    exit_status = 143  # 128 + SIGTERM, as a shell would say


@dataclass
class Interruption:
    asked: bool = False


@contextmanager
def watched() -> Iterator[Interruption]:
    """Notes SIGTERM instead of dying of it, so that the step under way can be ended with a checkpoint."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # Python lets only the main thread handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        interruption.asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
