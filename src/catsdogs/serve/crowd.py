"""How many may be connected to a process, and what is left to those beyond: room for a probe, for a moment."""

from typing import Any

MOST_KEPT = 500
"""Connections that a process has open, beyond which new ones end with their first answer."""

MOST_OPEN = 1000  # beyond which only PROBES are answered: whoever counts on them would end a process that is well
PROBES = b"/livez", b"/readyz", b"/health", b"/v2/health/live", b"/v2/health/ready"

MOST_EVER = 2 * MOST_OPEN
"""Beyond which each new one ends the one beyond MOST_OPEN that came first: a connection takes 7 kB before it says
anything. Were the new one turned away, strangers could hold all places, and no probe would get one."""


class Crowd:
    """Those of a process that came beyond MOST_OPEN, the first of them first."""

    def __init__(self) -> None:
        self._beyond: dict[Any, None] = {}

    def came(self, connection: Any, open_now: int) -> bool:
        """Whether this one, counted in `open_now`, is beyond. Ends another where there are too many."""
        if open_now <= MOST_OPEN:
            return False
        if open_now > MOST_EVER and self._beyond:
            first = next(iter(self._beyond))
            self.left(first)
            first.transport.abort()
        self._beyond[connection] = None
        return True

    def left(self, connection: Any) -> None:
        self._beyond.pop(connection, None)
