"""The same photo by every way in, and what each refuses."""

import asyncio
import base64
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from catsdogs.images import encode
from catsdogs.serve import json_body
from catsdogs.serve.errors import Refused
from catsdogs.serve.service import Service
from catsdogs.serve.start import start
from catsdogs.serve.tensors import Tensor, pixels_of
from catsdogs.settings.serving import ServeSettings
from tests.photos import bad, jpeg
from tests.tiny_model import SIZE, colour_photo, write_tiny_model

PHOTOS = [colour_photo(number % 2, number) for number in range(5)]
FILES = [encode(photo) for photo in PHOTOS]
INFER = "/v2/models/catsdogs/infer"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"), unsure_below=0.885)
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=path, max_batch=8))) as client:
        yield client


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(name: str, datatype: str, shape: list[int], data: object, **more: object) -> dict[str, object]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}], **more}


def batch(client: TestClient, files: list[bytes], field: str = "file") -> httpx.Response:
    return client.post("/predict/batch", files=[(field, (f"{n}.png", data)) for n, data in enumerate(files)])


def test_every_way_in_gives_the_same_answer(client: TestClient) -> None:
    forms = [client.post("/predict", files={"file": ("p", data)}).json() for data in FILES]
    assert len({form["confidence"] for form in forms}) == len(FILES)
    others: dict[str, list[dict[str, float]]] = {
        "json": [client.post("/predict", json={"image": text(data)}).json()["probabilities"] for data in FILES],
        "data url": [client.post("/predict", json={"image": f"data:image/png;base64,{text(data)}"}).json()[
            "probabilities"] for data in FILES],
        "batch": [entry["prediction"]["probabilities"] for entry in batch(client, FILES).json()["answers"]],
        "files": [entry["prediction"]["probabilities"] for entry in batch(client, FILES, "files").json()["answers"]],
    }
    stacked = np.stack(PHOTOS)
    for name, body in {
        "photos": tensor("photos", "BYTES", [5], [text(data) for data in FILES]),
        "flat": tensor("pixels", "UINT8", [5, SIZE, SIZE, 3], stacked.ravel().tolist()),
        "nested": tensor("pixels", "UINT8", [5, SIZE, SIZE, 3], stacked.tolist()),
    }.items():
        answer = client.post(INFER, json=body)
        assert answer.status_code == 200, answer.text
        by_name = {output["name"]: output for output in answer.json()["outputs"]}
        assert by_name["probabilities"]["shape"] == [5, 2] and by_name["probabilities"]["datatype"] == "FP32"
        rows = np.reshape(by_name["probabilities"]["data"], (5, 2))
        others[name] = [dict(zip(["cat", "dog"], row, strict=True)) for row in rows]
        assert by_name["label"]["data"] == [form["label"] for form in forms]
        assert by_name["unsure"]["data"] == [form["unsure"] for form in forms]
    for name, answers in others.items():
        for form, answer in zip(forms, answers, strict=True):
            assert {k: pytest.approx(v, abs=1e-6) for k, v in form["probabilities"].items()} == answer, name
    assert {form["unsure"] for form in forms} == {True, False}
    assert all((form["reason"] is not None) == form["unsure"] == (form["confidence"] < 0.885) for form in forms)


def test_a_bad_photo_spoils_only_its_own_entry(client: TestClient) -> None:
    answer = batch(client, [FILES[0], b"no photo", bad()["huge.png"][0], FILES[1]])
    assert answer.status_code == 200
    entries = answer.json()["answers"]
    assert [entry["status"] for entry in entries] == [200, 400, 413, 200]
    assert [entry["prediction"] is None for entry in entries] == [False, True, True, False]
    assert "Not a photo" in entries[1]["detail"] and entries[3]["prediction"]["label"] == "dog"
    counted = client.get("/metrics").text
    assert 'catsdogs_refused_total{reason="too-many-pixels"} 1.0' in counted and "catsdogs_batch_photos_sum" in counted


def test_batches_have_limits(client: TestClient) -> None:
    assert batch(client, FILES[:1] * 9).status_code == 413
    assert batch(client, FILES[:1] * 8).status_code == 200
    assert batch(client, FILES[:1], "photo").status_code == 422
    assert client.post("/predict/batch", files=[("file", ("p", b""))]).json()["answers"][0]["status"] == 400


