"""Who gets a port: one service at a time, and the next one at once."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.serve.listening import about_to_listen, another, reserved

HOST = "127.0.0.1"


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
