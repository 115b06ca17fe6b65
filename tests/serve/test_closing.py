"""A client that does not read its answers is sent away; one that reads them slowly is not."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from catsdogs.serve import closing, unread
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
    name = client.getsockname()
    (connection,) = until(lambda: [one for one in list(server.server_state.connections) if one.client == name])
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


def test_who_takes_a_little_at_a_time_has_no_more_than_a_minute(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "PATIENCE_SECONDS", 600.0)
    monkeypatch.setattr(closing, "TAKING_SECONDS", 0.3)
    client, _ = asked(service, GET, paused)
    with client:
        until(lambda: not service[1].server_state.connections)


def test_who_takes_nothing_makes_room_for_who_comes_next(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "MOST_BYTES", 1)
    with ExitStack() as clients:
        for _ in range(3):
            client, connection = asked(service, GET, paused)
            clients.enter_context(client)
            until(lambda: len(service[1].server_state.connections) == 1)
            assert service[1].server_state.connections == {connection}


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system's kernel cannot be asked")
def test_the_kernel_does_not_take_what_it_cannot_send(tmp_path: Path) -> None:
    """Or nobody would count it."""
    with beside(tmp_path) as served:
        client, _ = asked(served, GET * 9, paused)
        client.close()


class Waiting:
    """What Unread sees of a connection: a real one's bytes go to the kernel when that likes."""

    def __init__(self, size: int) -> None:
        self.size, self.ended, self.wire = size, False, self

    def held(self) -> int:
        return self.size

    def abort(self) -> None:
        self.ended = True


def test_no_more_are_sent_away_than_necessary_and_those_first_that_have_waited_longest() -> None:
    most, all_unread = unread.MOST_BYTES, unread.Unread()
    first, second, third, fourth = (Waiting(most // 2) for _ in range(4))
    all_unread.add(first)
    all_unread.add(second)
    all_unread.add(first)  # again: it stays the first
    assert not first.ended
    all_unread.add(third)
    assert [one.ended for one in (first, second, third)] == [True, False, False]
    second.size = 0  # has read on
    all_unread.add(fourth)
    assert not second.ended and not third.ended
    all_unread.drop(third)
    all_unread.drop(third)
    all_unread.add(Waiting(most // 2))
    assert not second.ended and not fourth.ended
    large = Waiting(2 * most)
    all_unread.add(large)
    assert second.ended and fourth.ended and not large.ended


def test_who_has_taken_its_answer_counts_no_more(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "MOST_BYTES", 1)
    client, first = asked(service, GET, paused)
    with client:
        answer = b""
        while not answer.endswith(b"}}}}"):
            answer += client.recv(65536)
        other, second = asked(service, GET, paused)
        with other:
            assert service[1].server_state.connections == {first, second}


def test_a_body_that_comes_while_an_answer_waits_counts_too(service: tuple[int, Server]) -> None:
    client, connection = asked(service, GET + GET.replace(b"Host", b"Content-Length: 30000\r\nHost"), paused)
    with client:
        assert 0 < connection._all_unread._sum < 30000
        client.sendall(bytes(30000))
        until(lambda: connection._all_unread._sum >= 30000)


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
