"""Forms as they come: cut off, hostile, large, and refused before they reach a route."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from catsdogs.images import encode
from catsdogs.serve.start import start
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


@pytest.mark.parametrize("charset", ["undefined", "rot13", "no-such-charset"])
def test_no_charset_of_a_form_is_our_error(client: TestClient, charset: str) -> None:
    assert status(client, FORM, f"{KIND}; charset={charset}") in (200, 400)


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
