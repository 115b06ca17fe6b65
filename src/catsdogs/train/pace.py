"""Whether a machine has become busier since a time budget was planned."""

from collections.abc import Callable
from time import perf_counter, process_time

SECONDS = 15.0  # of the stretches that are compared: a step of a large network takes 5
MOST = 10.0


class Pace:
    """How many times longer than in its first stretch this process takes for the same work, 1 to 10.

    By what its own processor time leaves unexplained of the clock's. Steps of larger photos take longer by
    themselves, and count for nothing here; neither does a GPU's work, which other programs hardly share.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter, worked: Callable[[], float] = process_time) -> None:
        self._clock, self._worked = clock, worked
        self._since, self._before = clock(), worked()
        self._first: float | None = None
        self._slower = 1.0

    def slower(self) -> float:
        """Of the last whole stretch."""
        passed, worked = self._clock() - self._since, self._worked() - self._before
        if passed >= SECONDS:
            taken = passed / max(worked, 1e-3)
            self._first = self._first or taken
            self._slower = min(MOST, max(1.0, taken / self._first))
            self._since, self._before = self._since + passed, self._before + worked
        return self._slower
