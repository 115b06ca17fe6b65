import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catsdogs.errors import UsageError
from catsdogs.mlflow_server import DEFAULTS
from catsdogs.train.interruption import Stopped
from catsdogs.train.tracking.tracker import NullTracker, tracked

MLFLOW_WARNS = pytest.mark.filterwarnings("ignore")  # about its own dependencies, at its first use


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take it seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with tracked(f"sqlite:///{path}", "first"):
        return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path))


@contextmanager
def answering(health: int) -> Iterator[tuple[int, list[str]]]:
    """A server that answers `health` to /health and 404 to all else: its port, and the paths it was asked for."""
    asked: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.partition("?")[0])
            self.send_response(health if self.path == "/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()


@MLFLOW_WARNS
def test_a_crash_and_an_interrupt_are_recorded(database: Path) -> None:
    import mlflow

    uri = f"sqlite:///{database}"
    with pytest.raises(UsageError), tracked(uri, "crashes"):
        raise UsageError("the data is gone")
    with pytest.raises(KeyboardInterrupt), tracked(uri, "crashes"):
        raise KeyboardInterrupt
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("crashes").experiment_id])
    assert sorted(run.info.status for run in runs) == ["FAILED", "KILLED"]
    (error,) = [run.data.tags["error"] for run in runs if "error" in run.data.tags]
    assert error == "UsageError: the data is gone"


@MLFLOW_WARNS
def test_a_training_that_was_stopped_in_its_steps_is_no_failure(database: Path) -> None:
    import mlflow

    uri = f"sqlite:///{database}"
    with pytest.raises(Stopped), tracked(uri, "stopped"):
        raise Stopped
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("stopped").experiment_id])
    assert run.info.status == "KILLED" and "error" not in run.data.tags


@MLFLOW_WARNS
def test_only_points_of_curves_may_make_room_for_what_comes_later(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from catsdogs.train.tracking.run import MlflowTracker

    with tracked(f"sqlite:///{database}", "room") as tracker:
        assert isinstance(tracker, MlflowTracker)
        points: list[bool] = []
        with monkeypatch.context() as noted:  # what the sender does with them: test_sender.py
            noted.setattr(tracker._sender, "put", lambda message, live=False: points.append(live))
            tracker.parameters({"epochs": 1})
            tracker.metrics({"val_loss": 1.0}, 1)
            tracker.artifacts([database])
            tracker.photos("processed", "d" * 64, {})
    assert points == [False, True, False, False]


def test_sigterm_outside_of_the_steps_is_recorded_too(database: Path) -> None:
    """While a head is fitted, the test photos are answered or the model is exported, nothing else watches for it."""
    import mlflow

    uri = f"sqlite:///{database}"
    ended = subprocess.run([sys.executable, "-c", (
        "import os, signal, sys\n"
        "from catsdogs.train.tracking.tracker import tracked\n"
        "with tracked(sys.argv[1], 'ended'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"), uri], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 143, ended.stderr
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("ended").experiment_id])
    assert run.info.status == "KILLED"


@MLFLOW_WARNS
@pytest.mark.parametrize(("status", "expected"), [(413, True), (404, True), (500, False), (429, False)])
def test_files_that_a_server_refuses_are_not_sent_again(status: int, expected: bool) -> None:
    from mlflow.exceptions import MlflowException
    from requests import HTTPError, Response

    from catsdogs.train.tracking.run import _refused

    response = Response()
    response.status_code = status
    assert _refused(HTTPError(response=response)) is expected
    assert not _refused(MlflowException("nobody there")) and not _refused(ConnectionError("gone"))


@MLFLOW_WARNS
def test_a_server_that_goes_away_costs_nothing(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    with tracked(f"sqlite:///{database}", "lost", wait_seconds=0) as tracker:
        database.write_bytes(b"this is no database any more")
        for step in range(3):
            tracker.metrics({"val_loss": 1.0}, step)
    said = capsys.readouterr().err
    assert said.count("tracking_waits") == 1 and said.count("tracking_lost") == 1 and '"unsent": 4' in said


def test_a_page_that_is_no_mlflow_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(503) as (port, _), tracked(f"http://127.0.0.1:{port}", "x") as tracker:
        assert isinstance(tracker, NullTracker)
    assert "not_tracked" in capsys.readouterr().err


@MLFLOW_WARNS
def test_a_password_in_the_address_reaches_the_server_and_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(200) as (port, asked):
        with tracked(f"http://me:se@cret@127.0.0.1:{port}", "x") as tracker:
            assert isinstance(tracker, NullTracker)  # it is no MLflow after all
        assert asked[0] == "/health" and any("mlflow" in path for path in asked[1:])
    error = capsys.readouterr().err
    assert f"http://127.0.0.1:{port}" in error and "cret" not in error


@MLFLOW_WARNS
def test_mlflow_knows_every_setting_that_keeps_it_quick_and_quiet(database: Path) -> None:
    """Among them the one against links on standard output, which would spoil --json."""
    with tracked(f"sqlite:///{database}", "quiet"):
        from mlflow import environment_variables as known

    assert {name: str(getattr(known, name).get()).lower() for name in DEFAULTS} == DEFAULTS


def test_sigterm_while_a_finished_run_waits_for_its_server_ends_it_as_finished(tmp_path: Path) -> None:
    """The work is done: to say that it was stopped would have it done again."""
    ended = subprocess.run([sys.executable, "-c", (
        "import os, signal, sys, threading, time\n"
        "from catsdogs.train.tracking import tracker\n"
        "from catsdogs.train.tracking.sender import Sender\n"
        "close = Sender.close\n"
        "def closed(sender, patience, **most):\n"
        "    if most['at_most'] is None:\n"  # without a hurry
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "    return close(sender, patience, **most)\n"
        "Sender.close = closed\n"
        "with tracker.tracked(sys.argv[1], 'ended') as run:\n"
        "    run.metrics({'test_accuracy': 1.0})\n"
        "print('done')\n"), f"sqlite:///{tmp_path}/mlflow.db"], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("ended").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["test_accuracy"] == 1
