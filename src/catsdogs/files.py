"""Files that are whole or absent: written beside, then renamed."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from catsdogs.errors import CatsdogsError, UsageError

PARTIAL = ".partial"
PIECE = 1 << 20  # bytes of zeros written at a time


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


def remove_abandoned(path: Path) -> None:
    """Clear what killed writers of `path` left half-written beside it; what another process is writing now stays.

    For whoever writes nothing there yet: what carries this process's own number is of an earlier one, for in containers
    numbers come again.
    """
    ours = re.compile(re.escape(path.name) + r"(?:\..+)?\.(\d+)" + re.escape(PARTIAL))
    for beside in path.parent.glob(f"*{PARTIAL}"):
        name = ours.fullmatch(beside.name)
        if name and (int(name[1]) == os.getpid() or not _lives(int(name[1]))):
            beside.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # no signal, only the question
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk, where they outlive a power cut.

    For what took minutes to make: a photo of 30 kB would take twice as long to write (0.3 ms more, ext4 on a virtual
    disk). Raises OSError where the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # a file system that knows no such thing
            raise
    finally:
        os.close(descriptor)


def allocate(file: IO[bytes], size: int) -> None:
    """Give a file so many bytes of room before it is mapped into memory; beyond its end they are zeros.

    On a disk that is full a write to a mapped file ends the process with SIGBUS; this raises OSError. Where the file
    system cannot reserve room, glibc writes to each block itself; where the system cannot, zeros are written here.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(file.seek(0, os.SEEK_END), size, PIECE):
        file.write(bytes(min(PIECE, size - start)))
    file.flush()


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
