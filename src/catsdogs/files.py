"""Files that are whole or absent: written beside, then renamed."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from catsdogs.errors import CatsdogsError, UsageError

PARTIAL = ".partial"


def sha256(data: bytes) -> str:
    """Hex digest, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Hex digest of a JSON-serialisable value, independent of the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, default=str).encode())


@contextmanager
def atomic_write(path: Path, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """Open a file beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    The name carries the process id, so that two writers of one path never share a half-written file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open(mode, **options) as file:
            yield file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False, default=str)
        file.write("\n")


def remove_partials(folder: Path) -> None:
    """Clear what a killed run left half-written below `folder`."""
    for path in folder.rglob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


def claim_output(folder: Path, mark: str, flag: str = "--output-dir") -> None:
    """Make `folder` ours: new, empty, or holding `mark` from an earlier run of the same stage.

    Raises UsageError where it holds somebody else's files, so that nothing of theirs is touched.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder: name another {flag}.")
    if not (folder / mark).exists():
        if folder.exists() and (stranger := next(folder.iterdir(), None)) is not None:
            raise UsageError(
                f"{folder} already holds files that are not ours ({stranger.name!r}): name a new or empty {flag}."
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / mark).touch()


def explain_os_error(error: OSError) -> CatsdogsError:
    """One sentence for what the operating system refused."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CatsdogsError(
            f"The disk is full{where}: free some space and run the same command again; finished work is kept."
        )
    if error.errno == errno.EROFS:
        return UsageError(f"Nothing can be written there{where}: it is mounted read-only; name another folder.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"No permission{where}: change the owner or the mode, or name another folder.")
    return CatsdogsError(f"{error.strerror or error}{where}.")
