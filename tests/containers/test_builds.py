"""Builds that must fail, each with its reason, and what is sent to the engine."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.engine import BASE, docker, environment
from tests.tiny_model import golden_photo, write_tiny_model

pytestmark = pytest.mark.xdist_group("docker")


def other_weights(models: Path) -> None:
    (models / "model.pt").write_bytes(b"other weights")


def wrong_answers(models: Path) -> None:
    write_tiny_model(models, golden=[golden_photo(0).model_copy(update={"label": "dog"})])


def no_golden_photos(models: Path) -> None:
    write_tiny_model(models, golden=[])


def no_onnx(models: Path) -> None:
    (models / "model.onnx").unlink()


def a_sound_model(models: Path) -> None:
    write_tiny_model(models)


@pytest.mark.parametrize(("spoil", "arguments", "reason"), [
    (other_weights, [], "model.onnx was not made from"),
    (wrong_answers, [], "Golden photo 0 is answered 'cat'"),
    (no_golden_photos, [], "holds no golden photos"),
    (no_onnx, [], "model.onnx"),
    (a_sound_model, ["MAX_MB=100"], "The image is too large"),
    (a_sound_model, [f"MODEL_DIGEST=sha256:{'0' * 64}"], "has another digest than sha256:000"),
])
def test_a_build_fails_and_says_why(
    checkout: Path, tmp_path: Path, spoil: Callable[[Path], None], arguments: list[str], reason: str
) -> None:
    context = tmp_path / "context"
    shutil.copytree(checkout, context, ignore=shutil.ignore_patterns(".git"))
    spoil(context / "models")
    built = docker("build", "-f", "Dockerfile.serve", *(part for argument in arguments
                                                        for part in ("--build-arg", argument)), ".",
                   check=False, cwd=context)
    assert built.returncode != 0
    assert reason in built.stderr + built.stdout


def test_the_script_names_what_is_missing(checkout: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    shutil.copytree(checkout, context)
    no_onnx(context / "models")

    def run(image: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([context / "scripts/build_images.sh", image], capture_output=True, text=True,
                              env=environment())

    answer = run("serve")
    assert (answer.returncode, answer.stderr) == (
        1, "models/model.onnx is missing: it is written by `catsdogs train`.\n")
    assert run("server").returncode == 2


def test_no_data_and_no_secrets_go_to_the_engine(checkout: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    shutil.copytree(checkout, context)
    for name in ("data/raw/cat/1.jpg", ".env", ".venv/bin/python", "models/champion.json", "artifacts/x", "mlflow.db",
                 "src/catsdogs/__pycache__/x.pyc", ".dvc/config.local", "submission/x.zip"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("private")
    tag = f"catsdogs-context-{tmp_path.name}".lower()
    (context / "Everything").write_text("FROM scratch\nCOPY . /\n")
    docker("build", "-f", "Everything", "-t", tag, ".", cwd=context)
    name = docker("create", tag, "none").stdout.strip()
    try:
        exported = subprocess.run(["docker", "export", name], capture_output=True, check=True, env=environment())
    finally:
        docker("rm", name)
        docker("rmi", tag)
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as archive:
        sent = {member.name for member in archive if member.isfile() and not member.name.startswith(("dev/", "etc/"))}
    source = {str(path.relative_to(context)) for path in (context / "src").rglob("*")
              if path.is_file() and "__pycache__" not in path.parts}
    assert sent - {".dockerenv"} == source | {
        "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "params.yaml", "fixes.yaml", "models/model.pt",
        "models/model.onnx"}


def test_both_images_have_the_specifications_base(checkout: Path) -> None:
    for name in ("Dockerfile", "Dockerfile.serve"):
        text = (checkout / name).read_text()
        assert f"ARG BASE_IMAGE={BASE}\n" in text
        assert [line for line in text.splitlines() if line.startswith("FROM ") and "${BASE_IMAGE}" not in line] == []
        assert "# syntax=" not in text  # would be pulled
