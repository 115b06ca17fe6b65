"""DVC in the same bucket, as docs/versions.md has it: neither disturbs the other, and no address is in git."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.settings.versions import BucketSettings, PruneSettings, VerifySettings
from catsdogs.storage import open_store
from catsdogs.versions.prune import prune
from catsdogs.versions.verify import verify
from tests.buckets import Servers, environment, new_bucket
from tests.versions.folders import tree, write_stage

ROOT = Path(__file__).parent.parent.parent


def test_the_committed_configuration_names_nobodys_bucket() -> None:
    config = configparser.ConfigParser()
    config.read_string((ROOT / ".dvc" / "config").read_text())
    assert config.sections() == ["core"] and "remote" not in config["core"]
    assert "/.dvc/config.local" in (ROOT / ".gitignore").read_text().splitlines()


def test_dvc_pushes_to_the_same_bucket(
    object_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented lines, word for word, but for the bucket's name; then what we store is pruned, and DVC's stays."""
    variables = environment("s3", object_servers.s3)
    bucket = new_bucket("s3", object_servers, tmp_path)
    documented = re.findall(r"^dvc .*$", (ROOT / "docs" / "versions.md").read_text(), re.MULTILINE)
    assert len(documented) == 2

    def run(*line: str) -> None:
        answer = subprocess.run([sys.executable, "-m", *line], cwd=tmp_path, env=os.environ | variables,
                                capture_output=True, text=True, timeout=300)
        assert answer.returncode == 0, answer.stderr

    folder = write_stage(tmp_path / "data", 10)
    before = tree(folder)
    run("dvc", "init", "-q", "--no-scm")
    run("dvc", "add", "-q", "data/ingested")
    for line in documented:
        run(*line.partition("#")[0].replace("gs://name", bucket).split())
    with_bucket = ["--bucket", bucket, "--stage", "ingested", "--commit"]
    run("catsdogs", "push", *with_bucket, "c1")
    (folder / "cat" / "00000.jpg").unlink()
    run("catsdogs", "push", *with_bucket, "c2")
    assert (tmp_path / ".dvc" / "config.local").read_text().count(bucket) == 1
    assert "remote" not in (tmp_path / ".dvc" / "config").read_text()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        prune(PruneSettings(bucket=bucket, keep=1, apply=True, grace_hours=0))
    assert verify(VerifySettings(bucket=bucket)).passed
    tops = {entry.key.split("/")[0] for entry in open_store(BucketSettings(bucket=bucket)).entries("")}
    assert tops == {"dvc", "datasets"}
    for path in (tmp_path / ".dvc" / "cache", folder):
        shutil.rmtree(path)
    run("dvc", "pull")
    assert tree(folder) == before
