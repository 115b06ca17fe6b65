"""What a connection sends before there is a request, or beside its body: bounded, answered, logged and counted."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi import FastAPI

from catsdogs.serve import head as module
from catsdogs.serve.head import MOST_BYTES, URL_TIMES, Head
from catsdogs.serve.headers import ALWAYS
from catsdogs.serve.server import Server
from catsdogs.serve.service import Service
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.serve.test_joined import Recorded
from tests.tiny_model import write_tiny_model

CHUNK = 16 * 1024
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    yield start(ServeSettings(enable_real_model=True, model_path=write_tiny_model(tmp_path_factory.mktemp("tiny"))))


def said(app: FastAPI, pieces: list[bytes], pause: float = 0.0, after: float = 0.2,
         seen: list[Head] | None = None) -> tuple[list[bytes | str], int]:
    """What a connection, which is added to `seen`, answers to these pieces, and how many it took before it closed."""

    async def play() -> tuple[list[bytes | str], int]:
        server = Server(app, ready=lambda: None)
        server.config.load()
        server.lifespan = cast(Any, type("Lifespan", (), {"state": {}}))
        connection, transport, taken = server._protocol(), Recorded(), 0
        assert isinstance(connection, Head)
        if seen is not None:
            seen.append(connection)
        connection.connection_made(transport)
        for piece in pieces:
            if transport.is_closing():
                break
            connection.data_received(piece)
            taken += 1
            await asyncio.sleep(pause)
        await asyncio.sleep(after)
        answered = list(transport.said)
        connection.connection_lost(None)
        return answered, taken

    return asyncio.run(play())


def refused(answer: bytes | str, status: int) -> str:
    """The sentence of a refusal, which looks like every other answer."""
    assert isinstance(answer, bytes)
    head, body = answer.split(b"\r\n\r\n", 1)
    lines = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 %d " % status) and lines["connection"] == "close"
    assert {name.lower() for name in ALWAYS} <= lines.keys() and lines["content-length"] == str(len(body))
    content = json.loads(body)
    assert lines["x-request-id"] == content["request_id"]
    return str(content["detail"])


@pytest.mark.parametrize("piece", [b"x" * CHUNK, b"X-Y: z\r\n" * (CHUNK // 8)], ids=["one line", "many lines"])
def test_a_head_without_end_is_refused(app: FastAPI, piece: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (answer, closed), taken = said(app, [b"GET / HTTP/1.1\r\nX: ", *[piece] * 100])
    assert "larger than 32,768 bytes" in refused(answer, 431) and closed == "closed"
    assert taken <= 2 + MOST_BYTES // CHUNK + 1
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["status"] == 431 and line["route"] == "unmatched" and "x" * 20 not in str(line)


def test_what_is_no_http_is_answered_logged_and_counted(app: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    (answer, closed), _ = said(app, [b"GET / HTTP/1.1\r\nBad header\r\n\r\n"])
    assert "no valid HTTP" in refused(answer, 400) and closed == "closed"
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["status"]) == ("request", 400)
    (counts, *_), _ = said(app, [b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert b'requests_total{method="OTHER",route="unmatched",status="400"} 1.0' in cast(bytes, counts)
    assert b'catsdogs_refused_total{reason="bad-http"} 1.0' in cast(bytes, counts)


@pytest.mark.parametrize(("pieces", "status"), [([b"GET / HTTP"], 408), ([], 0), ([b"\r\n"], 0), ([GET, b"GE"], 408)])
def test_a_head_must_arrive_in_time(
    app: FastAPI, pieces: list[bytes], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.3)
    answered, _ = said(app, pieces, pause=0.2, after=0.6)
    assert answered[-1] == "closed"
    if status:
        assert "did not arrive within" in refused(answered[-2], status)
    else:
        assert answered == ["closed"]


def test_slow_bodies_and_requests_one_after_the_other_are_not_in_a_hurry(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.15)
    body = (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 6\r\n\r\n")
    answered, taken = said(app, [GET, GET, body, *[b"x"] * 6, GET], pause=0.1)
    assert taken == 10 and "closed" not in answered
    assert [cast(bytes, answer).split(b" ")[1] for answer in answered] == [b"200", b"200", b"400", b"200"]


def test_who_goes_on_with_a_body_that_was_refused_unread_is_not_waited_for(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """404 before its body: nobody reads that, and nobody else would notice that it drips, or that it has come."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    body = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    for pieces in ([body, *[b"x"] * 8], [body, b"123456789"]):
        answered, _ = said(app, pieces, pause=0.1, after=0.5)
        assert cast(bytes, answered[0]).startswith(b"HTTP/1.1 404") and answered[-1] == "closed"
    answered, taken = said(app, [body, b"123456789", GET, GET], pause=0.1)
    assert taken == 4 and [cast(bytes, answer).split(b" ")[1] for answer in answered] == [b"404", b"200", b"200"]


