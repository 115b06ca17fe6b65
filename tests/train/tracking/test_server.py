import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from catsdogs.train.tracking.tracker import tracked
from tests.train.tracking.mlflow_server import PASSWORD, USER, mlflow_server


@pytest.mark.filterwarnings("ignore")  # MLflow's, about its own dependencies
def test_a_server_that_is_killed_and_comes_back_has_missed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")
    with mlflow_server(tmp_path) as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1")
        with tracked(server.uri, "killed", wait_seconds=120) as tracker:
            tracker.parameters({"epochs": 3})
            for step in range(3):
                tracker.metrics({"val_loss": 3.0 - step}, step)
            server.kill()
            for step in range(3, 6):
                tracker.metrics({"val_loss": 3.0 - step}, step)
            tracker.photos("processed", "d" * 64, {"train": {"cat": 2}})
            tracker.artifacts([model])
            before = time.monotonic()
            tracker.metrics({"val_accuracy": 0.9})
            assert time.monotonic() - before < 5, "training waited for the server"
            _until(lambda: "tracking_waits" in capsys.readouterr().err)
            server.start()
        client = mlflow.MlflowClient(tracking_uri=server.uri)
        (run,) = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
        assert run.info.status == "FINISHED"
        assert run.data.params == {"epochs": "3"} and run.data.metrics["val_accuracy"] == 0.9
        history = sorted(client.get_metric_history(run.info.run_id, "val_loss"), key=lambda metric: metric.step)
        assert [(metric.step, metric.value) for metric in history] == [(step, 3.0 - step) for step in range(6)]
        (photos,) = run.inputs.dataset_inputs
        assert photos.dataset.name == "processed" and photos.dataset.digest == "d" * 36
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["model.bin"]
    said = capsys.readouterr().err
    assert "tracking_caught_up" in said and "tracking_lost" not in said
    assert PASSWORD not in said


def _until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
