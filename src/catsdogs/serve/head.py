"""uvicorn's connection, but the head of a request has limits, which no app sees: it begins where the head is complete.

And what is no HTTP gets an answer, a line of the log and a count like every other request.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from catsdogs.serve.headers import ALWAYS

MOST_BYTES = 64 * 1024
"""That may come without a head, a part of a body or a message being completed: endless header lines, trailers behind a
body and extensions of chunks are kept in memory, or read without an end."""

SECONDS = 10.0  # for a head to arrive; a connection that is kept open between two requests has uvicorn's 5


class Head(HttpToolsProtocol):
    _moved = _head_open = _in_body = False
    _stuck = _size = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._moved = False
        super().data_received(data)
        self._stuck = 0 if self._moved else self._stuck + len(data)
        if self._stuck > MOST_BYTES:
            self._refuse_size()
            return
        # A body has the app's own limit, but not where the app answered without it; what is idle has uvicorn's.
        answered = self.cycle is not None and self.cycle.response_complete
        if self._moved and not answered:
            self._stop_timer()
        if self._head_open or answered or not (self._moved or self._in_body):
            self._start_timer()

    def on_message_begin(self) -> None:
        self._head_open, self._size = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_open:  # not a trailer: nobody reads it
            self._size += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._size > MOST_BYTES:  # all in one piece
            raise ValueError("a large head")  # the parser's caller answers with send_400_response
        self._head_open, self._in_body, self._moved = False, True, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._moved = False, True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._size > MOST_BYTES:
            self._refuse_size()
        else:
            self._refuse(400, "bad-http", "The request is no valid HTTP.")

    def _too_slow(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # the request before is answered first
            self._start_timer()
        elif self._head_open:
            self._refuse(408, "slow-head", f"The head of the request did not arrive within {SECONDS:g} s.")
        else:
            self.transport.close()  # nothing was asked

    def _start_timer(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_size(self) -> None:
        self._refuse(431, "large-head", f"The head of the request is larger than {MOST_BYTES:,} bytes.")

    def _refuse(self, status: int, reason: str, detail: str) -> None:
        """Answer and close; only close where an answer to an earlier request is under way, which this would garble."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            app: Any = self.config.app
            request_id = app.state.unread(status, reason)
            content = json.dumps({"detail": detail, "request_id": request_id}).encode()
            headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close",
                       "x-request-id": request_id, **{name.lower(): value for name, value in ALWAYS.items()}}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(STATUS_LINE[status] + lines.encode() + b"\r\n" + content)
        self.transport.close()
