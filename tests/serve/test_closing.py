"""A client that does not read its answers is sent away; one that reads them slowly is not."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from catsdogs.serve import closing
from catsdogs.serve.closing import Closing
from catsdogs.serve.server import Server
from tests.serve.beside import beside
from tests.waiting import until

GET = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[int, Server]]:
    with beside(tmp_path, send_buffer=4096) as served:
        yield served


def asked(
    service: tuple[int, Server], requests: bytes, stuck: Callable[[Closing], bool]
) -> tuple[socket.socket, Closing]:
    """A client that has room for little, and its connection once it is stuck."""
    port, server = service
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall(requests)
    (connection,) = until(lambda: list(server.server_state.connections))
    assert isinstance(connection, Closing)
    until(lambda: stuck(connection))
    return client, connection


def paused(connection: Closing) -> bool:
    return connection.flow is not None and connection.flow.write_paused


def closed(connection: Closing) -> bool:
    return connection.transport is not None and connection.transport.is_closing()


@pytest.mark.parametrize(("requests", "stuck"), [(GET * 9, paused), (LAST, closed)], ids=["kept", "closing"])
def test_who_reads_nothing_is_sent_away(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch, requests: bytes, stuck: Callable[[Closing], bool]
) -> None:
    monkeypatch.setattr(closing, "PATIENCE_SECONDS", 0.3)
    client, _ = asked(service, requests, stuck)
    with client:
        until(lambda: not service[1].server_state.connections)
        until(lambda: not service[1].server_state.tasks)


def test_who_reads_slowly_gets_it_all(service: tuple[int, Server]) -> None:
    client, connection = asked(service, GET * 8 + LAST, paused)

    looked = Event()

    def look() -> None:
        connection._stop_watch()
        connection._look()
        looked.set()

    answers = b""
    with client:
        for _ in range(20):  # looks, in each of which it has read a little
            looked.clear()
            connection.loop.call_soon_threadsafe(look)
            assert looked.wait(30)
            before = connection._unread
            while closing.unread(connection.wire) >= before:
                answers += client.recv(1000)
        answers += b"".join(iter(lambda: client.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200") == 9 and answers.endswith(b"}")


@pytest.mark.parametrize(("requests", "stuck"), [(GET * 9, paused), (LAST, closed)], ids=["kept", "closing"])
def test_a_stop_does_not_wait_for_who_reads_nothing(
    service: tuple[int, Server], requests: bytes, stuck: Callable[[Closing], bool]
) -> None:
    service[1].config.timeout_graceful_shutdown = 600
    client, _ = asked(service, requests, stuck)
    with client:
        service[1].should_exit = True
        until(lambda: not service[1].server_state.connections)
