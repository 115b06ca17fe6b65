"""Sends what is recorded, in its order, from a thread of its own: training never waits for a server that is away."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from catsdogs.log import event
from catsdogs.mlflow_server import first_line

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between attempts, doubling
MOST = 100_000  # messages that may wait: a server may be away for days
TRIES = 3  # until a message goes behind the others, which it may be alone to fail among
ALONE = 3  # times that the next one was taken right after it had failed so often, until it is dropped

Message = Callable[[], object]  # sends it; may be called several times


@dataclass
class _Kept:
    send: Message
    live: bool = False  # a point of a curve, which the curve does without
    alone: int = 0  # how often the next one was taken where it had failed


class Sender:
    """Keeps messages until they are sent, in their order; one that fails again and again goes behind the others.

    What `refused` says no more attempt can mend is said once, and dropped; so is what goes on failing where others are
    taken at the same moment: a file that a server has no room for is no server that is away.
    """

    def __init__(self, refused: Callable[[Exception], bool]) -> None:
        self._refused = refused
        self._waiting: deque[_Kept] = deque()
        self._changed = threading.Condition()
        self._patience: float | None = None  # once closing: seconds that failures may go on
        self._away_since = 0.0  # since when, of closing and the first failure in a row the later one
        self._suspect: _Kept | None = None  # has just gone behind the others
        self._said: set[str] = set()
        self.trouble = ""  # of the last attempt that failed
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def put(self, message: Message, *, live: bool = False) -> None:
        """Where too many wait, the oldest `live` one makes room for this one: the end of a run is what counts."""
        with self._changed:
            if len(self._waiting) >= MOST:
                self._say("tracking_lost", f"more than {MOST:,} messages wait for the server")
                if not self._made_room():
                    return
            self._waiting.append(_Kept(message, live))
            self._changed.notify()

    def _made_room(self) -> bool:
        """Whether a point went; the first message may be under way, so it stays."""
        for place, kept in enumerate(self._waiting):
            if place and kept.live:
                del self._waiting[place]
                return True
        return False

    def close(self, patience: float, *, at_most: float | None = None) -> int:
        """Send what is left; give up once the server has been away for `patience` seconds, or `at_most` are over.

        Returns how many messages were not sent.
        """
        with self._changed:
            self._patience, self._away_since = patience, time.monotonic()
            self._changed.notify()
        self._thread.join(at_most)
        return len(self._waiting)

    def _run(self) -> None:
        failures = 0
        while (kept := self._next()) is not None:
            began = time.monotonic()
            try:
                kept.send()
                if self._suspect is not None:
                    self._suspect.alone += self._suspect is not kept
                    self._suspect = None
            except Exception as error:  # whatever a server, a proxy or a database answers
                self.trouble = first_line(error)
                if not self._refused(error):
                    failures += 1
                    if failures == 1:
                        self._away_since = max(self._away_since, began)
                    self._suspect = None
                    if failures % TRIES == 0 and kept.alone >= ALONE:
                        self._say("tracking_refused", self.trouble)
                        with self._changed:
                            self._waiting.popleft()
                        continue
                    self._say("tracking_waits", self.trouble)
                    if failures % TRIES == 0:
                        self._suspect = kept
                        with self._changed:
                            self._waiting.rotate(-1)
                    if not self._paused(failures):
                        return
                    continue
                self._say("tracking_refused", self.trouble)
            with self._changed:
                self._waiting.popleft()
            if failures:
                event("tracking_caught_up", still_to_send=len(self._waiting))
                self._said.discard("tracking_waits")
                failures = 0

    def _next(self) -> _Kept | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._patience is not None)
            return self._waiting[0] if self._waiting else None

    def _paused(self, failures: int) -> bool:
        """Wait before the next attempt; False where there is to be none. Closing ends a long wait."""
        pause = random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
        with self._changed:
            if not self._changed.wait_for(lambda: self._patience is not None, pause):
                return True
            assert self._patience is not None
            left = self._away_since + self._patience - time.monotonic()  # attempts that hang count as well
        if left <= 0:
            return False
        time.sleep(min(FIRST_PAUSE, left))
        return True

    def _say(self, name: str, reason: str) -> None:
        if name not in self._said:
            self._said.add(name)
            event(name, because=reason)
