import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkouts import git
from tests.containers.engine import HARDENED, container, docker, inspected

pytestmark = pytest.mark.xdist_group("docker")
FOLDERS = ("data", "models", "artifacts")


@pytest.fixture(scope="module")
def volumes(engine: None) -> Iterator[list[str]]:
    """Named volumes on the three folders that the trainer writes to; as options of `docker run`."""
    names = {folder: f"catsdogs-test-{folder}-{uuid.uuid4().hex[:8]}" for folder in FOLDERS}
    yield [part for folder, name in names.items() for part in ("--volume", f"{name}:/app/{folder}")]
    docker("volume", "rm", *names.values())


def run(image: str, volumes: list[str], *command: str) -> str:
    answer = docker("run", "--rm", *HARDENED, *volumes, image, *command, check=False)
    assert answer.returncode == 0, f"$ {command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def test_the_chain_runs_with_a_root_that_is_read_only(checkout: Path, trainer_image: str, volumes: list[str]) -> None:
    run(trainer_image, volumes, "sample", "--per-class", "40")
    assert "ingested" in run(trainer_image, volumes, "ingest")
    assert "report" in run(trainer_image, volumes, "doctor", "data/ingested")
    run(trainer_image, volumes, "preprocess", "--image-size", "16")
    assert "models/model.pt" in run(trainer_image, volumes, "train", "--epochs", "1")
    lineage = run(trainer_image, volumes, "lineage", "models/model.pt", "--check")
    head = git(checkout, "rev-parse", "HEAD").strip()
    assert head in lineage and "answered as in training" in lineage
    assert head in run(trainer_image, volumes, "push", "--bucket", "artifacts/bucket")
    folders = docker("run", "--rm", *volumes, "--entrypoint", "ls", trainer_image, "/app/artifacts", "/app/models")
    assert {"mlflow.db", "training", "data", "model.pt", "model.onnx"} <= set(folders.stdout.split())


def test_it_ends_when_told_to_although_it_is_the_first_process(trainer_image: str) -> None:
    with container(trainer_image, "sample", "--per-class", "500") as name:
        while ".jpg" not in docker("exec", name, "find", "/app/data/raw", "-name", "*.jpg", check=False).stdout:
            assert inspected(name)["State"]["Running"], docker("logs", name).stderr
        docker("stop", "--time", "60", name)
        assert inspected(name)["State"]["ExitCode"] == 143


def test_it_is_nobody_who_knows_how_to_talk_to_buckets_and_mlflow(trainer_image: str) -> None:
    assert inspected(trainer_image)["Config"]["User"] == "10001:10001"
    code = ("import importlib.util as u; print([m for m in ('torch', 'mlflow', 'google.auth', 'google_crc32c', "
            "'botocore', 'openvino') if not u.find_spec(m)])")
    assert docker("run", "--rm", "--entrypoint", "python", trainer_image, "-c", code).stdout.strip() == "[]"
    assert docker("run", "--rm", "--entrypoint", "sh", trainer_image, "-c",
                  "command -v gcc cc g++ make git; true").stdout == ""


def test_without_a_command_it_lists_them(trainer_image: str) -> None:
    assert docker("run", "--rm", trainer_image).stdout.startswith("usage: catsdogs COMMAND")


def test_its_labels_say_what_it_is(checkout: Path, trainer_image: str) -> None:
    labels = inspected(trainer_image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == git(checkout, "rev-parse", "HEAD").strip()
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
