"""Sends what is recorded, in its order, from a thread of its own: training never waits for a server that is away."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable

from catsdogs.log import event
from catsdogs.mlflow_server import first_line

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between attempts, doubling
MOST = 100_000  # messages that may wait: a server may be away for days

Message = Callable[[], object]  # sends it; may be called several times


class Sender:
    """Keeps messages until they are sent. What `refused` says no more attempt can mend is said once, and dropped."""

    def __init__(self, refused: Callable[[Exception], bool]) -> None:
        self._refused = refused
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._patience: float | None = None  # once closing: seconds that failures may go on
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        with self._changed:
            if len(self._waiting) >= MOST:
                self._say("tracking_lost", f"more than {MOST:,} messages wait for the server")
                return
            self._waiting.append(message)
            self._changed.notify()

    def close(self, patience: float, *, at_most: float | None = None) -> int:
        """Send what is left; give up once the server has been away for `patience` seconds, or `at_most` are over.

        Returns how many messages were not sent.
        """
        with self._changed:
            self._patience = patience
            self._changed.notify()
        self._thread.join(at_most)
        return len(self._waiting)

    def _run(self) -> None:
        failures = 0
        while (message := self._next()) is not None:
            try:
                message()
            except Exception as error:  # whatever a server, a proxy or a database answers
                if not self._refused(error):
                    failures += 1
                    self._say("tracking_waits", first_line(error))
                    if not self._paused(failures):
                        return
                    continue
                self._say("tracking_refused", first_line(error))
            with self._changed:
                self._waiting.popleft()
            if failures:
                event("tracking_caught_up", still_to_send=len(self._waiting))
                self._said.discard("tracking_waits")
                failures = 0

    def _next(self) -> Message | None:
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
            if self._patience <= 0:
                return False
            short = min(FIRST_PAUSE, self._patience)
            self._patience -= short
        time.sleep(short)
        return True

    def _say(self, name: str, reason: str) -> None:
        if name not in self._said:
            self._said.add(name)
            event(name, because=reason)