def test_a_large_head_in_one_piece_is_refused_like_one_in_several(app: FastAPI) -> None:
    (answer, closed), _ = said(app, [b"GET / HTTP/1.1\r\nX: " + b"y" * MOST_BYTES + b"\r\n\r\n"])
    assert "larger than" in refused(answer, 431) and closed == "closed"


def test_requests_that_wait_for_those_before_them_are_not_too_slow(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or their answers would be lost."""
    monkeypatch.setattr(module, "SECONDS", 0.1)

    async def slowly(*_: object) -> None:
        await asyncio.sleep(0.5)

    monkeypatch.setattr(Service, "predict", slowly)
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\nx\r\n--b--'
    post = (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: %d\r\n\r\n" % len(form)) + form
    answered, _ = said(app, [post + GET + GET[:9]], after=0.45)
    assert answered == []


def test_trailers_and_extensions_of_chunks_are_bounded_too(app: FastAPI) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start_of in (b"1\r\nx\r\n0\r\nT: ", b"1;e="):
        answered, taken = said(app, [head + start_of, *[b"y" * CHUNK] * 100])
        assert answered[-1] == "closed" and taken <= 2 + MOST_BYTES // CHUNK + 1


@pytest.mark.parametrize("cookies", [[b"y" * 16384], [b"y" * 4096] * 4], ids=["one line", "several"])
def test_the_head_of_a_large_but_ordinary_request_is_taken(app: FastAPI, cookies: list[bytes]) -> None:
    """With lines as a browser and two proxies send, and an address of 1,000 letters."""
    lines = b"".join([b"X-Line: %s\r\n" % (b"y" * 60)] * 25 + [b"Cookie: %s\r\n" % cookie for cookie in cookies])
    answered, _ = said(app, [b"GET /livez?" + b"a" * 1000 + b" HTTP/1.1\r\n" + lines, b"Host: a\r\n\r\n"])
    assert cast(bytes, answered[0]).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\n\r\n"], ids=["goes on", "is complete"])
def test_a_byte_of_an_address_counts_more_than_one_of_a_line(app: FastAPI, end: bytes) -> None:
    (answer, closed), _ = said(app, [b"GET /livez?" + b"a" * (MOST_BYTES // URL_TIMES) + end])
    assert "larger than" in refused(answer, 431) and closed == "closed"


def test_nothing_is_kept_unseen_behind_a_request_in_one_piece(app: FastAPI) -> None:
    answered, _ = said(app, [GET + b"GET /livez HTTP/1.1\r\nX: " + b"y" * 100_000])
    assert len(answered) == 2 and cast(bytes, answered[0]).startswith(b"HTTP/1.1 200") and answered[1] == "closed"


def test_a_head_that_begins_before_the_answer_to_the_one_before_counts_by_itself(app: FastAPI) -> None:
    """Or the sizes of those that were answered meanwhile would add up: after seven answers came 431."""
    request = GET[:-2] + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 30) for number in range(10)) + b"\r\n"
    stream = request * 30
    cuts = [0, *range(40, len(stream), len(request)), len(stream)]
    answered, _ = said(app, [stream[begin:end] for begin, end in zip(cuts, cuts[1:], strict=False)], pause=0.02)
    assert [cast(bytes, answer)[9:12] for answer in answered] == [b"200"] * 30


def test_neither_a_head_nor_a_body_is_kept_once_it_was_answered(app: FastAPI) -> None:
    request = b"GET /livez HTTP/1.1\r\nX: " + b"y" * 999 + b"\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999
    connections: list[Head] = []
    answered, _ = said(app, [request, GET], seen=connections)
    (one,) = connections
    assert [cast(bytes, answer).split(b" ")[1] for answer in answered] == [b"200", b"200"]
    assert not (one.cycle.scope or one.cycle.body or one.scope or one.headers or one._unanswered)


def test_no_answer_is_garbled_by_a_broken_request_behind_it(app: FastAPI) -> None:
    answered, _ = said(app, [GET + b"nonsense\r\n\r\n"])
    assert answered.count("closed") >= 1
    assert not any(isinstance(answer, bytes) and b"400" in answer[:12] for answer in answered)
