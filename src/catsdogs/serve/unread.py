"""Answers that clients do not take are bounded for all connections of a process together."""

from typing import Any

MOST_BYTES = 48 * 1024 * 1024
"""That they may hold: a heat map as PNG has 700 kB, and 1,000 connections that took none of theirs held 720 MB."""


class Unread:
    """Beyond it, who has waited longest is sent away: it had the most time to read.

    Were it the newest, a stranger who came early would hold all there is, and slow ones after him lose their answers.
    """

    def __init__(self) -> None:
        self._held: dict[Any, int] = {}  # bytes by connection, who waits longest first
        self._sum = 0

    def add(self, connection: Any) -> None:
        """One with `held()` bytes, again where they are more, and `wire`, which may be ended."""
        self._set(connection, connection.held())
        if self._sum > MOST_BYTES:
            for one in list(self._held):  # they may have read on
                self._set(one, one.held())
        while self._sum > MOST_BYTES and len(self._held) > 1:
            longest = next(iter(self._held))
            self.drop(longest)
            longest.wire.abort()

    def drop(self, connection: Any) -> None:
        self._sum -= self._held.pop(connection, 0)

    def _set(self, connection: Any, held: int) -> None:
        self._sum += held - self._held.get(connection, 0)
        self._held[connection] = held
