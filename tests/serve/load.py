"""Clients that keep asking a service, and say what came back."""

import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from catsdogs.images import encode
from tests.models import colour_photo
from tests.serve.malformed import form

PHOTO = encode(colour_photo(1, 5), "JPEG")


@dataclass
class Load:
    """`broken` are connections that ended, or were refused, without an answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


@contextmanager
def load(address: str, clients: int = 6) -> Iterator[Load]:
    """So many clients, each with a connection that it keeps, ask one photo after the other until the end."""
    seen, ended = Load(), threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not ended.is_set():
                try:
                    answer = client.post(f"{address}/predict", files={"file": ("p", PHOTO)})
                except httpx.TransportError as error:
                    seen.broken.append(f"{type(error).__name__}: {error}")
                    time.sleep(0.01)
                else:
                    seen.statuses[answer.status_code] += 1

    with asking(ask, clients, ended):
        yield seen


@contextmanager
def strangers(port: int, clients: int = 8) -> Iterator[Counter[str]]:
    """So many clients, a new connection for each photo; counts "answered", "refused", and what else became of it."""
    seen, ended = Counter[str](), threading.Event()

    def ask() -> None:
        while not ended.is_set() and not seen["refused"]:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                    try:
                        client.sendall(form(PHOTO))
                        first = client.recv(100)
                    except OSError as error:
                        seen[f"lost: {error}"] += 1
                    else:
                        seen["answered" if first.startswith(b"HTTP/1.1 200") else f"lost: {first!r}"] += 1
            except ConnectionRefusedError:
                seen["refused"] += 1

    with asking(ask, clients, ended):
        yield seen


@contextmanager
def asking(ask: Callable[[], None], clients: int, ended: threading.Event) -> Iterator[None]:
    """So many threads that ask until they are told to end."""
    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def children(process: subprocess.Popen[bytes]) -> set[int]:
    """The processes that a service forked, but for those that have ended."""
    try:
        return {int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                if not Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].startswith(" Z")}
    except (FileNotFoundError, ProcessLookupError):  # one ended before its file was opened, or before it was read
        return children(process)
