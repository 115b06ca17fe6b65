import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkouts import copied_to
from tests.containers.engine import docker, environment, missing


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def checkout(engine: None, tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """This tree as a commit, with a small real model where train would have written it."""
    folder = copied_to(tmp_path_factory.mktemp("containers") / "catsdogs")
    (folder / "models").mkdir()
    for name in ("model.pt", "model.onnx"):
        shutil.copy(model_path.with_name(name), folder / "models" / name)
    return folder


@pytest.fixture(scope="session")
def api_image(checkout: Path) -> Iterator[str]:
    """Built by the script that passes commit and digest."""
    yield from _built(checkout, "serve", f"cats-dogs-api:test-{os.getpid()}")


@pytest.fixture(scope="session")
def trainer_image(checkout: Path) -> Iterator[str]:
    yield from _built(checkout, "trainer", f"cats-dogs-trainer:test-{os.getpid()}")


def _built(checkout: Path, which: str, name: str) -> Iterator[str]:
    named = environment() | {"API_IMAGE": name, "TRAINER_IMAGE": name, "SOURCE": "https://example.org/catsdogs"}
    answer = subprocess.run([checkout / "scripts/build_images.sh", which], cwd=checkout, env=named, capture_output=True,
                            text=True)
    assert answer.returncode == 0, answer.stderr[-8000:]
    yield name
    docker("rmi", "--force", name)
