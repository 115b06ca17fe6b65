"""Who asks for another protocol is answered like who does not, whatever of the request comes when."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catsdogs.images import encode
from tests.models import colour_photo
from tests.serve.beside import beside, told
from tests.servers import service

ASKING = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
BODY = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\n' + encode(colour_photo(1, 5), "JPEG")
        + b"\r\n--b--\r\n")
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-ID: last\r\nConnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with beside(tmp_path_factory.mktemp("tiny")) as (port, _):
        yield port


def head(asking: bytes, *lines: bytes, of: bytes = b"POST /predict") -> bytes:
    return b"".join([of, b" HTTP/1.1\r\nHost: a\r\nX-Request-ID: first\r\n", asking, *lines, b"\r\n"])


def form(asking: bytes, body: bytes = BODY) -> tuple[bytes, bytes]:
    return head(asking, b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n" % len(body)), body


def chunked(asking: bytes) -> tuple[bytes, bytes]:
    parts = [BODY[start:start + 100] for start in range(0, len(BODY), 100)] + [b""]
    return (head(asking, b"Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n"),
            b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts))


def timeless(answer: bytes) -> bytes:
    return re.sub(rb"date: [^\r]+", b"", answer)


def cut(request: bytes, *places: int) -> list[bytes]:
    ends = [*places, len(request)]
    return [request[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("made", [form, chunked])
@pytest.mark.parametrize("how", ["at once", "head first", "head in pieces", "body in pieces"])
def test_a_photo_is_answered_as_without_it_and_so_is_what_comes_next(
    port: int, made: Callable[[bytes], tuple[bytes, bytes]], how: str
) -> None:
    answers = []
    for asking in (b"", ASKING):
        first, body = made(asking)
        pieces = {"at once": [first + body + LAST], "head first": [first, body + LAST],
                  "head in pieces": [*cut(first, 7, 40, len(first) - 1), body + LAST],
                  "body in pieces": [*cut(first + body + LAST, len(first) + 10, len(first) + 200)]}[how]
        answers.append(timeless(told(port, *pieces)))
    without, asked = answers
    assert asked == without
    assert asked.count(b"HTTP/1.1 200") == 2 and b'"label":"dog"' in asked and b"last" in asked


@pytest.mark.parametrize("apart", [False, True])
def test_a_body_is_no_request_of_its_own(port: int, apart: bool) -> None:
    answers = []
    for asking in (b"", ASKING):
        first, body = form(asking, SMUGGLED)
        answers.append(timeless(told(port, *([first, body + LAST] if apart else [first + body + LAST]))))
    assert answers[0] == answers[1]
    assert answers[1].count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 404" not in answers[1]


def test_many_of_them_behind_one_another_are_each_answered(port: int) -> None:
    one = head(ASKING, of=b"GET /livez")
    assert told(port, one * 5 + b"".join(form(ASKING)) + one + LAST).count(b"HTTP/1.1 200") == 8


@pytest.mark.parametrize("asking", [
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Connection: keep-alive\r\nCONNECTION: upgrade\r\nUpgrade: h2c\r\nupgrade: websocket\r\n",
], ids=["websocket", "several lines"])
def test_other_protocols_are_not_offered_either(port: int, asking: bytes) -> None:
    ordinary = timeless(told(port, head(b"", of=b"GET /livez") + LAST))
    assert timeless(told(port, head(asking, of=b"GET /livez") + LAST)) == ordinary
    assert ordinary.count(b"HTTP/1.1 200") == 2


def test_who_also_asks_to_close_is_closed(port: int) -> None:
    answer = told(port, head(b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n", of=b"GET /livez"))
    assert answer.count(b"HTTP/1.1 200") == 1 and b"connection: close" in answer


def test_a_broken_body_or_head_is_refused_as_without_it(port: int) -> None:
    chunks = head(ASKING, b"Transfer-Encoding: chunked\r\n", of=b"POST /nowhere")
    for request in (head(ASKING, b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
                    head(ASKING) + b"nonsense\r\n\r\n"):
        assert b"HTTP/1.1 4" in told(port, request)
    assert b"HTTP/1.1 200" not in told(port, chunks + b"zz\r\n" + LAST)


def test_nobody_is_connected_to_another_host(port: int) -> None:
    answer = told(port, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1 ") == 1 and b"no proxy" in answer


@pytest.mark.parametrize("made", [form, chunked])
def test_under_uvicorns_own_command_such_a_body_is_refused_and_nothing_in_it_is_asked(
    model_path: Path, made: Callable[..., tuple[bytes, bytes]]
) -> None:
    with service(model_path) as address:
        port = int(address.rpartition(":")[2])
        answer = told(port, made(ASKING)[0], SMUGGLED)
        assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1 ") == 1
        assert b"leave Upgrade out" in answer
        assert b"HTTP/1.1 200" in told(port, head(ASKING, of=b"GET /livez"), LAST)
