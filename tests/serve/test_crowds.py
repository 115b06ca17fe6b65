"""What a stranger can have the service hold: requests of a connection, lines of a head, connections, files."""

import gc
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from catsdogs.serve import crowd, head
from catsdogs.serve.head import MOST_WAITING, Head
from catsdogs.serve.lingering import Lingering
from catsdogs.serve.server import Server
from tests.serve.beside import beside, told
from tests.servers import free_port, running
from tests.waiting import until

GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LARGE = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"
ASK = b"GET /model HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[int, Server]]:
    with beside(tmp_path) as served:
        yield served


def connected(service: tuple[int, Server], others: ExitStack, count: int) -> list[socket.socket]:
    """So many more, one after another."""
    port, server = service
    clients = list[socket.socket]()
    for _ in range(count):
        clients.append(others.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)))
        mine = clients[-1].getsockname()
        until(lambda: any(one.client == mine for one in list(server.server_state.connections)))
    return clients


@pytest.mark.parametrize("behind", [b"", b"nonsense\r\n\r\n"])
def test_who_asks_too_much_at_once_is_answered_as_far_as_there_is_room(
    service: tuple[int, Server], behind: bytes
) -> None:
    """Or, behind what is fine, asks nonsense: its answers are not lost either, however much comes after."""
    requests = GET * (3 if behind else 1000) + behind
    answers = told(service[0], requests + bytes(1024 * 1024)).split(b"HTTP/1.1 ")[1:]
    assert len(answers) == (3 if behind else MOST_WAITING + 1)
    assert all(answer.startswith(b"200") and answer.endswith(b"}") for answer in answers)
    assert [b"connection: close" in answer for answer in answers] == [False] * (len(answers) - 1) + [True]


def test_who_asks_as_much_as_there_is_room_for_may_go_on(service: tuple[int, Server]) -> None:
    assert told(service[0], GET * (MOST_WAITING + 1), LAST).count(b"HTTP/1.1 200") == MOST_WAITING + 2


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["goes on", "is complete"])
def test_lines_of_a_head_count_more_than_their_bytes(service: tuple[int, Server], end: bytes) -> None:
    answer = told(service[0], b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"ab:\r\n" * 200 + end)
    assert answer.startswith(b"HTTP/1.1 431") and answer.count(b"HTTP/1.1 ") == 1


def test_heads_that_wait_on_a_connection_count_together(service: tuple[int, Server]) -> None:
    """Those before are answered."""
    large = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 10000 + b"\r\n\r\n"
    answers = told(service[0], large * 4).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * 2 and b"connection: close" in answers[-1]
    assert told(service[0], *[large] * 4, LAST).count(b"HTTP/1.1 200") == 5  # one after the other


def test_where_many_are_connected_new_ones_do_not_stay_and_then_only_probes_are_answered(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "MOST_KEPT", 2)
    monkeypatch.setattr(crowd, "MOST_OPEN", 4)
    port, server = service
    with ExitStack() as others:
        for client in connected(service, others, 2):
            client.sendall(b"GET")
        once = told(port, ASK)  # is closed
        assert once.startswith(b"HTTP/1.1 200") and b"connection: close" in once
        for client in connected(service, others, 2):
            client.sendall(b"GET")
        full = told(port, ASK)
        assert full.startswith(b"HTTP/1.1 503") and b"retry-after: 1\r\n" in full and b'{"detail": "Too many' in full
        for probe in (b"/livez", b"/readyz?verbose", b"/health"):
            assert told(port, GET.replace(b"/livez", probe)).startswith(b"HTTP/1.1 200")
    until(lambda: not server.server_state.connections)
    assert told(port, ASK, LAST).count(b"HTTP/1.1 200") == 2


def test_beyond_them_there_is_room_for_a_probe_and_little_time(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "MOST_OPEN", 2)
    monkeypatch.setattr(head, "PROBE_SECONDS", 600.0)
    port, server = service
    with ExitStack() as others:
        connected(service, others, 2)
        lines = b"".join(b"X-Forwarded-%d: %s\r\n" % (number, b"y" * 60) for number in range(18))  # as proxies add
        assert told(port, b"GET /readyz HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n").startswith(b"HTTP/1.1 200")
        assert b"Too many connections" in told(port, b"GET /readyz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000)
        monkeypatch.setattr(head, "SECONDS", 600.0)
        monkeypatch.setattr(head, "PROBE_SECONDS", 0.2)
        assert b"within 0.2 s" in told(port, b"GET /readyz")


def test_who_comes_when_there_is_no_place_left_gets_that_of_who_came_beyond_them_first(
    service: tuple[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or strangers could keep every place from probes."""
    monkeypatch.setattr(crowd, "MOST_OPEN", 2)
    monkeypatch.setattr(crowd, "MOST_EVER", 4)
    monkeypatch.setattr(head, "PROBE_SECONDS", 600.0)
    port, server = service
    with ExitStack() as others:
        clients = connected(service, others, 4)
        assert told(port, GET).startswith(b"HTTP/1.1 200")
        assert not clients[2].recv(1)
        clients[3].sendall(GET)
        clients[0].sendall(GET)
        assert clients[3].recv(100).startswith(b"HTTP/1.1 200") and clients[0].recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("request_", [GET * 40, b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 4000, GET + LAST, LARGE],
                         ids=["many", "large head", "ordinary", "large body"])
def test_no_connection_waits_for_the_garbage_collector(service: tuple[int, Server], request_: bytes) -> None:
    def left() -> bool:
        return any(issubclass(type(one), Head | Lingering) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        told(service[0], request_)
        until(lambda: not service[1].server_state.connections and not left())
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what another process may open")
def test_all_files_that_may_be_opened_are_made_use_of() -> None:
    port = free_port()
    command = ["sh", "-c", 'ulimit -Sn 200; ulimit -Hn 4000; exec "$@"', "sh",
               sys.executable, "-m", "catsdogs", "serve", "--port", str(port), "--processes", "1"]
    with running(command, port) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == ["4000", "4000"]
