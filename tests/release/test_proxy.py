"""The public address of a cluster on one machine: nothing is lost when replicas come and go."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from catsdogs.clusters.detached import free_port
from catsdogs.clusters.front import Front
from catsdogs.files import write_json


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    port: int
    hold: threading.Event
    entered: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            self.entered.set()
            self.hold.wait(30)
        data = f"{self.port}:".encode() + body
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("X-Kept", self.headers.get("X-Sent", "none"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def backend() -> Iterator[tuple[str, type[_Handler]]]:
    class Handler(_Handler):
        hold, entered = threading.Event(), threading.Event()

    handler = Handler
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        handler.hold.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    found = Front(tmp_path, 0)
    try:
        yield found
    finally:
        found.stop()


def test_requests_and_answers_pass_unchanged(front: Front) -> None:
    with backend() as (one, _):
        front.lead_to([one])
        answer = requests.post(front.address() + "/a?b=c%20d", data=b"body", headers={"X-Sent": "yes"}, timeout=10)
        assert answer.status_code == 200 and answer.content.endswith(b":body") and answer.headers["X-Kept"] == "yes"
        assert requests.post(front.address() + "/teapot", data=b"", timeout=10).status_code == 418


def test_connections_are_shared_out_and_a_dead_replica_is_passed_over(front: Front) -> None:
    with backend() as (one, _), backend() as (two, _):
        front.lead_to([one, two])
        seen = {requests.post(front.address(), data=b"x", timeout=10).text for _ in range(4)}
        assert len(seen) == 2
        with requests.Session() as session:  # one connection stays with one replica
            assert len({session.post(front.address(), data=b"x", timeout=10).text for _ in range(4)}) == 1
        front.lead_to([f"http://127.0.0.1:{free_port()}", two])
        for _ in range(4):
            assert requests.post(front.address(), data=b"x", timeout=10).status_code == 200


def test_what_is_under_way_is_waited_for(front: Front) -> None:
    with backend() as (old, handler), backend() as (new, _):
        front.lead_to([old])
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(
            requests.post(front.address() + "/slow", data=b"slow", timeout=30).text))
        slow.start()
        assert handler.entered.wait(10)
        front.lead_to([new])
        drained = threading.Event()

        def wait() -> None:
            front.drained([old], 30)
            drained.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert requests.post(front.address(), data=b"x", timeout=10).text.startswith(new.rpartition(":")[2])
        assert not drained.wait(0.5)
        handler.hold.set()
        assert drained.wait(10)
        slow.join()
        waiting.join()
        assert answers == [old.rpartition(":")[2] + ":slow"]


def test_without_replicas_it_says_so_and_stays(front: Front) -> None:
    answer = requests.get(front.address() + "/readyz", timeout=10)
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
    assert answer.json() == {"detail": "No replica answers."}


def test_another_command_finds_the_same_proxy_and_a_dead_one_comes_back_on_its_port(
    front: Front, tmp_path: Path
) -> None:
    address = front.address()
    assert Front(tmp_path, 0).address() == address
    running = front._running()
    assert running is not None
    from catsdogs.clusters import detached

    detached.stop(running.handle)
    assert Front(tmp_path, 0).address() == address


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    from catsdogs.errors import CatsdogsError

    with backend() as (one, _):
        port = int(one.rpartition(":")[2])
        with pytest.raises(CatsdogsError, match=f"does not start on port {port}: .*choose another --port"):
            Front(tmp_path, port).address()


def test_a_list_that_changes_is_read_anew(front: Front, tmp_path: Path) -> None:
    front.address()
    with backend() as (one, _):
        write_json(tmp_path / "backends.json", [one])
        assert requests.post(front.address(), data=b"x", timeout=10).status_code == 200
