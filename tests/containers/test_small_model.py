"""What a pull request builds the serving image with: a model that the trainer image made from drawn photos."""

import subprocess
from pathlib import Path

import pytest

from catsdogs.predictor import read_card
from tests.checkouts import copied_to
from tests.containers.engine import docker, environment

pytestmark = pytest.mark.xdist_group("docker")


def test_a_pull_request_makes_a_model_without_any_secret(trainer_image: str, tmp_path: Path) -> None:
    folder = copied_to(tmp_path / "catsdogs")
    script = folder / "scripts/pipeline/small_model.sh"
    answer = subprocess.run([script], cwd=folder, env=environment() | {"TRAINER_IMAGE": trainer_image},
                            capture_output=True, text=True, timeout=400)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-4000:]
    assert read_card(folder / "models/model.onnx").classes == ["cat", "dog"]
    assert (folder / "models/model.pt").stat().st_size > 1000
    assert (folder / "artifacts/training/metrics.json").exists()
    volumes = docker("volume", "ls", "--format", "{{.Name}}").stdout.split()
    assert not [name for name in volumes if name.startswith("catsdogs-small-")]
