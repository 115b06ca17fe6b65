"""Who gets a port: one service at a time, and the next one at once. How one that stops lets nobody in any more."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.serve.listening import about_to_listen, another, reserved, turn_away
from tests.serve.load import children
from tests.servers import free_port, running
from tests.tiny_model import write_tiny_model
from tests.waiting import until

HOST = "127.0.0.1"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what reaches a socket")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def service(stack: ExitStack, port: int = 0) -> list[socket.socket]:
    """The sockets of a service of two processes, which does not listen yet."""
    first = stack.enter_context(reserved(HOST, port))
    return [first, stack.enter_context(another(HOST, first.getsockname()[1]))]


def listen(listener: socket.socket) -> None:
    about_to_listen(listener)
    listener.listen()


@pytest.mark.parametrize("listening", [(), (0,), (1,), (0, 1)], ids=str)
def test_of_two_services_that_start_at_once_one_gets_the_port(stack: ExitStack, listening: tuple[int, ...]) -> None:
    sockets = service(stack)
    port = sockets[0].getsockname()[1]
    for number in listening:
        listen(sockets[number])
    with pytest.raises(CatsdogsError, match=f"Cannot listen on {HOST} port {port} .*choose another --port"):
        reserved(HOST, port)


def test_the_connections_of_one_that_ended_do_not_keep_the_port(stack: ExitStack) -> None:
    with ExitStack() as first:
        sockets = service(first)
        port = sockets[0].getsockname()[1]
        for listener in sockets:
            listen(listener)
        for _ in range(8):
            with socket.create_connection((HOST, port)) as caller:
                for listener in sockets:
                    listener.setblocking(False)
                    try:
                        listener.accept()[0].close()  # who closes first is whom the kernel remembers
                    except BlockingIOError:
                        continue
                assert caller.recv(1) == b""
    with pytest.raises(OSError), socket.socket() as strict:
        strict.bind((HOST, port))  # the kernel does keep something
    service(stack, port)


@ON_LINUX
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_turned_away_is_not_let_in_and_who_is_in_stays(host: str) -> None:
    with reserved(host, 0) as listener:
        address = listener.getsockname()[:2]
        listener.listen()
        with socket.create_connection(address, timeout=10) as early:
            turn_away(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            served, _ = listener.accept()
            with served:
                early.sendall(b"photo")
                assert served.recv(10) == b"photo"
                served.sendall(b"cat")
                assert early.recv(10) == b"cat"
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):  # nobody came in meanwhile: it can be closed, and nobody is reset
                listener.accept()


@ON_LINUX
def test_a_service_that_stops_lets_nobody_in_any_more(tmp_path: Path) -> None:
    """Its processes are held, so that their sockets are open still: what came in now would be reset."""
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(write_tiny_model(tmp_path)), "--processes", "2"]
    with running(command, port) as process:
        workers = until(lambda: len(found := children(process)) == 2 and found)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGTERM)
            until(lambda: not lets_in(port))
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGCONT)
        assert process.wait(30) == 0


def lets_in(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
    except TimeoutError:
        return False
    return True
