"""uvicorn's connection, but the head of a request has limits, which no app sees: it begins where the head is complete.

And what is no HTTP gets an answer, a line of the log and a count like every other request.
"""

import asyncio
import json
from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from catsdogs.serve import crowd
from catsdogs.serve.crowd import PROBES, Crowd
from catsdogs.serve.errors import Refused
from catsdogs.serve.headers import ALWAYS
from catsdogs.serve.upgrade import parser_for, without_upgrade

MOST_BYTES = 32 * 1024
"""That the heads of a connection may take which are not answered yet, and that may come without completing a head, a
part of a body or a message: endless header lines, trailers behind a body and extensions of chunks are kept in memory,
or read without an end. Cookies of 16 kB fit."""

LINE_BYTES = 192
"""That a header line counts for beside its own: two objects, a pair and its place in a list take about 170."""

URL_TIMES = 6  # that a byte of an address counts: it is kept as it came, as a path, and as text of up to 4 bytes each
HEAD_BYTES = 2048  # that a request counts for by itself: its scope, its cycle and what wakes it

PROBE_BYTES = 8 * 1024  # where only probes are answered: 20 lines of 90 bytes, as proxies add some
PROBE_SECONDS = 1.0  # instead of SECONDS

STEP_BYTES = 16 * 1024
"""That are parsed before the next look at the limits: what had come in one piece behind a request, up to 250 kB, was
kept unseen."""

SECONDS = 10.0  # for a head to arrive; a connection that is kept open between two requests has uvicorn's 5

MOST_WAITING = 8
"""Requests of one connection behind the one that is being answered: 2,000 came in 36 kB, and held 4.2 MB."""


class Head(HttpToolsProtocol):
    _moved = _head_open = _in_body = False
    _crowded = False
    _beyond = False  # only probes are answered here
    _deaf = False  # what comes is not read any more: after the answers under way the connection ends
    _stuck = _size = 0
    _timer: asyncio.TimerHandle | None = None
    _again: bytes | None = None  # a head to read again
    _refused: Refused | None = None

    def __init__(self, *arguments: Any, crowd: Crowd, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._crowd = crowd
        self._unanswered: deque[int] = deque()  # sizes of heads

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._crowded = len(self.connections) > crowd.MOST_KEPT
        self._beyond = self._crowd.came(self, len(self.connections))
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.left(self)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        moved = False
        for start in range(0, len(data), STEP_BYTES):
            self._step(memoryview(data)[start:start + STEP_BYTES])
            if self._deaf:
                return
            moved = moved or self._moved
        # A body has the app's own limit, but not where the app answered without it; what is idle has uvicorn's.
        answered = self.cycle is not None and self.cycle.response_complete
        if moved and not answered:
            self._stop_timer()
        if self._head_open or answered or not (moved or self._in_body):
            self._start_timer()

    def _step(self, data: memoryview) -> None:
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again(data[upgrade.args[0]:])
        except httptools.HttpParserError:
            self._broken()
        self._stuck = 0 if self._moved else self._stuck + len(data)
        if self._stuck > self._most() and not self._deaf:
            self._refuse(self._large())

    def _read_again(self, rest: memoryview) -> None:
        """Heads that ask for another protocol, as if they did not, and what comes behind them."""
        while self._again is not None:
            head, self._again = self._again, None
            self.parser = parser_for(self)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0]:]
            except httptools.HttpParserError:
                self._broken()

    def on_message_begin(self) -> None:
        self._head_open, self._size = True, HEAD_BYTES
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(URL_TIMES * len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_open:  # not a trailer: nobody reads it
            self._count(len(name) + len(value) + LINE_BYTES)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise self._because(Refused(400, "bad-http", "This is no proxy: it connects nobody."))
            self._again = without_upgrade(method, self.url, self.parser.get_http_version(), self.headers)
            return
        if len(self.pipeline) >= MOST_WAITING:
            raise self._because(Refused(503, "pipeline-full", "Too many requests wait on this connection."))
        open_now = len(self.connections) if self._crowded else 0
        if open_now > crowd.MOST_OPEN and self.url.partition(b"?")[0] not in PROBES:
            raise self._because(_full())
        if self._beyond and open_now <= crowd.MOST_OPEN:  # by now
            self._beyond = False
            self._crowd.left(self)
        self._unanswered.append(self._size)
        self._head_open, self._in_body, self._moved = False, True, True
        super().on_headers_complete()
        if open_now > crowd.MOST_KEPT:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        if self.cycle.response_complete:  # nothing waits: neither its head nor a body that nobody asked for is needed
            self.cycle.scope, self.cycle.body = {}, bytearray()  # type: ignore[typeddict-item]
            if not self._head_open:
                self.scope, self.headers = {}, []  # type: ignore[typeddict-item]
        super().on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._again is None:
            self._in_body, self._moved = False, True
            super().on_message_complete()

    def _count(self, bytes_: int) -> None:
        self._size += bytes_
        if self._size + sum(self._unanswered) > self._most():
            raise self._because(self._large())

    def _most(self) -> int:
        return PROBE_BYTES if self._beyond else MOST_BYTES

    def _large(self) -> Refused:
        return _full() if self._beyond else Refused(431, "large-head", (
            f"The head of the request is larger than {MOST_BYTES:,} bytes, a line counted as {LINE_BYTES} more."))

    def _seconds(self) -> float:
        return PROBE_SECONDS if self._beyond else SECONDS

    def _because(self, refused: Refused) -> Refused:
        """What the parser's caller answers: it is told only that a callback failed."""
        self._refused = refused
        return refused

    def _broken(self) -> None:
        refused, self._refused = self._refused, None  # raised from here, it refers back
        self._refuse(refused or Refused(400, "bad-http", "The request is no valid HTTP."))

    def _too_slow(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # the request before is answered first
            self._start_timer()
        elif self._head_open:
            self._refuse(Refused(408, "slow-head", (
                f"The head of the request did not arrive within {self._seconds():g} s.")))
        else:  # nothing was asked, or was answered so long ago that its body is not waited for
            self._in_body = False
            self.transport.close()

    def _start_timer(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self._seconds(), self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refused: Refused) -> None:
        """Answer and close. Where earlier requests are being answered, which this would garble, close after them."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        self._deaf = True
        self.parser, self.headers = None, []  # type: ignore[assignment]  # it may linger
        if self.cycle is None or self.cycle.response_complete:
            app: Any = self.config.app
            request_id = app.state.unread(refused.status, refused.reason)
            content = json.dumps({"detail": refused.detail, "request_id": request_id}).encode()
            headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close",
                       "x-request-id": request_id,
                       **{name.lower(): value for name, value in {**refused.headers, **ALWAYS}.items()}}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(STATUS_LINE[refused.status] + lines.encode() + b"\r\n" + content)
            self.transport.close()
        elif self.cycle.more_body:  # what is broken is the body that it waits for
            self.transport.close()
        else:
            self.cycle.keep_alive = False


def _full() -> Refused:
    return Refused(503, "connections-full", "Too many connections are open: try again soon.", {"Retry-After": "1"})
