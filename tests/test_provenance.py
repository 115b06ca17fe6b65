import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs import provenance
from catsdogs.cli import main
from catsdogs.errors import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PACKAGE = Path(provenance.__file__).parent


def said_outside_git(folder: Path, commit: str) -> subprocess.CompletedProcess[str]:
    """What a copy of the package outside any checkout says, as in an image."""
    shutil.copytree(PACKAGE, folder / "catsdogs", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from catsdogs.provenance import commit; print(commit())"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "CATSDOGS_COMMIT": commit})


def test_an_image_knows_its_commit(tmp_path: Path) -> None:
    assert said_outside_git(tmp_path / "told", COMMIT).stdout.strip() == COMMIT
    assert said_outside_git(tmp_path / "not told", "").stdout.strip() == "None"


def test_what_is_no_commit_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATSDOGS_COMMIT", "latest")
    with pytest.raises(UsageError, match="CATSDOGS_COMMIT latest: "):
        provenance.built_from()


def test_a_push_from_an_image_is_named_after_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "raw" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "cat" / "1.jpg").write_bytes(b"1")
    monkeypatch.setenv("CATSDOGS_COMMIT", COMMIT)
    assert main(["push", "--bucket", "bucket", "--stage", "raw"]) == 0, capsys.readouterr().err
    assert main(["versions", "--bucket", "bucket"]) == 0
    assert COMMIT[:12] in capsys.readouterr().out
