"""The proxy of a cluster on one machine: started once, told where to lead, asked what is under way."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from catsdogs.artifacts import Document
from catsdogs.clusters import detached
from catsdogs.clusters.proxy import STATUS_PATH
from catsdogs.errors import CatsdogsError
from catsdogs.files import write_json

HOST = "127.0.0.1"
START_SECONDS = 20.0
POLL_SECONDS = 0.05


class Running(Document):
    handle: str
    port: int


class Front:
    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._file, self._backends = folder / "proxy.json", folder / "backends.json"

    def address(self) -> str:
        """Of the proxy, which is started where it is not running."""
        running = self._running()
        if running is not None and detached.alive(running.handle):
            return f"http://{HOST}:{running.port}"
        return self._start(running)

    def lead_to(self, backends: Sequence[str]) -> None:
        """Send new requests there; returns once the proxy does."""
        write_json(self._backends, list(backends))
        address = self.address()
        while detached.get_json(address + STATUS_PATH).get("backends") != list(backends):
            time.sleep(POLL_SECONDS)
            address = self.address()

    def drained(self, backends: Sequence[str], seconds: float) -> None:
        """Wait until nothing is under way with these, or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            under_way = detached.get_json(self.address() + STATUS_PATH).get("under_way", {})
            if not any(under_way.get(backend) for backend in backends):
                return
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        running = self._running()
        if running is not None:
            detached.stop(running.handle)
        for file in (self._file, self._backends):
            file.unlink(missing_ok=True)

    def _running(self) -> Running | None:
        return Running.read(self._file, "`catsdogs cluster --stop`") if self._file.exists() else None

    def _start(self, before: Running | None) -> str:
        if not self._backends.exists():
            write_json(self._backends, [])
        port = self._port or (before.port if before else detached.free_port())
        log = self._folder / "proxy.log"
        handle = detached.start([sys.executable, "-m", "catsdogs.clusters.proxy", str(self._backends), HOST, str(port)],
                                log)
        write_json(self._file, Running(handle=handle, port=port).model_dump())
        deadline = time.monotonic() + START_SECONDS
        while not detached.answers(f"http://{HOST}:{port}{STATUS_PATH}"):
            if not detached.alive(handle) or time.monotonic() > deadline:
                detached.stop(handle)
                raise CatsdogsError(f"The proxy does not start on port {port}: {log} says why; choose another --port.")
            time.sleep(POLL_SECONDS)
        return f"http://{HOST}:{port}"
