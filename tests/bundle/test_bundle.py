import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from catsdogs.bundle.archive import BundleManifest, unpack
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256, sha256_file
from catsdogs.train.stage import train
from tests.checkouts import commit, copied_to, git
from tests.e2e.test_readme import commands
from tests.models import train_settings
from tests.photos import write
from tests.tiny_model import write_tiny_model

NEEDED = ["models/model.pt", "models/model.onnx", "artifacts/training/metrics.json",
          "artifacts/training/confusion_matrix.png", "artifacts/training/loss_curve.png"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """A folder with models/ and artifacts/ of one real training."""
    folder = tmp_path_factory.mktemp("made")
    settings = train_settings(data_dir, folder)
    train(settings.model_copy(update={"artifact_dir": folder / "artifacts" / "training"}))
    return folder


@pytest.fixture
def project(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout with an executable, ignored files, and what a training wrote."""
    folder = tmp_path / "project"
    write(folder / ".gitignore", b"/models/\n/artifacts/\n/data/\n/submission/\n/.env\n")
    write(folder / "README.md", b"read me\n")
    write(folder / "src/run.sh", b"#!/bin/sh\n").chmod(0o755)
    git(folder, "init", "-q")
    commit(folder, "one")
    for name in ("models", "artifacts"):
        shutil.copytree(made / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


def bundled(folder: Path, *arguments: str) -> Path:
    assert main(["bundle", *arguments]) == 0
    (path,) = folder.glob("submission/*.zip")
    return path


def test_it_holds_the_commit_and_the_named_artifacts_and_nothing_else(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project / ".env", b"TOKEN=secret")
    write(project / "data/raw/cat/1.jpg", b"a photo")
    write(project / "artifacts/notes.txt", b"not named")
    write(project / "models/other.pt", b"not named")
    write(project / "artifacts/post_deploy_eval.json", b"{}")
    path = bundled(project)
    head = git(project, "rev-parse", "HEAD").strip()
    assert path.name == f"catsdogs-{head[:12]}.zip"
    with zipfile.ZipFile(path) as archive:
        names = {name.removeprefix(path.stem + "/") for name in archive.namelist()}
        manifest = json.loads(archive.read(f"{path.stem}/MANIFEST.json"))
    assert names == {".gitignore", "README.md", "src/run.sh", "MANIFEST.json", "artifacts/training/curves.png",
                     "artifacts/post_deploy_eval.json", *NEEDED}
    assert manifest["commit"] == head and manifest["left_out_changes"] == []
    assert manifest["model_digest"] == sha256_file(project / "models/model.pt")
    listed = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert listed.keys() == names - {"MANIFEST.json"}
    assert listed == {name: sha256((project / name).read_bytes()) for name in listed}
    said = capsys.readouterr().out
    assert "without   artifacts/data/report.html (catsdogs doctor)" in said
    assert f"sha256:{sha256_file(path)}" in said and "post_deploy_eval" not in said


def test_the_same_commit_and_artifacts_are_the_same_bytes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundled(project).read_bytes()
    other = tmp_path / "other place"
    git(tmp_path, "clone", "-q", str(project), str(other))
    for name in ("artifacts", "models"):
        shutil.copytree(project / name, other / name, copy_function=shutil.copyfile)  # new times
    for path in other.rglob("*.png"):
        path.chmod(0o600)
    os.utime(other / "README.md", (1, 1))
    monkeypatch.chdir(other)
    before = os.umask(0o077)
    try:
        assert bundled(other).read_bytes() == first
    finally:
        os.umask(before)
    write(other / "artifacts/training/curves.png", b"another plot")
    assert bundled(other).read_bytes() != first


def test_modes_and_times_are_fixed(project: Path, tmp_path: Path) -> None:
    path = bundled(project)
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename.removeprefix(path.stem + "/"): info for info in archive.infolist()}
    assert {info.date_time for info in infos.values()} == {(1980, 1, 1, 0, 0, 0)}
    assert list(infos)[:-1] == sorted(list(infos)[:-1])
    folder = unpack(path, tmp_path / "unpacked")
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in infos}
    assert modes.pop("src/run.sh") == 0o755 and set(modes.values()) == {0o644}


def test_a_dirty_tree_is_refused_and_its_changes_are_never_packed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = bundled(project).read_bytes()
    write(project / "README.md", b"changed\n")
    write(project / "new.py", b"new\n")
    shutil.rmtree(project / "submission")
    assert main(["bundle"]) == 2
    assert "(README.md): commit them" in capsys.readouterr().err
    assert not (project / "submission").exists()
    path = bundled(project, "--allow-dirty")
    said = capsys.readouterr().out
    assert "left out  README.md: not committed" in said and "left out  new.py" in said
    with zipfile.ZipFile(path) as archive:
        assert archive.read(f"{path.stem}/README.md") == b"read me\n"
        manifest = json.loads(archive.read(f"{path.stem}/MANIFEST.json"))
    assert manifest["left_out_changes"] == ["README.md", "new.py"]
    assert path.read_bytes() != clean


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(project: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (project / name).unlink()
    assert main(["bundle"]) == 1
    assert f"Missing: {name} (catsdogs train): run" in capsys.readouterr().err
    assert not (project / "submission").exists()


def test_all_that_is_missing_is_named_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "artifacts")
    shutil.rmtree(project / "models")
    assert main(["bundle"]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in NEEDED)


def test_files_of_different_models_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_model(project / "models")
    assert main(["bundle"]) == 1
    assert "metrics.json is of another model" in capsys.readouterr().err
    write(project / "models/model.pt", b"other weights")
    assert main(["bundle"]) == 1
    assert "was not made from" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".env.production", "deploy/key.pem", "gcp-credentials.json", ".ssh/id_rsa"])
def test_what_looks_like_a_secret_is_refused(project: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / name, b"x")
    commit(project, "oh no")
    assert main(["bundle"]) == 1
    assert f"{name} looks like a secret" in capsys.readouterr().err
    assert not list(project.glob("submission/*"))


def test_a_committed_artifact_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(project, "add", "-f", "models/model.pt")
    commit(project, "the model")
    assert main(["bundle"]) == 1
    assert "models/model.pt is committed as well" in capsys.readouterr().err


def test_a_link_becomes_the_file_it_points_to(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "src" / "link").symlink_to("../README.md")
    commit(project, "a link")
    path = bundled(project)
    with zipfile.ZipFile(path) as archive:
        assert archive.read(f"{path.stem}/src/link") == b"read me\n"
    capsys.readouterr()
    for target in ("/etc/passwd", "../../outside", "models/model.pt", "src"):
        (project / "out").unlink(missing_ok=True)
        (project / "out").symlink_to(target)
        commit(project, f"a link to {target}")
        assert main(["bundle"]) == 1
        assert "out is no file of the commit" in capsys.readouterr().err


def test_outside_git_it_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bundle"]) == 2
    assert "inside a checkout" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "reason"), [
    ("content", "README.md in"), ("extra", "does not hold what its manifest lists"),
    ("absent", "does not hold what its manifest lists"), ("manifest", "holds no MANIFEST.json"),
    ("escape", "does not hold what its manifest lists"),
])
def test_a_bundle_that_was_changed_is_noticed(project: Path, tmp_path: Path, change: str, reason: str) -> None:
    path = bundled(project)
    other = tmp_path / path.name
    top = path.stem
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == f"{top}/README.md":
                data = b"changed" if change == "content" else data
                if change == "absent":
                    continue
            if change == "manifest" and info.filename.endswith(BundleManifest.FILE_NAME):
                continue
            target.writestr(info, data)
        if change == "extra":
            target.writestr(f"{top}/extra.py", b"x")
        if change == "escape":
            target.writestr("../../outside.py", b"x")
    with pytest.raises(CatsdogsError, match=reason):
        unpack(other, tmp_path / "unpacked")
    assert not list(tmp_path.glob("**/outside.py"))


def test_the_door_bundles_this_tree_and_its_receiver_can_run_it(tmp_path: Path, made: Path) -> None:
    folder = copied_to(tmp_path / "tree")
    for name in ("models", "artifacts"):
        shutil.copytree(made / name, folder / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    (line,) = commands("bundle")
    answer = subprocess.run(["bash", "-c", f"{line} --check"], capture_output=True, text=True, cwd=folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "check     ok    answers" in answer.stdout
    assert "passed" in answer.stdout.splitlines()[-1]
    (path,) = folder.glob("submission/*.zip")
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    tracked = set(git(folder, "ls-files").splitlines())
    assert tracked < names
    assert not [name for name in names - tracked if name != "MANIFEST.json" and name.split("/")[0] not in (
        "models", "artifacts")]
    assert "docs/ASSIGNMENT2_REQUIREMENTS_COVERAGE.md" in names


def test_a_bundle_that_cannot_be_installed_fails_its_check(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "pyproject.toml", b"[project]\nname = 'broken'\n")
    write(project / "constraints.txt", b"")
    commit(project, "a project that is none")
    assert main(["bundle", "--check"]) == 1
    assert "The unpacked bundle fails at install" in capsys.readouterr().err
