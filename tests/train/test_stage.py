import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from catsdogs.reports import TrainingMetrics
from catsdogs.cli import main
from catsdogs.errors import UsageError
from catsdogs.predictor import load_predictor
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import PreprocessSettings
from catsdogs.train.plots import losses
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.stage import _check_writable, train
from tests.models import train_settings
from tests.train.kills import dead_process, same_model

MLFLOW_WARNS = pytest.mark.filterwarnings("ignore")  # about its own dependencies, at its first use


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
    gaps = [row.model_copy(update={"epoch": epoch}) for row, epoch in zip(metrics.history, (2, 7), strict=True)]
    for axes in losses(metrics.model_copy(update={"history": gaps})).axes:
        assert axes.get_xlim()[1] > 7  # epochs that were not validated leave gaps, and cut nothing off
    load_predictor(result.model).check_golden()
    assert not (tmp_path / "artifacts" / "checkpoint.pt").exists()
    assert "test " in result.text() and json.dumps(result.data())
    assert {"cat", "dog", "hamster"} <= metrics.slices.keys()
    # These photos are random, so that their labels are as good as shuffled.
    assert "no better than always answering one class" in result.text()
    good = metrics.model_copy(update={"accuracy": metrics.accuracy.model_copy(update={"low": 0.9})})
    assert "beware" not in replace(result, metrics=good).text()

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("catsdogs").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params | {"model_variant": "wider", "epochs": "2", "batch_size": "16", "learning_rate": "0.001",
                              "image_size": "16"} == run.data.params
    assert run.data.metrics["test_accuracy"] == metrics.test_accuracy
    assert {"best_val_accuracy", "test_loss", "val_loss", "step_loss", "step_images_per_second"} <= \
        run.data.metrics.keys()
    assert len(client.get_metric_history(run.info.run_id, "val_loss")) == 2, "a curve, not its last point"
    (dataset,) = [given.dataset for given in run.inputs.dataset_inputs]
    assert dataset.digest == str(metrics.lineage.splits_digest)[:36]
    logged = {Path(file.path).name for file in client.list_artifacts(run.info.run_id)}
    assert {"model.pt", "model.onnx", "metrics.json", "confusion_matrix.png", "loss_curve.png",
            "curves.png"} <= logged


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "gibberish://x"])
def test_without_a_tracking_server_training_finishes_and_says_so_once(
    data_dir: Path, tmp_path: Path, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(train_settings(data_dir, tmp_path, mlflow_tracking_uri=uri, epochs=1))
    assert result.model.exists()
    assert capsys.readouterr().err.count("not_tracked") == 1


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
    (["--learning-rate", "inf"], 2, "--learning-rate inf"),
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


def test_a_place_that_cannot_be_written_is_met_before_networks_are_compared(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=30.0)
    monkeypatch.setattr("catsdogs.train.stage.chosen", lambda settings: pytest.fail("networks are compared"))
    with pytest.raises(OSError, match="/proc/nowhere"):
        train(settings.model_copy(update={"output_model": Path("/proc/nowhere/model.pt")}))


@pytest.mark.parametrize(("name", "words"), [
    ("models", "is a folder: name a file such as .*models/model.pt"),
    ("model.onnx", "would be overwritten by the model that is exported from it: name a file such as .*model.pt"),
])
def test_weights_that_have_no_place_are_met_before_the_training(
    name: str, words: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setattr("catsdogs.train.stage.prepare", lambda *_: pytest.fail("it is trained"))
    with pytest.raises(UsageError, match=words):
        train(train_settings(data_dir, tmp_path).model_copy(update={"output_model": tmp_path / name}))


def test_a_checkpoint_that_is_kept_spares_the_steps(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(data_dir, tmp_path, epochs=1, keep_checkpoint=True)
    train(settings)
    first = settings.output_model.with_name("first.pt")
    settings.output_model.rename(first)
    monkeypatch.setattr("catsdogs.train.loop.step_on", lambda *_, **__: pytest.fail("a step"))
    train(settings.model_copy(update={"keep_checkpoint": False}))
    assert same_model(first, settings.output_model)
    assert not list(settings.artifact_dir.glob("checkpoint*"))


def test_two_trainings_may_find_out_at_once_that_a_folder_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def touched(path: Path) -> None:
        touch(path)
        path.unlink()  # as the other one does at this moment

    monkeypatch.setattr(Path, "touch", touched)
    _check_writable(tmp_path)


def test_the_model_is_on_the_disk_before_its_checkpoint_is_removed(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be had in a test: what is asked of the system is noted."""
    settings, asked = train_settings(data_dir, tmp_path, epochs=1), []
    fsync, remove = os.fsync, Checkpoint.remove

    def noted(descriptor: int) -> None:
        asked.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    def removed(checkpoint: Checkpoint) -> None:
        model = settings.output_model
        assert {model, model.with_suffix(".onnx"), settings.artifact_dir / "metrics.json", model.parent,
                settings.artifact_dir} <= set(asked)
        remove(checkpoint)
        asked.clear()

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Checkpoint, "remove", removed)
    train(settings)
    assert not asked, "no checkpoint was removed"


def test_what_a_killed_training_left_of_its_model_is_removed(data_dir: Path, tmp_path: Path) -> None:
    left = tmp_path / "models" / f"model.pt.{dead_process()}.partial"
    left.parent.mkdir()
    left.write_bytes(b"half")
    train(train_settings(data_dir, tmp_path, epochs=1))
    assert not left.exists()


def test_stopped_it_says_so_goes_on_and_ends_the_same(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself; test_kills.py sends the signals that leave nothing to say."""
    whole, stopped = (train_settings(data_dir, tmp_path / name, epochs=40, batch_size=8)
                      for name in ("whole", "stopped"))
    command = [sys.executable, "-m", "catsdogs", "train", "--data-dir", str(data_dir), "--epochs", "40",
               "--batch-size", "8", "--mlflow-tracking-uri", "none", "--force-cpu",
               "--output-model", str(stopped.output_model), "--artifact-dir", str(stopped.artifact_dir)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    while process.poll() is None and not (stopped.artifact_dir / "checkpoint.pt").exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143, said  # 128 + 15, as shells say it, after a checkpoint of the last whole step
    assert said.rstrip().endswith(b"catsdogs train: Stopped; run the same command again to go on.")
    train(stopped)
    assert '"resumed"' in capsys.readouterr().err
    train(whole)
    assert same_model(stopped.output_model, whole.output_model)
