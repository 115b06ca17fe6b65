import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from catsdogs.artifacts import TrainingMetrics
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.ingest.stage import ingest
from catsdogs.package import package
from catsdogs.predictor import load_predictor
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings import IngestSettings, ModelsSettings, PackageSettings, PreprocessSettings
from catsdogs.train.compare import models
from catsdogs.train.stage import train
from catsdogs.train.tracking import NullTracker, tracked
from tests.models import train_settings
from tests.photos import write_raw

MLFLOW_WARNS = pytest.mark.filterwarnings("ignore")  # about its own dependencies, at its first use


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    raw = write_raw(folder / "raw", 30, labels=("Cat", "Dog", "Hamster"))
    ingest(IngestSettings(source_dir=raw, output_dir=folder / "ingested", workers=1))
    preprocess(PreprocessSettings(input_dir=folder / "ingested", output_dir=folder / "processed", image_size=16,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    return folder / "processed"


@MLFLOW_WARNS
def test_training_leaves_everything_the_specification_names(data_dir: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    result = train(train_settings(data_dir, tmp_path, mlflow_tracking_uri=uri, model_variant="wide"))
    metrics = TrainingMetrics.read(tmp_path / "artifacts" / "metrics.json", "train")
    assert metrics.classes == ["cat", "dog", "hamster"] and len(metrics.history) == 2
    assert sum(map(sum, metrics.confusion)) == metrics.accuracy.count
    for name in ("confusion_matrix.png", "loss_curve.png"):
        with Image.open(tmp_path / "artifacts" / name) as plot:
            assert min(plot.size) > 400
    load_predictor(result.model).check_golden()
    assert not (tmp_path / "artifacts" / "checkpoint.pt").exists()
    assert "test " in result.text() and json.dumps(result.data())

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("catsdogs").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params | {"model_variant": "wider", "epochs": "2", "batch_size": "16", "learning_rate": "0.001",
                              "image_size": "16"} == run.data.params
    assert run.data.metrics["test_accuracy"] == metrics.test_accuracy
    assert {"best_val_accuracy", "test_loss", "val_loss"} <= run.data.metrics.keys()
    logged = {Path(file.path).name for file in client.list_artifacts(run.info.run_id)}
    assert {"model.pt", "model.onnx", "metrics.json", "confusion_matrix.png", "loss_curve.png"} <= logged


@MLFLOW_WARNS
def test_a_crash_and_an_interrupt_are_recorded(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(UsageError), tracked(uri, "crashes"):
        raise UsageError("the data is gone")
    with pytest.raises(KeyboardInterrupt), tracked(uri, "crashes"):
        raise KeyboardInterrupt
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("crashes").experiment_id])
    assert sorted(run.info.status for run in runs) == ["FAILED", "KILLED"]
    (error,) = [run.data.tags["error"] for run in runs if "error" in run.data.tags]
    assert error == "UsageError: the data is gone"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "gibberish://x"])
def test_without_a_tracking_server_training_finishes_and_says_so_once(
    data_dir: Path, tmp_path: Path, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(train_settings(data_dir, tmp_path, mlflow_tracking_uri=uri, epochs=1))
    assert result.model.exists()
    assert capsys.readouterr().err.count("not_tracked") == 1


@MLFLOW_WARNS
def test_a_server_that_goes_away_costs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with tracked(f"sqlite:///{tmp_path}/mlflow.db", "lost") as tracker:
        (tmp_path / "mlflow.db").write_bytes(b"this is no database any more")
        for step in range(3):
            tracker.metrics({"val_loss": 1.0}, step)
    assert capsys.readouterr().err.count("tracking_lost") == 1


def test_a_page_that_is_no_mlflow_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    class Html(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Html)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tracked(f"http://127.0.0.1:{server.server_port}", "x") as tracker:
            assert isinstance(tracker, NullTracker)
    finally:
        server.shutdown()
        server.server_close()
    assert "not_tracked" in capsys.readouterr().err


def test_the_password_of_a_server_is_not_logged() -> None:
    from catsdogs.train.tracking import _without_password

    assert _without_password("https://me:secret@mlflow.example:5000/x") == "https://mlflow.example:5000/x"


def test_photos_too_small_for_the_network(data_dir: Path, tmp_path: Path) -> None:
    small = data_dir.parent / "small"
    preprocess(PreprocessSettings(input_dir=data_dir.parent / "ingested", output_dir=small, image_size=8,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    with pytest.raises(UsageError, match="--image-size 16 or more"):
        train(train_settings(small, tmp_path, model_variant="wider"))


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (["--data-dir", "missing"], 1, "catsdogs preprocess"),
    (["--epochs", "0"], 2, "--epochs 0"),
    (["--model-variant", "huge"], 2, "--model-variant huge"),
    (["--learning-rate", "0"], 2, "--learning-rate 0"),
    (["--artifact-dir", "/proc/nowhere/x"], 1, "/proc/nowhere"),
])
def test_exit_statuses(
    arguments: list[str], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--mlflow-tracking-uri", "none", *arguments]) == status
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_killed_between_epochs_it_goes_on_and_ends_the_same(data_dir: Path, tmp_path: Path) -> None:
    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "catsdogs", "train", "--data-dir", str(data_dir), "--epochs", "12",
                   "--batch-size", "8", "--mlflow-tracking-uri", "none", "--force-cpu",
                   "--output-model", str(folder / "model.pt"), "--artifact-dir", str(folder)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)

    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    process = start(tmp_path / "killed")
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and checkpoint.exists()
    _, resumed = start(tmp_path / "killed").communicate()
    assert b'"resumed"' in resumed
    start(tmp_path / "whole").communicate()
    states = [torch.load(tmp_path / name / "model.pt", weights_only=True)["weights"] for name in ("killed", "whole")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_package_repeats_the_export(data_dir: Path, tmp_path: Path) -> None:
    trained = train(train_settings(data_dir, tmp_path, epochs=1))
    before = load_predictor(trained.model).card
    trained.model.with_suffix(".onnx").unlink()
    result = package(PackageSettings(model_path=trained.model, data_dir=data_dir))
    assert load_predictor(trained.model).card == before
    assert result.largest_difference < 1e-3 and result.golden_photos == len(before.golden)
    assert result.version in result.text()


def test_package_refuses_photos_that_do_not_fit(data_dir: Path, tmp_path: Path, model_path: Path) -> None:
    with pytest.raises(CatsdogsError, match=r"was trained on \['cat', 'dog'\] at 16 px"):
        package(PackageSettings(model_path=model_path, data_dir=data_dir))


def test_models_are_compared() -> None:
    result = models(ModelsSettings(image_size=32))
    baseline, wider = result.variants
    assert baseline.parameters == sum((3 * 9 + 1) * 32 for _ in "x") + (32 * 9 + 1) * 64 + (64 * 9 + 1) * 128 \
        + 129 * 64 + 65 * 2
    assert wider.flops > baseline.flops > 1e6
    assert "baseline" in result.text() and result.data()["image_size"] == 32
    assert [variant.name for variant in models(ModelsSettings(image_size=8)).variants] == ["baseline"]