def test_the_limit_of_bytes_of_a_batch_is_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    photo = jpeg(1, (400, 300))
    settings = ServeSettings(enable_real_model=True, model_path=path, max_upload_bytes=len(photo),
                             max_batch_bytes=40_000 + 3 * len(photo))
    with TestClient(start(settings)) as client:
        assert client.post("/predict", files={"file": ("p", photo + bytes(17_000))}).status_code == 413
        assert batch(client, [photo] * 3).status_code == 200
        assert batch(client, [photo] * 30).status_code == 413
        larger = batch(client, [photo, photo + bytes(1)]).json()["answers"]
        assert [entry["status"] for entry in larger] == [200, 413] and "larger than" in larger[1]["detail"]


def test_several_photos_have_the_deadline_of_one_request(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    settings = ServeSettings(enable_real_model=True, model_path=path, deadline_seconds=0.5, threads=1)

    async def slowly(self: Service, data: bytes) -> None:
        await asyncio.sleep(0.2)

    monkeypatch.setattr(Service, "predict", slowly)
    with TestClient(start(settings)) as client:
        assert batch(client, FILES).status_code == 504
        body = tensor("photos", "BYTES", [5], [text(data) for data in FILES])
        assert client.post(INFER, json=body).status_code == 504


@pytest.mark.parametrize(("body", "status", "words"), [
    (b"", 400, "no JSON"), (b"{", 400, "no JSON"), (b"[" * 100_000, 400, "no JSON"), (b"[]", 422, ""),
    (b"{}", 422, "image"), (b'{"image": 3}', 422, "image"), (b'{"image": "@@@"}', 400, "base64"),
    (b'{"image": ""}', 400, "empty"), (b'{"image": "AAAA"}', 400, "Not a photo"), (b'{"image": "\xff"}', 400, ""),
])
def test_bad_json_is_one_sentence(client: TestClient, body: bytes, status: int, words: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == status and words in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_as_many_pixels_as_there_may_be_are_taken_flat_and_nested(client: TestClient) -> None:
    pixels = np.random.default_rng(1).integers(200, 256, (8, SIZE, SIZE, 3))
    for data in (pixels.ravel().tolist(), pixels.tolist()):
        body = json.dumps(tensor("pixels", "UINT8", [8, SIZE, SIZE, 3], data)) + " " * 70_000  # as a large one
        answer = client.post(INFER, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text


def test_too_much_base64_is_refused_before_it_is_decoded(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=path, max_upload_bytes=3000))) as client:
        answer = client.post("/predict", json={"image": "@" * 4100})  # decoding it would be a 400
        assert answer.status_code == 413


def test_the_open_inference_protocol_says_what_there_is(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "catsdogs"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == client.get("/v2/models/catsdogs/ready").json() == {"ready": True}
    about = client.get("/v2/models/catsdogs").json()
    assert about["inputs"][0] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 3]}
    assert about["versions"] == [client.get("/model").json()["version"]]
    for path in ("/v2/models/other", "/v2/models/other/ready"):
        assert client.get(path).status_code == 404 and "other" in client.get(path).json()["error"]


def test_outputs_may_be_chosen_and_the_id_comes_back(client: TestClient) -> None:
    body = tensor("photos", "BYTES", [1], [text(FILES[0])], id="abc", outputs=[{"name": "label"}])
    answer = client.post(INFER, json=body).json()
    assert answer["id"] == "abc" and [output["name"] for output in answer["outputs"]] == ["label"]
    del body["id"]
    assert "id" not in client.post(INFER, json=body).json()
    before = counted(client)
    assert client.post(INFER, json=body | {"outputs": [{"name": "none"}]}).status_code == 400
    after = counted(client)
    assert after.pop(REFUSED % "bad-tensor") == before.pop(REFUSED % "bad-tensor", 0) + 1
    assert after == before, "nothing was answered"


REFUSED = 'catsdogs_refused_total{reason="%s"}'


def counted(client: TestClient) -> dict[str, float]:
    """Refusals and predictions."""
    rows = (line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines())
    return {name: float(value) for name, value in rows
            if name.startswith(("catsdogs_refused_total", "catsdogs_predictions_total"))}


def test_a_bad_photo_is_counted_once_by_every_way_in(client: TestClient) -> None:
    name = REFUSED % "not-an-image"
    for ask in (lambda: client.post(INFER, json=tensor("photos", "BYTES", [2], [text(b"no"), text(FILES[0])])),
                lambda: batch(client, [b"no", FILES[0]])):
        before = counted(client).get(name, 0)
        ask()
        assert counted(client)[name] == before + 1


PIXEL = [SIZE, SIZE, 3]


def pixels(data: object, count: int = 1) -> dict[str, object]:
    return tensor("pixels", "UINT8", [count, *PIXEL], data)


