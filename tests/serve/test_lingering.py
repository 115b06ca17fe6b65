"""A client that is refused while it sends reads why, and cannot make use of it."""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.serve import lingering
from catsdogs.serve.server import Server
from tests.serve.beside import beside, told
from tests.waiting import until

LARGE = 30 * 1024 * 1024
HEAD = (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % LARGE)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[int, Server]]:
    with beside(tmp_path) as served:
        yield served


@pytest.mark.parametrize("announced", [True, False])
def test_who_sends_without_looking_up_reads_that_it_was_too_much(
    service: tuple[int, Server], announced: bool
) -> None:
    for _ in range(3):
        client = http.client.HTTPConnection("127.0.0.1", service[0], timeout=30)
        pieces = (bytes(1024 * 1024) for _ in range(30))
        client.request("POST", "/predict", bytes(LARGE) if announced else pieces,
                       {"Content-Type": "multipart/form-data; boundary=b"})
        answer = client.getresponse()
        assert answer.status == 413 and b"larger than" in answer.read()
        client.close()


def test_so_does_who_sends_what_is_no_http(service: tuple[int, Server]) -> None:
    assert told(service[0], b"nonsense\r\n" + bytes(8 * 1024 * 1024)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(("name", "value"), [("QUIET_SECONDS", 0.1), ("MOST_SECONDS", 0.1), ("MOST_BYTES", 100)])
def test_but_there_is_an_end(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    """Whether it is silent, drips, or sends more."""
    monkeypatch.setattr(lingering, "QUIET_SECONDS", 60.0 if name == "MOST_BYTES" else 0.1)
    monkeypatch.setattr(lingering, name, value)
    port, server = service
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(HEAD)
        answer = b"".join(iter(lambda: client.recv(65536), b""))  # ends, though the connection stays
        assert answer.startswith(b"HTTP/1.1 413") and answer.endswith(b"}")

        def gone() -> bool:
            if name != "QUIET_SECONDS":
                try:
                    client.sendall(b"x" * (200 if name == "MOST_BYTES" else 1))
                except OSError:
                    pass
            return not server.server_state.connections

        until(gone)


def test_a_stop_does_not_wait_for_it(service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "QUIET_SECONDS", 600.0)
    port, server = service
    server.config.timeout_graceful_shutdown = 600
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(HEAD)
        assert b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 413")
        server.should_exit = True
        until(lambda: not server.server_state.connections)
