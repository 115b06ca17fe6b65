"""A look aside says what a look says, or nothing; a push goes well either way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.versions.folders import blob, pushed, write_stage

LOOK = """
import os, signal, sys, threading
from pathlib import Path
from catsdogs.settings.versions import TreeSettings
from catsdogs.versions import aside

settings = TreeSettings(data_dir=Path("data"), cache_dir=Path(".catsdogs"))
if sys.argv[1] == "killed":
    aside.scan = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    os.fork = None
def refuse():
    raise OSError(11, "no more processes")

if sys.argv[1] == "refused":
    os.fork = refuse
if sys.argv[1] == "unkept":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
opened = os.listdir("/proc/self/fd")
print("printed once", end=" ")
with aside.looking(settings, ["raw", "ingested"]) as look:
    print(look("raw"), look("ingested"), look("processed"), flush=True)
assert os.listdir("/proc/self/fd") == opened
try:
    os.wait()
except ChildProcessError:
    print("no child left")
"""


@pytest.fixture(autouse=True)
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.versions.disk.FRESH_SECONDS", -10.0)


def look(root: Path, how: str = "usual") -> str:
    """By a process of one thread, which the one that runs the tests is not."""
    answer = subprocess.run([sys.executable, "-c", LOOK, how], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stderr == ""
    said, end = answer.stdout.splitlines()
    assert end == "no child left"
    return said.removeprefix("printed once ")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="only Linux counts the threads of a process")
def test_what_is_unchanged_is_seen_aside_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_stage(tmp_path / "data", 12)
    monkeypatch.chdir(tmp_path)
    pushed(Path(), "bucket")
    document = json.loads(Path("bucket/datasets/cats-dogs/c1/ingested/manifest.json").read_text())
    seen = f"None Same(tree='{document['tree_digest']}', files=15, size={document['size']}) None"
    assert look(tmp_path) == look(tmp_path, "unkept") == seen
    assert look(tmp_path, "killed") == look(tmp_path, "threads") == look(tmp_path, "refused") == "None None None"
    photo = folder / "cat" / "00000.jpg"
    photo.write_bytes(blob(99))
    assert look(tmp_path) == "None None None"
    photo.write_bytes(blob(0))  # the same content, but who knows
    assert look(tmp_path) == "None None None"
    pushed(Path(), "bucket", "c2")
    assert look(tmp_path) == seen
    (folder / "cat" / "link.jpg").symlink_to("00000.jpg")
    assert look(tmp_path) == "None None None"


def test_a_push_that_looks_aside_refuses_what_any_push_refuses(tmp_path: Path) -> None:
    folder = write_stage(tmp_path / "data", 12)
    pushed(tmp_path, str(tmp_path / "bucket"))
    line = [sys.executable, "-m", "catsdogs", "push", "--bucket", "bucket", "--json", "--commit"]
    again = subprocess.run([*line, "c2"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["stages"]["ingested"]["files"] == 15
    other = subprocess.run([*line, "c1", "--bucket", "other"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(other.stdout)["stages"]["ingested"]["packs"] > 0  # known here, but not there
    (folder / "cat" / "link.jpg").symlink_to("00000.jpg")
    refused = subprocess.run([*line, "c3"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and "link.jpg' is a symbolic link" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_process_of_several_threads_never_forks() -> None:
    code = "import threading; from catsdogs.versions.aside import _alone; e = threading.Event(); print(_alone()); " \
           "t = threading.Thread(target=e.wait); t.start(); print(_alone()); e.set()"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [str(os.path.exists("/proc/self/task")), "False"]
