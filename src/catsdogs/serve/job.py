"""One photo's work, and what becomes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catsdogs.images import Pixels
from catsdogs.predictor import Predictor


@dataclass(eq=False)
class Job:
    """`prepare` makes the pixels of one photo, uint8 [1, size, size, 3]; `alone`, where it is given, does it all."""

    answer: "asyncio.Future[Any]"
    prepare: Callable[[Predictor], Pixels] | None = None
    alone: Callable[[Predictor], Any] | None = None
    abandoned: bool = False
    begun: bool = False  # a thread is at it
    counted: bool = True  # among those that the queue is full of

    def give_up(self) -> None:
        """Nobody waits any more. Whoever takes it from the queue skips it; the photo does not wait for that."""
        self.abandoned = True
        self.prepare = self.alone = None


def alone(error: Exception) -> Exception:
    """Without the frames that it and what caused it came through: they hold the photo, and by its job the error itself,
    and 20 MB each would wait for the garbage collector."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
