"""Real servers for tests, each in a process or thread of its own, on a free port of 127.0.0.1."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Handler(BaseHTTPRequestHandler):
    """Writes no log."""

    def send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a server in a thread of this process, which this handler answers for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def running(
    command: list[str], port: int, said: IO[bytes] | int = subprocess.PIPE, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server and wait until its /livez answers; SIGTERM at the end.

    Its log goes to `said`: a pipe that nobody reads is full after 300 requests, and stops the server.
    """
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stderr=said)
    try:
        for _ in range(400):
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}: {_log(process, said)!r}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@contextmanager
def service(model_path: Path, **environment: str) -> Iterator[str]:
    """The specification's command, with a model; yields the address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "src.main:app", "--host", "127.0.0.1", "--port", str(port)]
    about = {"PYTHONPATH": ".", "ENABLE_REAL_MODEL": "1", "MODEL_PATH": str(model_path)} | environment
    with tempfile.TemporaryFile() as said, running(command, port, said, **about):
        yield f"http://127.0.0.1:{port}"


def _log(process: subprocess.Popen[bytes], said: IO[bytes] | int) -> bytes:
    if process.stderr is not None:
        return process.stderr.read()
    assert not isinstance(said, int)
    said.seek(0)
    return said.read()
