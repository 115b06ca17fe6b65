"""What the service says of itself: every promised metric moves, and the log is one JSON line a request."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from catsdogs.images import encode
from catsdogs.serve.metrics import Together
from catsdogs.serve.shared import Shared
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.models import colour_photo
from tests.photos import bad

CAT = ("p.png", encode(colour_photo(0, 1)))


def test_every_promised_metric_moves_and_every_request_is_one_line(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=model_path))) as client:
        capsys.readouterr()
        asked = [client.post("/predict", files={"file": CAT}),
                 client.post("/predict/batch", files=[("file", CAT), ("file", CAT)]),
                 client.post("/explain", files={"file": CAT}),
                 client.post("/predict", files={"file": ("p", bad()["text.jpg"][0])}),
                 client.post("/predict", files={"file": ("p", bad()["huge.png"][0])}),
                 client.post("/predict"), client.get("/nowhere?token=secret")]
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        text = client.get("/metrics").text
        version = client.get("/model").json()["version"]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 400, 413, 422, 404]
    counted = {name: float(value) for line in text.splitlines() if not line.startswith("#")
               for name, value in [line.rsplit(" ", 1)]}
    assert counted['catsdogs_http_requests_total{method="POST",route="/predict",status="200"}'] == 1
    assert counted['catsdogs_http_requests_total{method="POST",route="/predict",status="413"}'] == 1
    assert counted['catsdogs_http_request_duration_seconds_count{method="POST",route="/predict"}'] == 4
    assert counted["catsdogs_batch_photos_sum"] == 2
    assert counted[f'catsdogs_predictions_total{{label="cat",version="{version}"}}'] == 4
    assert counted["catsdogs_prediction_confidence_ratio_count"] == 4
    assert counted["catsdogs_inference_seconds_count"] >= 3 and counted["catsdogs_inference_seconds_sum"] > 0
    assert counted["catsdogs_decode_seconds_count"] >= 4 and counted["catsdogs_decode_seconds_sum"] > 0
    for reason in ("not-an-image", "too-many-pixels", "no-file"):
        assert counted[f'catsdogs_refused_total{{reason="{reason}"}}'] == 1
    assert counted["catsdogs_upload_bytes_count"] == 6 and counted["catsdogs_upload_bytes_sum"] > 4 * len(CAT[1])
    assert "catsdogs_queue_photos" in counted
    assert f'version="{version}"' in text.split("catsdogs_model_info")[-1]

    assert [(line["event"], line["route"], line["status"]) for line in lines] == [
        ("request", route, answer.status_code) for route, answer in zip(
            ["/predict", "/predict/batch", "/explain", "/predict", "/predict", "/predict", "unmatched"], asked,
            strict=True)]
    assert [line["request_id"] for line in lines] == [answer.headers["X-Request-ID"] for answer in asked]
    for line in lines:
        assert set(line) == {"time", "event", "request_id", "method", "route", "status", "ms"}


def test_every_answer_names_request_and_model_and_no_server(model_path: Path) -> None:
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=model_path))) as client:
        version = client.get("/model").json()["version"]
        answers = [client.post(path, files={"file": CAT}) for path in ("/predict", "/predict/batch", "/explain")]
        answers += [client.get(path) for path in ("/", "/livez", "/v2", "/docs", "/openapi.json", "/nowhere")]
        answers += [client.post("/predict", files={"file": ("p", b"no photo")}), client.post("/predict")]
        for answer in answers:
            assert answer.headers["X-Request-ID"] and answer.headers["X-Model-Version"] == version
            assert answer.headers["X-Content-Type-Options"] == "nosniff" and "server" not in answer.headers
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_file_of_counters_that_goes_while_they_are_added_up_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a process that has just ended: it was listed, and is gone before it is looked at."""
    (tmp_path / "gauge_livesum_1.db").symlink_to(tmp_path / "gone")
    assert list(Together(Shared(tmp_path, 0)).collect()) == []
