"""A proxy in front of a real server that spoils some of the answers, as networks and overloaded servers do."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What may happen to one request: refused before it reaches the server (any status will do), or spoilt on its way back.
KINDS = ("429", "503", "reset", "lost", "truncated", "corrupted", "trickle")
GARBLED = "garbled"  # on request only: the server gets other bytes than were sent


class Faults:
    """`share` of the requests fail in every one of KINDS; `script` names what happens to the next ones ("" nothing)."""

    def __init__(self, upstream: int, share: float = 0.0, seed: int = 0) -> None:
        self.upstream, self.share = upstream, share
        self.script: list[str] = []
        self.seen: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []  # method, path
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.delay = 0.0  # seconds added to every request
        self.port = 0
        self.abandoned = 0  # trickles that the client did not wait for

    def draw(self, method: str, path: str) -> str:
        with self._lock:
            self.requests.append((method, path))
            if self.script:
                kind = self.script.pop(0)
            else:
                number = int(self._random.random() / self.share) if self.share else len(KINDS)
                kind = KINDS[number] if number < len(KINDS) else ""
            self.seen[kind] += 1
            return kind

    def position(self, length: int) -> int:
        with self._lock:
            return self._random.randrange(length)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faults: Faults

    def _relay(self) -> None:
        announced = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(announced)
        if len(body) < announced:
            self.close_connection = True  # the client was killed
            return
        kind = self.faults.draw(self.command, self.path)
        if self.faults.delay:
            time.sleep(self.faults.delay)
        if kind.isdigit():
            self._answer(int(kind), {"Retry-After": "0"}, b"not now")
            return
        if kind == GARBLED:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:]
        if kind == "reset":
            self._reset()
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.faults.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items()
                       if name.lower() not in ("host", "connection", "content-length")}
            upstream.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = upstream.getresponse()
            data = answer.read()
            kept = {name: value for name, value in answer.getheaders()
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server")}
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        finally:
            upstream.close()
        if kind == "lost":
            self._reset()
        elif kind == "corrupted" and data:
            place = self.faults.position(len(data))
            self._answer(answer.status, kept, data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1:])
        elif kind == "truncated" and data:
            self._answer(answer.status, kept, data[:len(data) // 2], announced=length)
            self.close_connection = True
        elif kind == "trickle" and data:
            self._answer(answer.status, kept, b"", announced=length)
            try:
                for byte in data[:600]:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                self.faults.abandoned += 1  # as it should be
            self.close_connection = True
        else:
            self._answer(answer.status, kept, data, announced=length)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _relay

    def _answer(self, status: int, headers: dict[str, str], data: bytes, announced: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", announced or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def _reset(self) -> None:
        """Close with RST, not FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            pass  # the client left, or we reset the connection

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def proxy(faults: Faults) -> Iterator[int]:
    """Yields the port to talk to."""
    handler = type("Handler", (_Handler,), {"faults": faults})
    server = _Server(("127.0.0.1", 0), handler)
    faults.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield faults.port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
