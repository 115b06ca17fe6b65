import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import (
    allocate, atomic_write, claim_output, digest_of, explain_os_error, remove_abandoned, remove_partials, sync,
    write_bytes,
)


def test_a_failing_write_leaves_the_old_file_and_no_partial(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_bytes(target, b"old")
    with pytest.raises(RuntimeError), atomic_write(target) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_remove_partials_clears_what_a_kill_left(tmp_path: Path) -> None:
    left = tmp_path / "cat" / "x.jpg.123.partial"
    write_bytes(left, b"half")
    write_bytes(tmp_path / "cat" / "x.jpg", b"whole")
    remove_partials(tmp_path)
    assert not left.exists() and (tmp_path / "cat" / "x.jpg").exists()


def test_only_what_killed_writers_of_a_file_left_is_removed(tmp_path: Path) -> None:
    """A writer that is killed in the middle, and one that goes on."""
    code = ("import sys, pathlib; from catsdogs.files import atomic_write\n"
            "with atomic_write(pathlib.Path(sys.argv[1])) as file:\n"
            "    file.write(b'half'); file.flush(); print('writing', flush=True); sys.stdin.read()")
    killed, living = (subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE) for _ in range(2))
    for process in (killed, living):
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
    killed.kill()
    killed.communicate()
    others = [tmp_path / name for name in ("b.1.partial", "a", "a.partial", "a.x.partial", "a.x99999999.partial")]
    for path in others:
        path.touch()
    own = tmp_path / f"a.{os.getpid()}.partial"  # of an earlier process: in containers numbers come again
    own.touch()
    remove_abandoned(tmp_path / "a")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / f"a.{living.pid}.partial"])
    living.communicate()
    assert (tmp_path / "a").read_bytes() == b"half"
    remove_abandoned(tmp_path / "nowhere" / "a")


def test_a_file_gets_its_room_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reserved", "written"):
        with (tmp_path / name).open("w+b") as file:
            allocate(file, 3_000_000)
        status = (tmp_path / name).stat()
        assert status.st_size == 3_000_000 and status.st_blocks * 512 >= 3_000_000
        monkeypatch.delattr(os, "posix_fallocate", raising=False)  # as on systems that have none


def test_a_file_system_that_syncs_no_folders_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(tmp_path)
    for number, fails in ((errno.EINVAL, False), (errno.EIO, True)):
        def refuses(descriptor: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuses)  # no such file system, nor a broken disk, is at hand
        if fails:
            with pytest.raises(OSError, match="Input/output"):
                sync(tmp_path)
        else:
            sync(tmp_path)


def test_an_output_folder_with_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(UsageError, match="'thesis.txt'.*--output-dir"):
        claim_output(tmp_path, ".mark")
    assert list(tmp_path.iterdir()) == [thesis]


def test_an_output_folder_is_claimed_once_and_recognised(tmp_path: Path) -> None:
    claim_output(tmp_path / "new", ".mark")
    write_bytes(tmp_path / "new" / "work", b"x")
    claim_output(tmp_path / "new", ".mark")
    with pytest.raises(UsageError, match="is a file"):
        claim_output(tmp_path / "new" / "work", ".mark")


def test_digests_ignore_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


@pytest.mark.parametrize(("number", "kind", "words"), [
    (errno.ENOSPC, CatsdogsError, "disk is full"),
    (errno.EACCES, UsageError, "No permission"),
    (errno.EROFS, UsageError, "mounted read-only"),
    (errno.EIO, CatsdogsError, "Input/output"),
])
def test_operating_system_errors_become_one_sentence(number: int, kind: type, words: str) -> None:
    error = explain_os_error(OSError(number, os.strerror(number), "/somewhere"))
    assert type(error) is kind
    assert words in str(error) and "/somewhere" in str(error) or number == errno.EIO
