"""MLflow in the trainer's image, with the manifest's own command, hardened as its pod is."""

import base64
from pathlib import Path

import pytest

from tests.containers.engine import HARDENED, container, docker
from tests.k8s.tracking import PASSWORD, tracking

pytestmark = pytest.mark.xdist_group("docker")

ASK = """
import sys, time, urllib.error, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen("http://127.0.0.1:5000/health", timeout=5).close()
        break
    except OSError:
        time.sleep(0.2)
address = "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1"
for headers in ({}, {"Authorization": "Basic " + sys.argv[1]}):
    request = urllib.request.Request(address, headers=headers | {"Host": "mlflow-service:5000"})
    try:
        print(urllib.request.urlopen(request, timeout=30).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def test_the_trainers_image_runs_mlflow_as_the_manifest_says(trainer_image: str, tmp_path: Path) -> None:
    found = tracking(tmp_path)
    config = tmp_path / "basic_auth.ini"
    config.write_text(found.config)
    environment = found.environment | {"CATSDOGS_BUCKET": "/tmp/bucket"}
    words = found.expanded({}, environment)
    options = [*HARDENED, "--tmpfs", "/mlflow:uid=10001,gid=10001", "--workdir", "/mlflow", "--entrypoint", words[0],
               "--volume", f"{config}:/etc/mlflow/basic_auth.ini:ro", "--memory", "2g",
               *(word for name, value in environment.items() for word in ("--env", f"{name}={value}"))]
    with container(trainer_image, *words[1:], options=options) as name:
        credentials = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        answers = docker("exec", name, "python", "-c", ASK, credentials).stdout.split()
        assert answers == ["401", "200"], docker("logs", name).stderr[-3000:]