@pytest.mark.parametrize(("body", "status"), [
    ({}, 400), ({"inputs": []}, 400), (tensor("other", "UINT8", [1], [1]), 400),
    (tensor("pixels", "FP32", [1, *PIXEL], [0]), 400), (tensor("pixels", "UINT8", [0, *PIXEL], []), 400),
    (tensor("pixels", "UINT8", [1, 9, 9, 3], [0] * 243), 400), (pixels([0]), 400),
    (pixels([256] * 192), 400), (pixels([-1] * 192), 400),
    (pixels([0.5] * 192), 400), (pixels(["0"] * 192), 400),
    # Of one long text among numbers numpy makes as long a text of each: 768 MB.
    (pixels(["x" * 10**6] + [""] * 191), 400), (pixels([0] * 191 + ["x" * 10**6]), 400), (pixels([None] * 192), 400),
    (pixels([[[[0] * SIZE] * SIZE] * 3]), 400), (pixels([[[0] * 3] * SIZE] * SIZE), 400), (pixels([{}]), 400),
    (pixels([[0], [1, 2]]), 400), (pixels([True] * 192), 400),
    (pixels([10**30] * 192), 400), (pixels([0], 9), 413),
    (tensor("photos", "BYTES", [2], [text(FILES[0])]), 400), (tensor("photos", "BYTES", [1], [3]), 400),
    (tensor("photos", "BYTES", [2], [text(FILES[0]), text(b"no photo")]), 400),
])
def test_bad_tensors_are_refused(client: TestClient, body: dict[str, Any], status: int) -> None:
    answer = client.post(INFER, content=json.dumps(body))
    assert answer.status_code == status and answer.json()["error"] == answer.json()["detail"]


def test_one_long_text_among_numbers_takes_no_memory() -> None:
    data = ["x" * 10**5, *[""] * (48 * 48 * 3 - 1)]
    tracemalloc.start()
    with pytest.raises(Refused, match="integers"):
        pixels_of(Tensor(name="pixels", shape=[1, 48, 48, 3], datatype="UINT8", data=data), 48, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


def test_a_stub_has_no_model_for_the_protocol(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("none")
    with TestClient(start(ServeSettings(enable_real_model=False, model_path=folder / "none.pt"))) as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == client.get("/v2/models/catsdogs/ready").status_code == 503
        assert client.post(INFER, json=tensor("photos", "BYTES", [1], [text(FILES[0])])).status_code == 404
        assert batch(client, FILES[:2]).json()["answers"][0]["prediction"]["model_loaded"] is False


def test_the_examples_of_the_description_are_answered(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/predict", "/v2/models/{name}/infer"):
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert client.post(path.replace("{name}", "catsdogs"), json=example).status_code == 200


@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 60), st.sampled_from("=A@ \n\u00e9")), max_size=2))
@example(b"12345", [])
@example(b"1", [(4, "A"), (5, "A")])
@example(bytes(12), [(16, "=")])
def test_base64_in_pieces_is_what_it_is_in_one_go(data: bytes, odd: list[tuple[int, str]]) -> None:
    """Of 8 characters here: padding within, blanks and other letters are refused wherever they stand."""
    said = text(data)
    for place, letter in odd:
        said = said[:place] + letter + said[place:]
    try:
        expected: bytes | None = base64.b64decode(said, validate=True)
    except ValueError:
        expected = None
    if len(said) % 4:  # Python takes padding that is one too many
        expected = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "IN_ONE_GO", 8)
        try:
            found: bytes | None = json_body.photo_bytes(said, 1000)
        except Refused as refused:
            assert (refused.status, expected) == (400, None)
            found = None
    assert found == expected


def test_padding_within_is_refused_also_where_a_piece_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_body, "IN_ONE_GO", 8)
    with pytest.raises(Refused):
        json_body.photo_bytes("AAAAAA==AAAA", 1000)


@pytest.mark.parametrize("path", ["/predict", INFER])
def test_much_base64_is_decoded_off_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Where everybody else's requests would wait for it, readiness among them."""
    where: list[str] = []

    def decoded(data: str, **how: Any) -> bytes:
        try:
            asyncio.get_running_loop()
            where.append("loop")
        except RuntimeError:
            where.append("thread")
        return b"no photo"

    monkeypatch.setattr(json_body.base64, "b64decode", decoded)
    large = "A" * (json_body.LARGE + 4)
    body = {"image": large} if path == "/predict" else tensor("photos", "BYTES", [1], [large])
    assert client.post(path, json=body).status_code == 400
    assert where == ["thread"]
