import errno
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import atomic_write, claim_output, digest_of, explain_os_error, remove_partials, write_bytes


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
    import os

    error = explain_os_error(OSError(number, os.strerror(number), "/somewhere"))
    assert type(error) is kind
    assert words in str(error) and "/somewhere" in str(error) or number == errno.EIO
