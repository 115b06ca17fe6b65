"""An answer leaves in one piece, in order, and before its connection closes."""

import asyncio
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from catsdogs.serve.joined import MOST_BYTES, Joined, JoinedWrites
from catsdogs.serve.server import Server
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.servers import free_port, running
from tests.tiny_model import write_tiny_model


class Recorded(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.said

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def played(writes: Callable[[JoinedWrites], None]) -> list[bytes | str]:
    async def play() -> list[bytes | str]:
        transport = Recorded()
        writes(JoinedWrites(transport, asyncio.get_running_loop()))
        await asyncio.sleep(0)
        return transport.said

    return asyncio.run(play())


def test_what_is_written_in_one_go_is_sent_in_one() -> None:
    def writes(transport: JoinedWrites) -> None:
        transport.write(b"headers ")
        transport.write(b"body")
        assert not transport.is_closing() and transport.get_extra_info("peername") is None

    assert played(writes) == [b"headers body"]


def test_nothing_stays_behind_when_the_connection_closes() -> None:
    def writes(transport: JoinedWrites) -> None:
        transport.write(b"last")
        transport.close()
        assert transport.is_closing()

    assert played(writes) == [b"last", "closed"]


def test_an_answer_to_a_client_that_has_gone_meanwhile_is_dropped() -> None:
    """Between writing and sending, the loop looks at its connections."""
    def writes(transport: JoinedWrites) -> None:
        transport.write(b"too late")
        transport._transport.close()

    assert played(writes) == ["closed"]


def test_long_answers_are_not_held_back() -> None:
    def writes(transport: JoinedWrites) -> None:
        transport.write(b"a" * MOST_BYTES)
        transport.write(b"b")
        transport.write(b"c")

    assert played(writes) == [b"a" * MOST_BYTES + b"b", b"c"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_client_that_says_at_once_that_it_will_ask_no_more_is_answered(processes: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--port", str(port), "--processes", processes]
    with tempfile.TemporaryFile() as said, running(command, port, said):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}")


def test_the_service_answers_so(tmp_path: Path) -> None:
    """Of one process; a connection that may be handed on is one of these too."""
    app = start(ServeSettings(enable_real_model=True, model_path=write_tiny_model(tmp_path)))

    async def play() -> list[bytes | str]:
        server = Server(app, ready=lambda: None)
        server.config.load()
        server.lifespan = cast(Any, type("Lifespan", (), {"state": {}}))
        connection = server._protocol()
        assert isinstance(connection, Joined)
        transport = Recorded()
        connection.connection_made(transport)
        for count in (1, 2):
            connection.data_received(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(200):
                await asyncio.sleep(0.01)
                if len(transport.said) == count:
                    break
        said = list(transport.said)
        connection.connection_lost(None)
        return said

    first, second = asyncio.run(play())
    for said in (first, second):
        assert isinstance(said, bytes) and said.startswith(b"HTTP/1.1 200") and b"\r\n\r\n{" in said
