"""Files of a checkpoint; what is in them: test_loop.py, and in a bucket: test_far.py."""

import os
from pathlib import Path
from typing import Any

import pytest

from catsdogs.train.checkpoint import Checkpoint
from tests.train.kills import dead_process


def test_what_a_killed_process_left_half_written_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """But not what another training writes at this moment in the same folder."""
    left, written = (tmp_path / f"checkpoint.pt.new.{number}.partial" for number in (dead_process(), os.getppid()))
    for path in (left, written, tmp_path / "photo.jpg.1.partial"):
        path.write_bytes(b"half")
    assert Checkpoint(tmp_path, "key").load() is None
    assert not left.exists() and written.exists() and (tmp_path / "photo.jpg.1.partial").exists()


def test_a_state_is_on_the_disk_before_it_takes_the_name_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be had in a test: what is asked of the system is noted."""
    asked: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        asked.append(("sync", Path(f"/proc/self/fd/{descriptor}").resolve().name))
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Any:
        asked.append(("rename", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    Checkpoint(tmp_path, "key").save({"numbers": {"steps": 1}})
    whole = asked.index(("sync", "checkpoint.pt.new"))
    assert asked[whole:] == [("sync", "checkpoint.pt.new"), ("rename", "checkpoint.pt"), ("sync", tmp_path.name)]
