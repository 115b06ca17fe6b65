"""The manifest's own MLflow: its command, its configuration and its environment, started here with other paths."""

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catsdogs.backup import backup
from catsdogs.settings.job import BackupSettings
from tests.k8s.tracking import PASSWORD, Tracking, tracking
from tests.servers import free_port

pytestmark = pytest.mark.xdist_group("mlflow")


SQLITE = "--backend-store-uri=sqlite:////mlflow/mlflow.db"


@contextmanager
def mlflow(folder: Path, found: Tracking) -> Iterator[tuple[int, Path]]:
    """`mlflow server` as the manifest starts it; yields its port and its volume."""
    volume, port = folder / "volume", free_port()
    volume.mkdir(exist_ok=True)
    (folder / "basic_auth.ini").write_text(found.config.replace("sqlite:////mlflow/", f"sqlite:///{volume}/"))
    environment = found.environment | {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"), "HOME": str(folder),
                                       "CATSDOGS_BUCKET": str(folder / "bucket")}
    stored = {SQLITE: f"--backend-store-uri=sqlite:///{volume}/mlflow.db"} if SQLITE in found.words else {}
    words = found.expanded({"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"} | stored,
                           environment)
    program = str(Path(sys.executable).parent / words[0])
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (folder / "log").open("ab") as log, subprocess.Popen(
            [program, *words[1:]], cwd=volume, env=path | environment, stdout=log, stderr=log) as process:
        try:
            for _ in range(1800):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, volume
        finally:
            process.terminate()


def status(port: int, host: str, password: str | None = PASSWORD) -> int:
    """What the server answers to a question about experiments that is addressed to `host`."""
    headers = {"Host": host}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def client(port: int, code: str, folder: Path) -> str:
    """Runs MLflow's client as the training pod does: address and credentials from the environment."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"http://localhost:{port}", "MLFLOW_TRACKING_USERNAME": "admin",
                                "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, env=environment,
                            capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


LOG = """
import mlflow
mlflow.set_experiment("catsdogs")
with mlflow.start_run() as run:
    mlflow.log_metric("test_accuracy", 0.9)
    mlflow.log_text("the artifact", "report.txt")
print(run.info.run_id)
"""
READ = """
import mlflow, sys
run = "RUN"
print(mlflow.get_run(run).data.metrics["test_accuracy"], mlflow.artifacts.load_text(f"runs:/{run}/report.txt"))
"""


def test_a_password_allowed_hosts_artifacts_through_the_proxy_and_the_nightly_backup(tmp_path: Path) -> None:
    found = tracking(tmp_path)
    assert SQLITE in found.words
    with mlflow(tmp_path, found) as (port, volume):
        assert status(port, "mlflow-service:5000", password=None) == 401
        assert status(port, "mlflow-service:5000", password="wrong-password-1") == 401
        assert status(port, "mlflow-service:5000") == 200
        assert status(port, "rebound.example:5000") == 403
        run = client(port, LOG, tmp_path).strip().splitlines()[-1]
        (stored,) = (tmp_path / "bucket/mlflow-artifacts").rglob("report.txt")
        assert stored.read_text() == "the artifact"
        made = backup(BackupSettings(bucket=str(tmp_path / "bucket"),
                                     database=[volume / "mlflow.db", volume / "basic_auth.db"]))
        assert len(made.copied) == 2

    for name in ("mlflow.db", "basic_auth.db"):
        for path in volume.glob(f"{name}*"):
            path.unlink()
    backup(BackupSettings(bucket=str(tmp_path / "bucket"), restore="latest",
                          database=[volume / "mlflow.db", volume / "basic_auth.db"]))
    with mlflow(tmp_path, found) as (port, _):
        assert client(port, READ.replace("RUN", run), tmp_path).strip() == "0.9 the artifact"
