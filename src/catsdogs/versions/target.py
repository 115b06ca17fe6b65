"""Where a pulled file goes: inside its folder, whatever a manifest says, and never over a file of the user's."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256_file
from catsdogs.settings.versions import PullSettings
from catsdogs.versions.disk import HALF_WRITTEN, model_files
from catsdogs.versions.manifest import Damaged
from catsdogs.versions.tree import Row


def check_paths(rows: Iterable[Row]) -> None:
    """Raises Damaged for a path that leads out of its folder, or that is a file and a folder at once."""
    paths = {row.path for row in rows}
    for path in paths:
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in path or (os.sep != "/" and os.sep in path) \
                or (os.name == "nt" and ":" in path):
            raise Damaged(f"The version is refused: the path {path!r} leads out of its folder.")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in paths:
                raise Damaged(f"The version is refused: {'/'.join(parts[:depth])!r} is a file and a folder in it.")


def local_paths(settings: PullSettings, stage: str, rows: list[Row], folder: Path) -> dict[str, Path]:
    """Path of each row -> file on disk, below `folder` (the stage's own, or one beside it)."""
    if stage != "models":
        return {row.path: folder / row.path for row in rows}
    known = model_files(settings)
    if strange := [row.path for row in rows if row.path not in known]:
        raise Damaged(f"The version is refused: {strange[0]!r} is no file of a model.")
    return {row.path: known[row.path] for row in rows}


def refuse_links(folder: Path, paths: Iterable[Path]) -> None:
    """Raises UsageError where a folder below `folder` is a link: what it points to is not ours to write."""
    for parent in {path.parent for path in paths}:
        while parent != folder and folder in parent.parents:
            if parent.is_symlink():
                raise UsageError(f"{parent} is a symbolic link: move it away, nothing is written through links.")
            parent = parent.parent


def strangers(folder: Path, expected: set[Path]) -> list[Path]:
    """Files below `folder` that are not expected there. Half-written ones of an earlier pull are removed."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if (cut := HALF_WRITTEN.search(name)) and path.with_name(name[:cut.start()]) in expected:
                path.unlink()
            elif path not in expected:
                found.append(path)
    return found


def missing_rows(rows: list[Row], where: dict[str, Path], overwrite: bool) -> list[Row]:
    """Rows whose file is not there. Raises CatsdogsError where another file is, unless `overwrite`."""
    wanted = []
    for row in rows:
        path = where[row.path]
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            wanted.append(row)
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size == row.length and sha256_file(path) == row.digest:
            continue
        if not overwrite or path.is_dir():
            raise CatsdogsError(f"{path} is another file than this version's: move it away, pull into another "
                                "--data-dir, or replace what differs with --overwrite.")
        wanted.append(row)
    return wanted
