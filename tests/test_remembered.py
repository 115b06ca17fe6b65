"""What flags meant is remembered: never anything else, and nothing that was refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.commands import COMMANDS
from catsdogs.settings import remembered
from catsdogs.settings.remembered import recall, remember
from catsdogs.settings.versions import PushSettings
from tests.versions.folders import write_stage

FLAGS = ["--bucket", "s3://b", "--stage", "ingested", "--data-dir", "elsewhere", "--unpacked"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "catsdogs"


def settings(**more: object) -> PushSettings:
    return PushSettings(bucket="s3://b", stage=["ingested"], data_dir=Path("elsewhere"), unpacked=True,
                        **more)  # type: ignore[arg-type]


def test_the_same_flags_mean_the_same() -> None:
    assert recall("push", FLAGS) is None
    remember("push", FLAGS, settings(transfers=3))
    assert vars(recall("push", FLAGS)) == settings(transfers=3).model_dump()
    assert recall("push", [*FLAGS, "--rehash"]) is recall("pull", FLAGS) is recall("push", FLAGS[:-1]) is None


def test_only_the_name_of_the_commit_may_differ() -> None:
    remember("push", [*FLAGS, "--commit", "c1"], settings(commit="c1"))
    found = recall("push", [*FLAGS, "--commit", "0ab.c"])
    assert vars(found) == settings(commit="0ab.c").model_dump()
    for other in (["--commit", "None"], ["--commit", "null"], ["--commit", "-x"], ["--commit", '{"a":1}'], ["--commit"],
                  ["--commit", "a", "--commit", "b"], ["--commit="], [], ["--commit", ""]):
        assert recall("push", FLAGS + other) is None, other


@pytest.mark.parametrize("name", ["CATSDOGS_BUCKET", "catsdogs_push_transfers", "CATSDOGS_PUSH_REHASH", "BUCKET",
                                  "STORAGE_EMULATOR_HOST"])
def test_a_variable_that_decides_a_setting_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remember("push", FLAGS, settings())
    monkeypatch.setenv("CATSDOGS_TRAIN_EPOCHS", "5")  # of another command
    assert recall("push", FLAGS)
    monkeypatch.setenv(name, "1")
    assert recall("push", FLAGS) is None


def test_an_upgrade_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    remember("push", FLAGS, settings())
    monkeypatch.setattr(remembered, "_declared", lambda: [("versions.py", 1, 2)])
    assert recall("push", FLAGS) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"key": 1}', b"\xff", b'{"key":"%s","names":[1],"values":2}'])
def test_a_damaged_memory_is_none(cache: Path, content: bytes) -> None:
    remember("push", FLAGS, settings())
    (path,) = cache.iterdir()
    path.write_bytes(content)
    assert recall("push", FLAGS) is None


def test_no_home_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    remember("push", FLAGS, settings())
    assert recall("push", FLAGS) is None


def test_every_name_that_may_decide_a_field_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value that some variable gives really comes from one of the names that are compared."""
    names = set(remembered._names(PushSettings))
    for name in names & {name.lower() for name in ("CATSDOGS_PUSH_TRANSFERS", "CATSDOGS_BUCKET")}:
        monkeypatch.setenv(name.upper(), "7")
    found = PushSettings()
    assert (found.transfers, found.bucket) == (7, "7")
    assert {f"catsdogs_push_{field}" for field in PushSettings.model_fields} <= names


def test_commands_whose_flags_hold_secrets_remember_nothing() -> None:
    assert [name for name, command in COMMANDS.items() if command.remembers] == ["push"]


def test_an_unchanged_push_needs_no_pydantic_and_a_refused_one_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stage(tmp_path / "data", 4)
    assert main(["push", "--bucket", "ftp://key:word@place", "--commit", "v0"]) == 2
    assert not cache.exists()
    line = ["push", "--bucket", "bucket", "--commit"]
    assert main([*line, "v1"]) == 0
    code = ("import sys; from catsdogs.cli import main; status = main(sys.argv[1:]); "
            "sys.exit(status or 10 * ('pydantic' in sys.modules))")
    run = [sys.executable, "-c", code]
    assert subprocess.run([*run, *line, "v2"]).returncode == 0
    assert (tmp_path / "bucket/datasets/cats-dogs/v2/ingested/manifest.json").exists()
    assert subprocess.run([*run, *line, "v3"], env=os.environ | {"CATSDOGS_PUSH_DATASET": "other"}).returncode == 10
    assert (tmp_path / "bucket/datasets/other/v3/ingested/manifest.json").exists()
