import json
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.errors import UsageError
from catsdogs.runs import runs
from catsdogs.settings.training import RunsSettings
from catsdogs.train.tracking.tracker import tracked

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, about its own dependencies


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three trainings: two that ended, one that failed."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('runs')}/mlflow.db"
    for variant, accuracy, loss in (("baseline", 0.68, 0.61), ("fast", 0.91, 0.24)):
        with tracked(uri, "catsdogs") as tracker:
            tracker.parameters({"model_variant": variant, "epochs": 3, "time_budget": None, "batch_size": 64})
            tracker.metrics({"test_accuracy": accuracy, "test_loss": loss, "step_loss": 1.0})
    with pytest.raises(UsageError), tracked(uri, "catsdogs") as tracker:
        tracker.parameters({"model_variant": "wider", "epochs": 3, "time_budget": 300.0})
        raise UsageError("no photos")
    return uri


def test_the_best_comes_first_and_a_failed_one_last(uri: str) -> None:
    result = runs(RunsSettings(mlflow_tracking_uri=uri))
    assert [run.parameters["model_variant"] for run in result.runs] == ["fast", "baseline", "wider"]
    lines = result.text().splitlines()
    assert "91.00%" in lines[1] and "0.2400" in lines[1] and "finished" in lines[1]
    assert "failed" in lines[3] and "300 s" in lines[3]
    json.dumps(result.data())


def test_a_loss_is_best_where_it_is_lowest_and_started_means_newest_first(uri: str) -> None:
    by_loss = runs(RunsSettings(mlflow_tracking_uri=uri, sort="test_loss", limit=1))
    assert [run.parameters["model_variant"] for run in by_loss.runs] == ["fast"]
    newest = runs(RunsSettings(mlflow_tracking_uri=uri, sort="started"))
    assert [run.parameters["model_variant"] for run in newest.runs] == ["wider", "fast", "baseline"]


def test_before_the_first_training_is_finished_those_that_began_are_listed(uri: str) -> None:
    with pytest.raises(UsageError), tracked(uri, "begun"):
        raise UsageError("no photos")
    (run,) = runs(RunsSettings(mlflow_tracking_uri=uri, mlflow_experiment="begun")).runs
    assert run.status == "FAILED"
    with pytest.raises(UsageError, match="no run has that figure"):
        runs(RunsSettings(mlflow_tracking_uri=uri, mlflow_experiment="begun", sort="test_loss"))


def test_side_by_side_shows_what_differs_and_every_figure(uri: str) -> None:
    known = {run.parameters["model_variant"]: run.run_id for run in runs(RunsSettings(mlflow_tracking_uri=uri)).runs}
    text = runs(RunsSettings(mlflow_tracking_uri=uri, compare=[known["baseline"][:10], known["fast"]])).text()
    assert "model_variant" in text and "baseline" in text and "68.00%" in text and "91.00%" in text
    assert "batch_size" not in text and "epochs" not in text, "they are the same"
    assert "step_loss" not in text


def test_nothing_recorded_is_said(tmp_path: Path, uri: str) -> None:
    text = runs(RunsSettings(mlflow_tracking_uri=uri, mlflow_experiment="other")).text()
    assert text.startswith("No run is recorded in 'other'") and "catsdogs train" in text
    missing = tmp_path / "mlflow.db"
    assert runs(RunsSettings(mlflow_tracking_uri=f"sqlite:///{missing}")).runs == [] and not missing.exists()


@pytest.mark.parametrize(("flags", "status", "words"), [
    (["--compare", "zzz"], 2, "no runs begin so"),
    (["--compare", ""], 2, "3 runs begin so"),
    (["--sort", "beauty"], 2, "known are step_loss, test_accuracy, test_loss"),
    (["--mlflow-tracking-uri", "http://127.0.0.1:9"], 1, "cannot be read"),
    (["--mlflow-tracking-uri", "none"], 2, "records nothing"),
])
def test_what_cannot_be_answered(
    uri: str, flags: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = [] if "--mlflow-tracking-uri" in flags else ["--mlflow-tracking-uri", uri]
    assert main(["runs", *address, *flags]) == status
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
