"""Files that are not to change, sealed with their digests, and with stamps that spare reading them again."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from catsdogs.files import sha256_file, write_json

FILE_NAME = "seal.json"


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write down what these files of `folder` hold."""
    _write(folder, {name: sha256_file(folder / name) for name in names})


def check_seal(folder: Path, names: Iterable[str]) -> None:
    """Raises ValueError where a file is not as it was sealed, OSError where one or the seal is gone.

    A file whose size, time of change and inode are as they were is not read, so what this misses is a disk that decays
    and a program that puts the time back. One that was touched or copied is read, once where the folder can be written.
    """
    path = folder / FILE_NAME
    try:
        sealed = {name: list(entry) for name, entry in json.loads(path.read_text()).items()}
        digests = {name: str(sealed[name][0]) for name in names}
    except (TypeError, AttributeError, LookupError):
        raise ValueError(f"{path} is no seal of {', '.join(names)}") from None
    touched = [name for name in digests if sealed[name][1:] != _stamp(folder / name)]
    for name in touched:
        if sha256_file(folder / name) != digests[name]:
            raise ValueError(f"{folder / name} has been changed")
    if touched:
        with contextlib.suppress(OSError):  # a folder that cannot be written: they are read again the next time
            _write(folder, digests)


def _write(folder: Path, digests: dict[str, str]) -> None:
    write_json(folder / FILE_NAME, {name: [digest, *_stamp(folder / name)] for name, digest in digests.items()})


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]
