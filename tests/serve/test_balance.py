"""Connections that the kernel gave to one process by chance are spread over all."""

import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from catsdogs.images import encode
from catsdogs.serve.balance import Balance, Connections
from tests.serve.load import children
from tests.serve.malformed import form
from tests.servers import free_port, running
from tests.tiny_model import colour_photo, write_tiny_model
from tests.waiting import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="several processes need fork")

ESTABLISHED, LISTENING = "01", "0A"
CLIENTS, ROUNDS = 24, 3  # left to chance, the processes differ by 2 or less in all rounds once in twelve times


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections(3)
    yield made
    for channel in made.channels:
        channel.put.close()
        channel.take.close()


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    here, there = socket.socketpair()
    with here, there:
        yield here


def test_who_has_two_more_hands_on_and_what_is_on_the_way_counts(connections: Connections, ours: socket.socket) -> None:
    busy, idle = Balance(connections, 0), Balance(connections, 1)  # there is no third
    idle.count(0)
    busy.count(1)
    assert not busy.hand_on(ours.fileno())
    busy.count(2)
    assert busy.hand_on(ours.fileno())
    assert not busy.hand_on(ours.fileno()), "one is on its way to the other, which then has one too"
    taken = idle.taken()
    assert taken is not None and idle.taken() is None
    assert not busy.hand_on(ours.fileno()), "taken, and not yet open"
    with taken:
        assert os.fstat(taken.fileno()).st_ino == os.fstat(ours.fileno()).st_ino
        idle.count(1)
        idle.arrived()
        assert not busy.hand_on(ours.fileno())
        busy.count(3)
        assert busy.hand_on(ours.fileno()), "the one that has arrived is not counted twice"


def test_nothing_is_handed_to_who_leaves_or_has_ended(connections: Connections, ours: socket.socket) -> None:
    busy, leaving, ended = (Balance(connections, number) for number in range(3))
    for one in (leaving, ended):
        one.count(0)
    busy.count(9)
    leaving.leave()
    leaving.count(0)  # its last connections close
    connections.gone(2)
    assert not busy.hand_on(ours.fileno())
    assert leaving.taken() is None and ended.taken() is None
    successor = Balance(connections, 2)
    assert not busy.hand_on(ours.fileno()), "it does not take yet"
    successor.count(0)
    assert busy.hand_on(ours.fileno())


def test_what_was_on_its_way_to_one_that_ended_another_one_gets(connections: Connections, ours: socket.socket) -> None:
    busy, other = Balance(connections, 0), Balance(connections, 1)
    other.count(0)
    busy.count(2)
    assert busy.hand_on(ours.fileno())
    connections.gone(1)
    connections.pass_on({0})
    taken = busy.taken()
    assert taken is not None
    busy.arrived()
    with taken:
        assert os.fstat(taken.fileno()).st_ino == os.fstat(ours.fileno()).st_ino
    Balance(connections, 1).count(0)
    busy.count(1)
    assert not busy.hand_on(ours.fileno()), "nothing is counted for it that it will never take"
    busy.count(2)
    assert busy.hand_on(ours.fileno())


def test_at_the_limit_of_open_files_one_is_lost_and_the_count_is_right(
    connections: Connections, ours: socket.socket
) -> None:
    busy, idle = Balance(connections, 0), Balance(connections, 1)
    idle.count(0)
    busy.count(2)
    assert busy.hand_on(ours.fileno())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(ours.fileno())
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        assert idle.taken() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert busy.hand_on(ours.fileno()), "nothing is on its way any more"


def test_what_a_full_channel_does_not_take_stays(connections: Connections, ours: socket.socket) -> None:
    busy, other = Balance(connections, 0), Balance(connections, 1)
    other.count(0)
    given = 0
    while given < 10_000:
        busy.count(given + 2)
        if not busy.hand_on(ours.fileno()):
            break
        given += 1
    assert 0 < given < 10_000


def test_two_processes_share_the_connections_and_answer_on_all(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(write_tiny_model(tmp_path)), "--processes", "2"]
    request = form(encode(colour_photo(1, 5), "JPEG")).replace(b"Connection: close\r\n", b"")
    with running(command, port) as process:
        workers = children(process)
        assert len(workers) == 2
        until(lambda: all(_held(worker, port, LISTENING) for worker in workers))
        for _ in range(ROUNDS):
            with ExitStack() as stack:
                clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
                           for _ in range(CLIENTS)]
                for client in clients:
                    client.sendall(request)
                assert all(client.recv(65536).startswith(b"HTTP/1.1 200") for client in clients)
                until(lambda: sum(_held(worker, port) for worker in workers) == CLIENTS)
                held = sorted(_held(worker, port) for worker in workers)
                assert held[1] - held[0] <= 2
            until(lambda: not any(_held(worker, port) for worker in workers))


def _held(pid: int, port: int, state: str = ESTABLISHED) -> int:
    """Sockets of this port that a process has open, in this state."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == state}
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(descriptor) in inodes
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return found
