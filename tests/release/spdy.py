"""The server's side of `kubectl port-forward`: SPDY/3.1 frames over an upgraded connection, each stream a connection.

Headers are never read: kubectl closes its side of an error stream without sending anything, and a data stream begins
with data.
"""

import socket
import struct
import threading
import zlib
from typing import Any

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1


class Tunnel:
    def __init__(self, connection: socket.socket, reader: Any, port: int) -> None:
        self._connection, self._reader, self._port = connection, reader, port
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        self._deflate = zlib.compressobj()
        self._streams: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Until the client leaves."""
        try:
            while header := self._reader.read(8):
                first, second = struct.unpack(">II", header)
                payload = self._reader.read(second & 0xFFFFFF)
                if first >> 31:
                    self._control(first & 0xFFFF, payload)
                else:
                    self._data(first, second >> 24, payload)
        except (OSError, ValueError, struct.error):
            pass
        finally:
            for stream in self._streams.values():
                stream.close()

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == SYN_STREAM:
            (stream,) = struct.unpack(">I", payload[:4])
            with self._lock:
                headers = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                body = struct.pack(">I", stream) + headers
                self._connection.sendall(struct.pack(">HHI", 0x8003, SYN_REPLY, len(body)) + body)
        elif kind == PING:
            with self._lock:
                self._connection.sendall(struct.pack(">HHI", 0x8003, PING, 4) + payload)

    def _data(self, stream: int, flags: int, payload: bytes) -> None:
        target = self._streams.get(stream)
        if target is None and not payload:
            self._send(stream, b"", FIN)  # an error stream: there is no error
            return
        if target is None:
            target = self._streams[stream] = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            threading.Thread(target=self._back, args=(stream, target), daemon=True).start()
        if payload:
            target.sendall(payload)
        if flags & FIN:
            target.shutdown(socket.SHUT_WR)

    def _back(self, stream: int, source: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._send(stream, data, 0)
            self._send(stream, b"", FIN)
        except OSError:
            pass  # the client left

    def _send(self, stream: int, data: bytes, flags: int) -> None:
        with self._lock:
            self._connection.sendall(struct.pack(">II", stream, flags << 24 | len(data)) + data)
