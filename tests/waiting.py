"""Waiting for what is to come true, for as long as a busy machine may need."""

import time
from collections.abc import Callable
from typing import Any


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Ask again until the answer is true."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
    return answer
