"""A Google Cloud Storage in memory that keeps preconditions as gcp-storage-emulator does not: one bucket."""

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from tests.servers import Handler


@dataclass
class Bucket:
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)  # name -> bytes, generation
    lock: threading.Lock = field(default_factory=threading.Lock)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000_000))


class _Handler(Handler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_GET(self) -> None:
        path, query = self._asked()
        with self.bucket.lock:
            if path.endswith("/o"):
                self._listing(query)
                return
            name = unquote(path.rpartition("/o/")[2])
            found = self.bucket.objects.get(name)
        if found is None:
            self._json(404, {})
        elif not self._holds(query, found[1]):
            self._json(412, {})
        elif query.get("alt") == "media":
            self.send(200, found[0])
        else:
            self._json(200, _meta(name, found))

    def do_POST(self) -> None:
        _, query = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = b"--" + self.headers["Content-Type"].partition("boundary=")[2].encode()
        meta, media = (part.split(b"\r\n\r\n", 1)[1][:-2] for part in body.split(boundary)[1:3])
        name = json.loads(meta)["name"]
        with self.bucket.lock:
            old = self.bucket.objects.get(name)
            if not self._holds(query, old[1] if old else 0):
                self._json(412, {})
                return
            self.bucket.objects[name] = media, next(self.bucket.generations)
            self._json(200, _meta(name, self.bucket.objects[name]))

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        with self.bucket.lock:
            found = self.bucket.objects.pop(unquote(path.rpartition("/o/")[2]), None)
        self._json(204 if found else 404, {})

    def _listing(self, query: dict[str, str]) -> None:
        prefix, items, prefixes = query.get("prefix", ""), [], set()
        for name, found in sorted(self.bucket.objects.items()):
            rest = name[len(prefix):]
            if name.startswith(prefix) and query.get("delimiter") and "/" in rest:
                prefixes.add(prefix + rest.partition("/")[0] + "/")
            elif name.startswith(prefix):
                items.append(_meta(name, found))
        self._json(200, {"items": items, "prefixes": sorted(prefixes)})

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}

    def _holds(self, query: dict[str, str], generation: int) -> bool:
        return query.get("ifGenerationMatch", str(generation)) == str(generation)

    def _json(self, status: int, value: dict[str, object]) -> None:
        self.send(status, b"" if status == 204 else json.dumps(value).encode())


def _meta(name: str, found: tuple[bytes, int]) -> dict[str, object]:
    data, generation = found
    crc = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    return {"name": name, "size": str(len(data)), "generation": str(generation), "crc32c": crc,
            "updated": "2026-01-01T00:00:00Z"}


@contextmanager
def gcs_server() -> Iterator[str]:
    """Yields the address that STORAGE_EMULATOR_HOST should name."""
    handler = type("Handler", (_Handler,), {"bucket": Bucket()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
