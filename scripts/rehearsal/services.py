"""What stands in for the cloud on this machine: a registry, a bucket and an MLflow server, all on 127.0.0.1.

Each is a real server in a process of its own, on a free port, with its data and log in the rehearsal's folder.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.rehearsal.commits import ROOT

BUCKET = "rehearsal"
STARTING_SECONDS = 240.0  # MLflow imports for a minute on a busy machine
REGISTRY_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
AUTH_CONFIG = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@dataclass(frozen=True)
class Services:
    registry: str
    """host:port"""
    bucket_server: str
    mlflow: str
    mlflow_user: str
    mlflow_password: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """What leads the scripts, and the containers they start, to these servers."""
        return {
            "STORAGE_EMULATOR_HOST": self.bucket_server, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "rehearsal", "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_TRACKING_USERNAME": self.mlflow_user, "MLFLOW_TRACKING_PASSWORD": self.mlflow_password,
        }


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Start all three, wait until each answers, stop them at the end. Raises RuntimeError with a log's last lines."""
    folder.mkdir(parents=True)
    registry, bucket, mlflow = (free_port() for _ in range(3))
    password = secrets.token_urlsafe(18)
    running = Services(registry=f"127.0.0.1:{registry}", bucket_server=f"http://127.0.0.1:{bucket}",
                       mlflow=f"http://127.0.0.1:{mlflow}", mlflow_user="rehearsal", mlflow_password=password)
    (folder / "registry.yml").write_text(REGISTRY_CONFIG.format(folder=folder / "registry", port=registry))
    auth = folder / "auth.ini"
    auth.touch(mode=0o600)
    auth.write_text(AUTH_CONFIG.format(folder=folder, user=running.mlflow_user, password=password))
    beside = Path(sys.executable).parent
    commands = {
        "registry": (["docker-registry", "serve", str(folder / "registry.yml")], {"OTEL_TRACES_EXPORTER": "none"}),
        "bucket": ([sys.executable, "-m", "scripts.rehearsal.bucket", str(bucket), BUCKET], {"PYTHONPATH": str(ROOT)}),
        "mlflow": ([str(beside / "mlflow"), "server", "--app-name", "basic-auth", "--host", "127.0.0.1",
                    "--port", str(mlflow), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
                    "--artifacts-destination", str(folder / "artifacts")],
                   {"MLFLOW_AUTH_CONFIG_PATH": str(auth),
                    "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(32)}),
    }
    probes = {"registry": f"http://{running.registry}/v2/", "bucket": f"{running.bucket_server}/storage/v1/b",
              "mlflow": f"{running.mlflow}/health"}
    with ExitStack() as stack:
        started = {name: stack.enter_context(process(command, folder / f"{name}.log", environment))
                   for name, (command, environment) in commands.items()}
        for name, server in started.items():
            _wait(name, server, probes[name], folder / f"{name}.log")
        yield running


@contextmanager
def process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own, so that Ctrl-C reaches the rehearsal first; ended with all its children."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=log.parent,
                                  env=os.environ | environment, start_new_session=True)
    try:
        yield server
    finally:
        _end(server)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(name: str, server: subprocess.Popen[bytes], probe: str, log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(probe, timeout=2).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:  # 401 is an answer too
                return
        except OSError:
            pass
        time.sleep(0.2)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"The {name} did not come up:\n{last}")


def _end(server: subprocess.Popen[bytes]) -> None:
    for signal_number, seconds in ((15, 10), (9, 10)):
        try:
            os.killpg(server.pid, signal_number)
        except ProcessLookupError:
            break
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    server.poll()
