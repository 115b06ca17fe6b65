"""What push remembers of unchanged folders: it spares reading, and never says what reading would not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.files import sha256
from catsdogs.settings.versions import TreeSettings
from catsdogs.versions import pusher
from catsdogs.versions.disk import Memory, scan
from tests.versions.folders import blob, pushed, tree, write_stage


@pytest.fixture(autouse=True)
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.disk.FRESH_SECONDS", -10.0)


def remembered(root: Path) -> str | None:
    settings = TreeSettings(data_dir=root / "data", cache_dir=root / ".catsdogs")
    return Memory(settings, "ingested").tree(scan(settings, "ingested"))


def manifest_tree(root: Path, commit: str) -> str:
    path = root / "bucket" / "datasets" / "cats-dogs" / commit / "ingested" / "manifest.json"
    return str(json.loads(path.read_text())["tree_digest"])


def test_the_tree_of_an_unchanged_folder_is_remembered(tmp_path: Path) -> None:
    write_stage(tmp_path / "data", 12)
    assert remembered(tmp_path) is None
    pushed(tmp_path, str(tmp_path / "bucket"))
    assert remembered(tmp_path) == manifest_tree(tmp_path, "c1")


def test_an_unchanged_push_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    for path in folder.rglob("*.jpg"):
        path.chmod(0)  # changes the ctime: the next push reads them again
    assert remembered(tmp_path) is None
    monkeypatch.setattr("catsdogs.versions.push.digests", lambda *_: pytest.fail("looked at single files"))
    for path in folder.rglob("*.jpg"):
        path.chmod(0o644)
    with pytest.raises(pytest.fail.Exception):
        pushed(tmp_path, str(tmp_path / "bucket"), "c2")
    monkeypatch.undo()
    monkeypatch.setattr("catsdogs.versions.disk.FRESH_SECONDS", -10.0)
    pushed(tmp_path, str(tmp_path / "bucket"), "c2")
    monkeypatch.setattr("catsdogs.versions.push.digests", lambda *_: pytest.fail("looked at single files"))
    pushed(tmp_path, str(tmp_path / "bucket"), "c3")
    assert manifest_tree(tmp_path, "c3") == manifest_tree(tmp_path, "c1")


@pytest.mark.parametrize("change", ["content", "added", "removed", "renamed", "swapped"])
def test_any_change_is_seen(tmp_path: Path, change: str) -> None:
    folder = write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    one, other = folder / "cat" / "00000.jpg", folder / "cat" / "00002.jpg"
    status = one.stat()
    if change == "content":  # same size, same mtime
        one.write_bytes(b"?" + one.read_bytes()[1:])
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "added":
        (folder / "cat" / "new.jpg").write_bytes(blob(99))
    elif change == "removed":
        one.unlink()
    elif change == "renamed":
        one.rename(folder / "cat" / "other.jpg")
    else:
        one.rename(folder / "x")
        other.rename(one)
        (folder / "x").rename(other)
    assert remembered(tmp_path) is None
    pushed(tmp_path, str(tmp_path / "bucket"), "c2")
    assert remembered(tmp_path) == manifest_tree(tmp_path, "c2") != manifest_tree(tmp_path, "c1")


def test_a_folder_with_fresh_files_is_not_remembered_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changed within a tick of the clock may change again and look the same."""
    folder = write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    monkeypatch.setattr("catsdogs.versions.disk.FRESH_SECONDS", 2.0)
    (folder / "cat" / "00000.jpg").write_bytes(blob(77))
    pushed(tmp_path, str(tmp_path / "bucket"), "c2")
    assert remembered(tmp_path) is None
    (path,) = (tmp_path / ".catsdogs").glob("ingested-*.json")
    assert sha256(blob(77)) not in path.read_text()


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    (path,) = (tmp_path / ".catsdogs").glob("ingested-*.json")
    whole = path.read_bytes()
    head, _, lines = whole.partition(b"\n")
    for spoilt in (b"", whole[:40], head, head + b"\n{}", b"[]\n" + lines, b"null\nnull", b"7\n[1]", lines,
                   head.replace(b'"tree": "', b'"tree": "0') + b"\n" + lines[:-9]):
        path.write_bytes(spoilt)
        assert remembered(tmp_path) is None
        assert pushed(tmp_path, str(tmp_path / "bucket")).stages["ingested"].before
    assert remembered(tmp_path) == manifest_tree(tmp_path, "c1")


def test_where_one_file_is_new_only_that_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    read: list[str] = []
    reads = pusher._read_digest
    monkeypatch.setattr(pusher, "_read_digest", lambda file, memory: (read.append(file.path), reads(file, memory))[1])
    (folder / "cat" / "new.jpg").write_bytes(blob(99))
    pushed(tmp_path, str(tmp_path / "bucket"), "c2")
    assert read == ["cat/new.jpg"]
    (path,) = (tmp_path / ".catsdogs").glob("ingested-*.json")
    head, _, lines = path.read_bytes().partition(b"\n")
    path.write_bytes(head + b"\n" + lines.replace(sha256(blob(0)).encode(), sha256(b"wrong").encode()))  # as long
    (folder / "cat" / "new.jpg").unlink()
    pushed(tmp_path, str(tmp_path / "bucket"), "c3")  # damaged lines are no lines
    assert len(read) > 12 and manifest_tree(tmp_path, "c3") == manifest_tree(tmp_path, "c1")


def test_the_program_ends_at_once_and_says_all(tmp_path: Path) -> None:
    """It skips what other programs tidy up at their end; what it prints must have arrived."""
    write_stage(tmp_path / "data", 12)
    line = [sys.executable, "-m", "catsdogs", "push", "--bucket", "bucket", "--json", "--commit"]
    answer = subprocess.run([*line, "c1"], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0 and json.loads(answer.stdout)["stages"]["ingested"]["files"] == 15
    (tmp_path / "data" / "ingested" / "cat" / "00000.jpg").write_bytes(b"other")
    refused = subprocess.run([*line, "c1"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "never overwritten" in refused.stderr
    assert tree(tmp_path / "bucket")
    with open("/dev/full", "w") as full:
        assert subprocess.run([*line, "c2"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE).returncode == 1
