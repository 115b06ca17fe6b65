"""JSON that would hold up everybody while it is parsed is refused; long texts are taken out of it before."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from catsdogs.images import encode
from catsdogs.serve.errors import Refused
from catsdogs.serve.json_body import PhotoBody
from catsdogs.serve.long_texts import validated
from catsdogs.serve.protocol import InferRequest
from catsdogs.serve.start import start
from catsdogs.serve.tensors import pixels_of
from catsdogs.settings.serving import ServeSettings
from tests.tiny_model import SIZE, colour_photo, write_tiny_model

FILES = [encode(colour_photo(number, number)) for number in range(2)]
INFER = "/v2/models/catsdogs/infer"
AS_JSON = {"Content-Type": "application/json"}
LONG_TEXT = "A" * 70_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=path))) as client:
        yield client


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(name: str, datatype: str, shape: list[int], data: object) -> dict[str, object]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


@pytest.mark.parametrize("way", ["/predict", INFER])
@pytest.mark.parametrize("values", [
    b"[" + b",".join([b"0"] * 400_001) + b"]", b"[" + b",".join([b"[]"] * 90_000) + b"]", b"[" * 100_001,
    b'[{"k":0}' * 100_001, b"[" + b",".join([b"1" * 4000] * 200) + b"]", b" " * 9_000_000,
    b'"' * 900_001, b"[" + b",".join([b'"\\/"'] * 250_000) + b"]", b'"\\"' + b"A" * 9_000_000 + b'"',
], ids=["numbers", "lists", "deep", "objects", "long numbers", "blanks", "quotes", "escapes", "text with a quote"])
def test_what_would_hold_up_everybody_is_refused_before_it_is_parsed(
    client: TestClient, way: str, values: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser lets no other thread run; and 64 MB of zeros are 1.4 GB once they are parsed."""
    for model in (InferRequest, PhotoBody):
        monkeypatch.setattr(model, "model_validate_json", None)
    body = b'{"image": "", "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1], "data": ' + values + b"}]}"
    answer = client.post(way, content=body, headers=AS_JSON)
    assert answer.status_code == 413 and "send encoded photos" in answer.json()["detail"]


def test_a_photo_of_224_pixels_may_be_nested() -> None:
    pixels = np.full((1, 224, 224, 3), 255)
    body = json.dumps(tensor("pixels", "UINT8", [1, 224, 224, 3], pixels.tolist())).encode()
    (read,) = validated(InferRequest, body).inputs
    assert np.array_equal(pixels_of(read, 224, 1), pixels)
    with pytest.raises(Refused):
        validated(InferRequest, json.dumps(tensor("pixels", "UINT8", [2, 224, 224, 3], [pixels.tolist()] * 2)).encode())


def padded(photo: bytes, length: int) -> bytes:
    """As good a GIF or PNG with so many bytes after its end, which say nothing."""
    return photo + np.random.default_rng(1).bytes(length)


@pytest.mark.parametrize("change", [
    lambda said: said, lambda said: said.replace("/", "\\/"), lambda said: f"data:image/png;base64,{said}",
    lambda said: f"data:image/png;base64,{said}".replace("/", "\\/"),
], ids=["plain", "slashes escaped", "data url", "both"])
def test_long_texts_are_the_same_photos(client: TestClient, change: Callable[[str], str]) -> None:
    """Those beyond 64 KiB are taken out of the body before it is parsed; PHP escapes every slash."""
    expected = client.post("/predict", files={"file": ("p", FILES[0])}).json()["probabilities"]
    said = change(text(padded(FILES[0], 1_200_000)))
    alone = client.post("/predict", content=f'{{"note": "a", "image": "{said}"}}', headers=AS_JSON)
    assert alone.status_code == 200, alone.text
    assert alone.json()["probabilities"] == pytest.approx(expected)
    if not said.startswith("data"):
        body = f'"name": "photos", "shape": [3], "datatype": "BYTES", "data": ["{said}", "{text(FILES[1])}", "{said}"]'
        several = client.post(INFER, content=f'{{"id": "7", "inputs": [{{{body}}}]}}', headers=AS_JSON)
        assert several.status_code == 200 and several.json()["id"] == "7", several.text
        outputs = {output["name"]: output["data"] for output in several.json()["outputs"]}
        assert outputs["label"] == ["cat", "dog", "cat"]
        assert outputs["probabilities"][:2] == pytest.approx(list(expected.values()))


@pytest.mark.parametrize(("way", "body", "status", "words"), [
    ("/predict", {"image": LONG_TEXT + "@"}, 400, "base64"),
    ("/predict", {"image": LONG_TEXT + "\u00e9" * 4}, 400, "base64"),
    ("/predict", {"image": LONG_TEXT + "\\" * 4}, 400, "base64"),
    ("/predict", {"image": "@" * 300 + "0"}, 400, "base64"),  # no other text stands for a long one
    ("/predict", {"other": LONG_TEXT}, 422, "image"), ("/predict", {LONG_TEXT: "image"}, 422, "image"),
    (INFER, {"id": LONG_TEXT}, 400, "id"), (INFER, {"inputs": LONG_TEXT}, 400, "inputs"),
    (INFER, tensor(LONG_TEXT, "BYTES", [1], ["A"]), 400, "name"),
    (INFER, tensor("photos", LONG_TEXT, [1], ["A"]), 400, "datatype"),
    (INFER, tensor("pixels", "UINT8", [1, SIZE, SIZE, 3], [LONG_TEXT] * 192), 400, "integers"),
    (INFER, tensor("photos", "BYTES", [1], [[LONG_TEXT]]), 400, "texts"),
])
def test_a_long_text_where_none_belongs_is_refused(
    client: TestClient, way: str, body: dict[str, Any], status: int, words: str
) -> None:
    for escaped in (True, False):
        sent = json.dumps(body, ensure_ascii=escaped).encode()
        answer = client.post(way, content=sent, headers=AS_JSON)
        assert answer.status_code == status and words in answer.json()["detail"], answer.text
        assert "@@@" not in answer.text and "AAA" not in answer.text
