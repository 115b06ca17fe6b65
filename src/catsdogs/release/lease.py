"""Only one release at a time: an object in the bucket with an expiry, renewed while its holder lives.

The holder looks before every change of the cluster. A process that stands still for longer than the lease between
looking and changing could still change something: the lease is much longer than such a call takes, and its end is
what a stopped machine is recognised by.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.guarded import Guarded, Overtaken, Seen
from catsdogs.log import event
from catsdogs.release.record import KEY, Phase, Record
from catsdogs.stores.store import Store


class Busy(CatsdogsError):
    """Another release holds the lease."""


class Lost(CatsdogsError):
    """The lease ran out, or somebody took it: nothing may be changed any more."""


def unfinished(store: Store) -> Seen[Record]:
    """The record of a release that died before it was done; `value` is None where there is none. Raises Busy."""
    seen = Guarded(store, KEY, Record).read()
    if seen.value is None or seen.value.phase == "done":
        return Seen(None, seen.generation)
    if seen.value.alive():
        raise Busy(f"A {seen.value.kind} by {seen.value.who} ({seen.value.host}) is under way: wait for it; if it is "
                   f"dead, run this again after {seen.value.clock()}.")
    return seen


class Lease:
    """The record as it was last written, and a thread that keeps it from expiring."""

    def __init__(self, store: Store, record: Record, seconds: float) -> None:
        self._guarded = Guarded(store, KEY, Record)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._lost = ""
        self.record = record

    def look(self) -> None:
        """Raises Lost where it is no longer ours."""
        if self._lost or time.time() > self.record.expires:
            raise Lost(f"The lease of this {self.record.kind} is lost ({self._lost or 'it could not be renewed'}): "
                       "whoever holds it now decides; nothing more is changed here.")

    def advance(self, phase: Phase, **changes: Any) -> None:
        """Write down what comes next, before it is done."""
        with self._lock:
            self.look()
            self._write(phase=phase, **changes)

    def _write(self, **changes: Any) -> None:
        seen = self._guarded.read()
        if seen.value is None or seen.value.id != self.record.id or seen.value.host != self.record.host:
            self._lost = "somebody else took it"
            self.look()
        now = self.record.model_copy(update={"expires": time.time() + self._seconds, "beat": self.record.beat + 1,
                                             **changes})
        try:
            self._guarded.put(now, seen)
        except Overtaken:
            self._lost = "somebody else took it"
            self.look()
        self.record = now

    def _beat(self) -> None:
        while not self._stopped.wait(self._seconds / 3):
            with self._lock:
                if self._lost or self._stopped.is_set():
                    return
                try:
                    self._write()
                except Lost:
                    return
                except CatsdogsError as error:
                    event("lease_not_renewed", because=error)

    @contextmanager
    def kept(self) -> Iterator[None]:
        thread = threading.Thread(target=self._beat, daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


@contextmanager
def held(store: Store, record: Record, seen: Seen[Record], seconds: float) -> Iterator[Lease]:
    """Take the lease in place of what was `seen`, and keep it. Raises Busy where somebody else was faster."""
    try:
        Guarded(store, KEY, Record).put(record, seen)
    except Overtaken:
        unfinished(store)  # says who holds it
        raise Busy("Another release was faster and is done already: look at it, and run this again.") from None
    lease = Lease(store, record, seconds)
    with lease.kept():
        yield lease
