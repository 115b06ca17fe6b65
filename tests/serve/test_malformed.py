"""Hostile requests against the real server: the short form; `make soak` sends ten thousand and more."""

import asyncio
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings

from catsdogs.images import encode
from tests.hostile import hostile
from tests.models import colour_photo
from tests.serve.malformed import GRACE, Sender, bombard, burden, memory, pump, requests, trickle
from tests.servers import free_port, running

PHOTO = {"file": ("p.png", encode(colour_photo(0, 3)))}
MOST_GROWTH = 12 * 1024 * 1024  # a leak of 8 kB a request would show; so would large blocks that are kept


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(model_path), "--body-seconds", "3"]
    with running(command, port) as process:
        drain = threading.Thread(target=process.stderr.read, daemon=True)  # type: ignore[union-attr]
        drain.start()
        yield port, process


@pytest.fixture
def sender(server: tuple[int, subprocess.Popen[bytes]]) -> Iterator[Sender]:
    """Afterwards the server must stand, and have answered nothing with its own fault."""
    port, process = server
    sender = Sender(port)
    yield sender
    assert process.poll() is None
    assert {status for status in sender.statuses if status >= 500} <= GRACE, sender.first_bad
    answer = httpx.post(f"http://127.0.0.1:{port}/predict", files=PHOTO)
    assert answer.status_code == 200 and "server" not in answer.headers  # of uvicorn's, which would name its kind
    assert "internal-error" not in httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_damaged_photos_are_refused_or_answered_and_memory_stays_flat(
    sender: Sender, server: tuple[int, subprocess.Popen[bytes]]
) -> None:
    bombard(sender.send, 600, seed=1)
    before = memory(server[1].pid)
    bombard(sender.send, 1500, seed=2)
    assert memory(server[1].pid) - before < MOST_GROWTH
    assert sender.statuses[400] > 400 and sender.statuses[200] > 100
    assert set(sender.statuses) <= {200, 400, 413} | GRACE


def test_photos_that_would_be_decoded_for_long_are_refused(sender: Sender) -> None:
    """Not given up past the deadline, while a thread goes on."""
    burden(sender.send, 2 * len(hostile()))
    large = sum(reason == "too-many-pixels" for _, reason in hostile().values())
    assert sender.statuses == {400: 2 * (len(hostile()) - large), 413: 2 * large}


def test_requests_that_are_nearly_http(sender: Sender) -> None:
    sender.patience = 0.05

    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def sent(request: bytes) -> None:
        assert sender.send(request) < 500

    sent()
    assert {400, 422} <= set(sender.statuses)


def test_requests_that_fit_the_description(server: tuple[int, subprocess.Popen[bytes]], sender: Sender) -> None:
    """Schemathesis makes valid and invalid ones from the OpenAPI document; every answer must be one it names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # schemathesis uses parts of its own libraries that are deprecated
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server[0]}/openapi.json")
        for operation in schema.get_all_operations():
            @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.ok().as_strategy())
            def sent(case: schemathesis.Case) -> None:
                answer = case.call()
                if answer.status_code not in GRACE:
                    case.validate_response(answer, checks=[not_a_server_error, status_code_conformance,
                                                           response_schema_conformance])

            sent()


def test_slow_clients_hold_up_nobody_and_are_sent_away(server: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, _ = server
    clients = [trickle(port, 10) for _ in range(200)]
    ended = threading.Event()
    pumping = threading.Thread(target=pump, args=(clients[:20], 1.0, ended.is_set))
    pumping.start()
    try:
        async def quick() -> list[int]:
            async with httpx.AsyncClient() as client:
                answers = await asyncio.gather(*(client.post(f"http://127.0.0.1:{port}/predict", files=PHOTO)
                                                 for _ in range(20)))
            return [answer.status_code for answer in answers]

        assert asyncio.run(quick()) == [200] * 20  # while 200 bodies are under way
    finally:
        ended.set()
        pumping.join()
    first = clients[-1].recv(1000)
    assert first.startswith(b"HTTP/1.1 408 ")
    for client in clients:
        client.close()
    until = time.monotonic() + 20
    while "catsdogs_http_requests_in_progress 1.0" not in (
            counted := httpx.get(f"http://127.0.0.1:{port}/metrics").text) and time.monotonic() < until:
        time.sleep(0.1)
    assert 'catsdogs_refused_total{reason="slow-body"}' in counted and "in_progress 1.0" in counted
