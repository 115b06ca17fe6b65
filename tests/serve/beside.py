"""The service in a thread of the tests' own process: what it has as constants, a test may lower."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catsdogs.serve.listening import reserved
from catsdogs.serve.server import Server
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.tiny_model import write_tiny_model


@contextmanager
def beside(folder: Path, send_buffer: int | None = None) -> Iterator[tuple[int, Server]]:
    """Its port, and it itself; it stops in order at the end.

    `send_buffer`: bytes of an answer that the kernel keeps.
    """
    app = start(ServeSettings(enable_real_model=True, model_path=write_tiny_model(folder)))
    ready = threading.Event()
    with reserved("127.0.0.1", 0) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # its connections inherit it
        server = Server(app, ready.set, alone=True)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(30)
            yield listener.getsockname()[1], server
        finally:
            server.should_exit = True
            thread.join(30)
            server.force_exit = True
            in_order = not thread.is_alive()
            thread.join()
        assert in_order, "it did not stop"


def told(port: int, *pieces: bytes) -> bytes:
    """All that a connection is told until the service closes it; what is sent in pieces arrives in them."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.05)
            client.sendall(piece)
        return b"".join(iter(lambda: client.recv(65536), b""))
