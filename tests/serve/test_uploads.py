"""Forms as they come: cut off, hostile, large, and refused before they reach a route."""

import asyncio
import encodings
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from starlette.types import Message

from catsdogs.images import encode
from catsdogs.serve.errors import Refused
from catsdogs.serve.start import start
from catsdogs.serve.uploads import SLICE, uploaded
from catsdogs.settings.serving import ServeSettings
from tests.tiny_model import colour_photo, write_tiny_model

CAT = encode(colour_photo(0))
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="photo.png"\r\n\r\n'
FORM = HEAD + CAT + b"\r\n--b--\r\n"
KIND = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=path))) as client:
        yield client


def status(client: TestClient, body: bytes, kind: str = KIND) -> int:
    return client.post("/predict", content=body, headers={"Content-Type": kind}).status_code


def test_a_whole_form_is_answered_and_a_cut_one_is_not(client: TestClient) -> None:
    assert status(client, FORM) == 200
    for body in (b"", FORM[:20], HEAD + CAT, FORM[:-4], HEAD + CAT + b"\r\n--other--\r\n"):
        answer = client.post("/predict", content=body, headers={"Content-Type": KIND})
        assert answer.status_code == 400 and "closing boundary" in answer.json()["detail"]


def test_a_whole_form_without_the_file_is_422(client: TestClient) -> None:
    for name in (b'name="photo"; filename="p"', b'name="file"'):
        assert status(client, b"--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\nx\r\n--b--\r\n") == 422
    assert status(client, FORM, "multipart/form-dataset; boundary=b") == 422


@pytest.mark.parametrize("charset", ["undefined", "rot13", "punycode", "utf-16", "no-such-charset"])
def test_a_form_in_a_charset_of_its_own_is_refused_before_python_knows_of_it(
    client: TestClient, charset: str
) -> None:
    """Python keeps every name that it does not find, and its punycode takes 1.2 s for a field of 256 KB."""
    known = len(encodings._cache)  # type: ignore[attr-defined]
    assert status(client, FORM, f"{KIND}; charset={charset}") == 400
    assert status(client, FORM, f'{KIND}; charset="{charset}{"x" * 1000}"') == 400
    assert len(encodings._cache) == known  # type: ignore[attr-defined]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "us-ascii", "iso-8859-1"])
def test_a_form_may_name_what_browsers_send(client: TestClient, charset: str) -> None:
    assert status(client, FORM, f"{KIND}; charset={charset}") == 200


@pytest.mark.parametrize("tail", [b"\r\n--b" + b" " * 2**20, b"\r\n--bX" * 2**17])
def test_while_a_hostile_form_is_parsed_others_get_their_turn(client: TestClient, tail: bytes) -> None:
    """The parser takes half a microsecond for each of these bytes."""
    scope = {"type": "http", "headers": [(b"content-type", KIND.encode())], "method": "POST", "path": "/"}
    turns, body = 0, HEAD + b"x" + tail

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def play() -> None:
        task = asyncio.create_task(others())
        with pytest.raises(Refused):
            await uploaded(Request(scope, receive))
        task.cancel()

    asyncio.run(play())
    assert turns >= len(body) // SLICE - 1


def test_too_many_parts_are_refused(client: TestClient) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    assert status(client, 16 * field + FORM) == 200
    assert status(client, 17 * field + FORM) == 400
    assert status(client, 4 * FORM[:-len(b"--b--\r\n")] + FORM) == 400


def test_a_large_photo_needs_no_temporary_folder(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = encode(np.random.default_rng(0).integers(0, 255, (800, 900, 3), dtype=np.uint8))
    assert len(noise) > 1_000_000  # what Starlette by itself keeps in memory
    monkeypatch.setattr(tempfile, "tempdir", "/does-not-exist")
    assert status(client, HEAD + noise + b"\r\n--b--\r\n") == 200


@pytest.mark.parametrize("length", [str(50 * 1024 * 1024), "9" * 5000])
def test_an_announced_size_is_refused_and_counted_under_its_route(client: TestClient, length: str) -> None:
    counter = 'catsdogs_http_requests_total{method="POST",route="%s",status="413"} '
    answer = client.post("/predict", content=b"", headers={"Content-Length": length})
    assert answer.status_code == 413 and answer.headers["Connection"] == "close"
    metrics = client.get("/metrics").text
    assert counter % "/predict" in metrics and counter % "unmatched" not in metrics


def test_a_stub_keeps_to_the_limit_of_pixels(tmp_path: Path) -> None:
    settings = ServeSettings(enable_real_model=False, model_path=tmp_path / "none.pt", max_pixels=8 * 8)
    with TestClient(start(settings)) as client:
        assert status(client, FORM) == 200
        assert status(client, HEAD + encode(np.zeros((9, 8, 3), np.uint8)) + b"\r\n--b--\r\n") == 413
