"""uvicorn's connection, but it sends an answer in one piece: headers and body were two system calls and two packets."""

import asyncio
from collections.abc import Callable
from typing import Any

from catsdogs.serve.closing import Closing

MOST_BYTES = 64 * 1024  # to hold back: a longer answer goes out in pieces


class JoinedWrites:
    """A transport for what is written between two looks of the event loop at its connections; else the one within.

    `end`: instead of its close.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop,
                 end: Callable[[], None] | None = None) -> None:
        self._transport, self._loop, self.is_closing = transport, loop, transport.is_closing
        self.end = end or transport.close
        self._parts: list[bytes] = []
        self._held = 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._held += len(data)
        if self._held > MOST_BYTES:
            self.flush()

    def close(self) -> None:
        self.flush()
        self.is_closing = _closed
        self.end()

    def flush(self) -> None:
        parts, self._parts, self._held = self._parts, [], 0
        if parts and not self.is_closing():  # by now its client may have gone, and uvloop raises then
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Joined(Closing):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = self._joined = JoinedWrites(transport, self.loop, self.end)  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._joined.end = self.wire.close  # or both would refer to each other, and wait for the garbage collector

    def eof_received(self) -> None:
        """Its client will ask nothing more. uvloop closes the connection after this: what is answered already is sent,
        what is not counts as given up, as where a client leaves."""
        self._joined.flush()
        super().eof_received()


def _closed() -> bool:
    return True
