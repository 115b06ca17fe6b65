import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from catsdogs.errors import ModelRefused
from catsdogs.images import encode
from catsdogs.predictor import Predictor
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.models import colour_photo
from tests.photos import bad, jpeg, odd_but_good

CAT = encode(colour_photo(0, 1))


def client_for(model_path: Path, **options: object) -> TestClient:
    settings = ServeSettings(enable_real_model=True, model_path=model_path, **options)  # type: ignore[arg-type]
    return TestClient(start(settings))


@pytest.fixture(scope="module")
def client(model_path: Path) -> Iterator[TestClient]:
    with client_for(model_path) as client:
        yield client


def post(client: TestClient, data: bytes, field: str = "file", **options: object) -> object:
    return client.post("/predict", files={field: ("photo.jpg", data)}, **options)  # type: ignore[arg-type]


def test_a_photo_is_answered(client: TestClient) -> None:
    answer = post(client, CAT)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"label", "confidence", "probabilities", "model_loaded", "unsure", "reason"}
    assert body["label"] == "cat" and body["model_loaded"] is True
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert body["confidence"] == body["probabilities"]["cat"]
    assert answer.headers["X-Model-Version"] == client.get("/model").json()["version"]


@pytest.mark.parametrize("name", odd_but_good())
def test_every_kind_of_photo_is_answered(client: TestClient, name: str) -> None:
    assert post(client, odd_but_good()[name]).status_code == 200


@pytest.mark.parametrize(("name", "status"), [
    ("empty.jpg", 400), ("text.jpg", 400), ("truncated.jpg", 400), ("tiny.png", 400), ("huge.png", 413),
])
def test_every_kind_of_bad_upload_is_one_sentence(client: TestClient, name: str, status: int) -> None:
    answer = post(client, bad()[name][0])
    assert answer.status_code == status
    assert answer.json().keys() == {"detail", "request_id"}
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_what_is_no_form_or_has_no_file_field(client: TestClient) -> None:
    assert post(client, CAT, field="photo").status_code == 422
    assert client.post("/predict").status_code == 422
    assert client.post("/predict", json={"file": "x"}).status_code == 422
    assert client.post("/predict", data={"file": "a string, no file"}).status_code == 422
    for body, kind in ((b"garbage", "multipart/form-data; boundary=x"), (b"--x\r\n\r\n", "multipart/form-data"),
                       (b"--x\r\nContent-Disposition: nonsense\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x")):
        answer = client.post("/predict", content=body, headers={"Content-Type": kind})
        assert answer.status_code in (400, 422) and "detail" in answer.json()


