import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from catsdogs.serve.listening import reserved, turn_away
from tests.serve.load import children, until
from tests.servers import free_port, running
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what reaches a socket")


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
