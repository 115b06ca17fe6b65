"""uvicorn's connection, but its end has limits too: not before the client can have read its answer, and not never."""

import asyncio
import fcntl
import struct
import sys
import termios
from typing import Any

from catsdogs.serve.head import Head
from catsdogs.serve.lingering import Lingering
from catsdogs.serve.unread import Unread

PATIENCE_SECONDS = 30.0
"""Between two looks whether a client has read on in its answers. uvicorn waits for ever, even once it has closed the
connection: a few hundred clients that read nothing held all files that a process may open."""

TAKING_SECONDS = 60.0
"""For an answer to be taken, for each MB of it begun: whoever takes a few bytes at each look kept it for ever."""

HIGH_WATER = 4096
"""Bytes of an answer that may wait before it is watched: uvicorn's 64 kB of every connection would not be counted."""

LAST_SECONDS = 1.0  # PATIENCE_SECONDS, once the service stops


class Closing(Head):
    """`end` instead of its transport's close."""

    _stopping = False
    _lingering: Lingering | None = None
    _watch: asyncio.TimerHandle | None = None
    _unread = 0
    _until = 0.0

    def __init__(self, *arguments: Any, unread: Unread, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._all_unread = unread

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.wire = transport  # `transport` may be wrapped
        transport.set_write_buffer_limits(HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watch()
        self._lingering = None  # it refers back
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_watch()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self._watch is not None:
            self._all_unread.add(self)

    def shutdown(self) -> None:
        self._stopping = True
        if self._lingering is not None:
            self._lingering.end()
        else:
            super().shutdown()
        if self._watch is not None:
            self._stop_watch()
            self._start_watch()

    def end(self) -> None:
        """Close, once; what the client has not read by then it may still read."""
        if self.wire.is_closing() or self._lingering is not None:
            return
        if (self._in_body or self._deaf) and not self._stopping and self.wire.can_write_eof():
            self.flow.resume_reading()
            self._lingering = Lingering(self.wire, self, self.loop)
        else:
            self.wire.close()
        self._start_watch()

    def held(self) -> int:
        """Bytes of memory, while its client does not read: of answers, and of bodies that came in the meantime."""
        cycles = [cycle for cycle, _ in self.pipeline] or [self.cycle]
        return self.wire.get_write_buffer_size() + sum(len(cycle.body) for cycle in cycles if cycle is not None)

    def _start_watch(self) -> None:
        if self._watch is None and (size := self.wire.get_write_buffer_size()):
            self._unread = sys.maxsize  # nothing has been sent yet; the first look counts
            self._until = self.loop.time() + TAKING_SECONDS * (1 + size // 2**20)
            self._wait()
            self._all_unread.add(self)

    def _wait(self) -> None:
        patience = LAST_SECONDS if self._stopping else PATIENCE_SECONDS
        self._watch = self.loop.call_later(max(0.0, min(patience, self._until - self.loop.time())), self._look)

    def _stop_watch(self) -> None:
        self._all_unread.drop(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        self._watch = None
        if not self.wire.get_write_buffer_size():
            self._all_unread.drop(self)
            return
        before, self._unread = self._unread, unread(self.wire)
        if self._unread < before and self.loop.time() < self._until:
            self._wait()
        else:
            self.wire.abort()


def unread(transport: asyncio.Transport) -> int:
    """Bytes that the client has not taken. Those that the kernel keeps count too: it asks for more only once a third of
    them is read, of up to 4 MB, which takes a slow reader longer."""
    kept = 0
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        kept = int(struct.unpack("i", answer)[0])
    except OSError:
        pass  # not Linux
    return transport.get_write_buffer_size() + kept
