"""What a client still sends after its answer is dropped for a while, before its connection closes.

Where bytes arrive that nobody reads, the kernel resets the connection, and the client may lose the answer: who sends a
body without looking up never saw that it was too large.
"""

import asyncio
from typing import Any

QUIET_SECONDS = 2.0  # in which nothing comes
MOST_SECONDS = 10.0
MOST_BYTES = 64 * 1024 * 1024


class Lingering(asyncio.Protocol):
    """Takes the transport over from `before`, which it tells of its end; the client sees the end of the answer."""

    def __init__(self, transport: asyncio.Transport, before: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._before, self._loop = transport, before, loop
        self._until = loop.time() + MOST_SECONDS
        self._came, self._seen = 0, -1
        transport.set_protocol(self)
        transport.write_eof()
        self._look()

    def data_received(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > MOST_BYTES:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()

    def end(self) -> None:
        self._timer.cancel()
        self._transport.close()

    def _look(self) -> None:
        self._timer = self._loop.call_later(QUIET_SECONDS, self._look)
        if self._came == self._seen or self._loop.time() >= self._until:
            self.end()
        self._seen = self._came