def test_fifty_megabytes_are_refused(client: TestClient) -> None:
    announced = client.post("/predict", content=b"", headers={"Content-Length": str(50 * 1024 * 1024)})
    assert announced.status_code == 413
    pieces = iter([bytes(1024 * 1024)] * 50)
    streamed = client.post("/predict", content=pieces, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert streamed.status_code == 413 and "20,971,520 bytes" in streamed.json()["detail"]


def test_pixels_are_limited_before_decoding(model_path: Path) -> None:
    with client_for(model_path, max_pixels=40 * 40) as client:
        assert post(client, jpeg(1, (41, 41))).status_code == 413
        assert post(client, jpeg(1, (40, 40))).status_code == 200


def test_health_readiness_and_the_card_tell_the_truth(client: TestClient) -> None:
    card = client.get("/model").json()
    health = client.get("/health").json()
    assert health["status"] == "healthy" and health["model_loaded"] is True and health["version"] == card["version"]
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").json()["ready"] is True
    assert card["classes"] == ["cat", "dog"] and card["image_size"] == 16 and card["golden_photos"] == 8
    assert "golden" not in card and card["lineage"]["splits_digest"] == "s"


def test_without_a_model_a_stub_says_that_it_is_one(tmp_path: Path) -> None:
    with TestClient(start(ServeSettings(enable_real_model=False, model_path=tmp_path / "none.pt"))) as client:
        answer = post(client, CAT)
        assert answer.status_code == 200 and answer.json()["model_loaded"] is False
        assert "X-Model-Version" not in answer.headers
        assert client.get("/health").json() | {"status": "healthy", "model_loaded": False} \
            == client.get("/health").json()
        assert client.get("/readyz").status_code == 503
        assert client.get("/model").status_code == 404
        assert post(client, b"no photo").status_code == 400
        assert post(client, bad()["huge.png"][0]).status_code == 413


@pytest.mark.parametrize("damage", ["missing", "truncated", "wrong-answers", "no-golden"])
def test_a_missing_or_broken_model_is_never_served(model_path: Path, tmp_path: Path, damage: str) -> None:
    from tests.test_predictor import change_card

    path = tmp_path / "model.onnx"
    if damage != "missing":
        path.write_bytes(model_path.with_suffix(".onnx").read_bytes()[: 3000 if damage == "truncated" else None])
    if damage == "no-golden":
        change_card(path, golden=[])
    if damage == "wrong-answers":
        from catsdogs.predictor import read_card

        change_card(path, golden=[g.model_copy(update={"probabilities": g.probabilities[::-1]})
                                  for g in read_card(path).golden])
    with pytest.raises(ModelRefused):
        start(ServeSettings(enable_real_model=True, model_path=path))


def counters(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for line in lines if not line.startswith("#") for name, value in [line.rsplit(" ", 1)]}


def test_every_answer_is_counted_and_scanners_add_no_line(model_path: Path) -> None:
    with client_for(model_path) as client:
        post(client, CAT)
        post(client, b"no photo")
        before = counters(client)
        for number in range(300):
            client.get(f"/admin/{number}.php?x={number}")
            client.request(f"PROPFIND{number}", "/predict")
        after = counters(client)
    label = 'catsdogs_http_requests_total{method="%s",route="%s",status="%s"}'
    assert before[label % ("POST", "/predict", 200)] == 1
    assert before[label % ("POST", "/predict", 400)] == 1
    version = client.get("/model").json()["version"]
    assert before[f'catsdogs_predictions_total{{label="cat",version="{version}"}}'] == 1
    assert before['catsdogs_refused_total{reason="not-an-image"}'] == 1
    assert after[label % ("GET", "unmatched", 404)] == 300
    assert len(after) - len(before) < 60
    assert not any("admin" in name or "PROPFIND" in name for name in after)


def test_an_unhandled_error_is_counted_and_named(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Predictor, pixels: object) -> None:
        raise ZeroDivisionError("the engine fell over")

    with client_for(model_path) as client:
        monkeypatch.setattr(Predictor, "answer", broken)
        answer = post(client, CAT)
        assert answer.status_code == 500 and "engine" not in answer.text
        assert counters(client)['catsdogs_http_requests_total{method="POST",route="/predict",status="500"}'] == 1
    assert "the engine fell over" in capsys.readouterr().err


def test_request_ids_are_kept_when_sane(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "abc-1.2_Z"}).headers["X-Request-ID"] == "abc-1.2_Z"
    for strange in ("a b", "x" * 65, 'evil"\\', ""):
        assert client.get("/livez", headers={"X-Request-ID": strange}).headers["X-Request-ID"] != strange


def test_logs_hold_no_photo_no_address_and_no_query(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    post(client, CAT, params={"token": "secret"})
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert '"route": "/predict"' in line and '"status": 200' in line
    assert "secret" not in line and "testclient" not in line and "photo.jpg" not in line


def slow_down(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    gate = threading.Event()
    original = Predictor.answer

    def waits(self: Predictor, pixels: object) -> object:
        gate.wait(10)
        return original(self, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "answer", waits)
    return gate


def test_a_full_queue_says_when_to_come_back_while_health_answers(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_for(model_path, threads=1, queue_size=1) as client:
        gate = slow_down(monkeypatch)
        waiting = [threading.Thread(target=post, args=(client, CAT)) for _ in range(2)]
        for thread in waiting:
            thread.start()
        deadline = time.monotonic() + 5
        while counters(client)["catsdogs_queue_photos"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        busy = post(client, CAT)
        assert client.get("/health").status_code == 200  # the event loop is free
        gate.set()
        for thread in waiting:
            thread.join()
        assert busy.status_code == 503 and busy.headers["Retry-After"] == "1"
        assert post(client, CAT).status_code == 200


def test_past_the_deadline_is_504_and_the_place_comes_back(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_for(model_path, threads=1, queue_size=1, deadline_seconds=0.1) as client:
        gate = slow_down(monkeypatch)
        assert post(client, CAT).status_code == 504
        gate.set()
        deadline = time.monotonic() + 5
        while counters(client)["catsdogs_queue_photos"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert post(client, CAT).status_code == 200


def test_a_client_that_goes_away_frees_its_place(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from catsdogs.predictor import load_predictor
    from catsdogs.serve.inference import Inference
    from catsdogs.serve.metrics import Metrics

    gate = slow_down(monkeypatch)
    predictor = load_predictor(model_path)
    inference = Inference(lambda: predictor, ServeSettings(threads=1, queue_size=5), Metrics())

    async def go() -> int:
        tasks = [asyncio.create_task(inference.predict(CAT)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gate.set()
        for _ in range(200):
            if not inference._held:
                break
            await asyncio.sleep(0.01)
        return inference._held

    assert asyncio.run(go()) == 0
    inference.close()


def test_the_description_names_the_upload_and_the_errors(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/predict"]["post"]
    assert operation["requestBody"]["content"]["multipart/form-data"]["schema"]["required"] == ["file"]
    assert {"200", "400", "413", "422", "503", "504"} <= operation["responses"].keys()
