"""A stage's files on disk, and what is remembered of those that have not changed."""

import json
import marshal
import os
import re
import stat
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from catsdogs.errors import UsageError
from catsdogs.files import PARTIAL, digest_of, sha256, write_bytes
from catsdogs.names import MANIFEST, METRICS, PREPROCESSED
from catsdogs.versions.tree import path_bytes

if TYPE_CHECKING:
    from catsdogs.settings.versions import TreeSettings

# What a finished stage leaves behind, and the command that does.
FINISHED = {"ingested": (MANIFEST, "ingest"), "processed": (PREPROCESSED, "preprocess")}
HALF_WRITTEN = re.compile(r"\.\d+\.partial$")  # what `files.atomic_write` leaves when it is killed
FRESH_SECONDS = 2.0  # a file changed so shortly before it was read may change again within one tick of its clock


class LocalFile(NamedTuple):
    path: str  # below the stage's folder, with "/"
    local: str
    size: int
    stamp: tuple[int, int, int, int]  # size, mtime and ctime in ns, inode: an edit changes one of them


def model_files(settings: "TreeSettings") -> dict[str, Path]:
    """The files of the stage `models`, by their name in the bucket."""
    return {"model.pt": settings.models_dir / "model.pt", "model.onnx": settings.models_dir / "model.onnx",
            METRICS: settings.metrics}


def present(settings: "TreeSettings", stage: str) -> bool:
    if stage == "models":
        return model_files(settings)["model.pt"].exists()
    folder = settings.data_dir / stage
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def scan(settings: "TreeSettings", stage: str) -> list[LocalFile]:
    """Every file of a stage, sorted by path. Raises UsageError for what is unfinished or no plain file."""
    if stage == "models":
        found = []
        for name, path in model_files(settings).items():
            if not path.is_file():
                raise UsageError(f"{path} is missing, so there is no model to push: `catsdogs train` writes it.")
            found.append(_local_file(name, path.stat(), str(path)))
        return sorted(found, key=lambda file: file.path)
    folder = settings.data_dir / stage
    if not present(settings, stage):
        raise UsageError(f"{folder} holds nothing to push: name another --data-dir or --stage.")
    mark, command = FINISHED.get(stage, ("", ""))
    if mark and not (folder / mark).is_file():
        raise UsageError(f"{folder / mark} is missing, so {folder} is unfinished: run `catsdogs {command}`.")
    found = list(_walk(str(folder), ""))
    return sorted(found, key=lambda file: path_bytes(file.path))


def _walk(folder: str, prefix: str) -> list[LocalFile]:
    found: list[LocalFile] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):  # first, for nearly all are
                if not (entry.name.endswith(PARTIAL) and HALF_WRITTEN.search(entry.name)):
                    found.append(_local_file(prefix + entry.name, status, entry.path))
            elif stat.S_ISDIR(status.st_mode):
                found += _walk(entry.path, f"{prefix}{entry.name}/")
            elif stat.S_ISLNK(status.st_mode):
                raise UsageError(f"{entry.path!r} is a symbolic link: put the file itself there, links are not pushed.")
            else:
                raise UsageError(f"{entry.path!r} is no plain file: move it out of the folder.")
    return found


def _local_file(path: str, status: os.stat_result, local: str) -> LocalFile:
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return LocalFile(path, local, status.st_size, stamp)


class Memory:
    """Digests of files by their stamp, kept in the cache folder; only spares reading, and may be deleted.

    The first line remembers the tree that all files made when none of them was fresh, so that an unchanged folder
    is recognised without looking at the lines below, whose digest it names.
    """

    def __init__(self, settings: "TreeSettings", stage: str, *, forget: bool = False) -> None:
        where = str((settings.models_dir if stage == "models" else settings.data_dir / stage).absolute())
        self._path = settings.cache_dir / f"{stage}-{digest_of(where)[:16]}.json"
        self._started = time.time_ns()
        self._new: dict[str, list[object]] = {}
        self._lines = b""
        self._whole: dict[str, object] = {}
        if not forget:
            try:
                head, _, self._lines = self._path.read_bytes().partition(b"\n")
                found = json.loads(head)
                self._whole = found if isinstance(found, dict) else {}
            except (OSError, ValueError):
                pass  # no cache, no harm: everything is read

    def tree(self, files: list[LocalFile]) -> str | None:
        """The digest of the tree that these files make, where it is remembered and none of them has changed."""
        if not self._whole or self._whole != self._summary(files, str(self._whole.get("tree")), self._lines):
            return None
        return str(self._whole["tree"])

    def digest(self, file: LocalFile) -> str | None:
        line = self._old.get(file.path)
        return str(line[4]) if line and _says(line, file) else None

    @cached_property
    def _old(self) -> dict[str, list[object]]:
        try:
            found = json.loads(self._lines)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def learn(self, file: LocalFile, digest: str) -> None:
        if max(file.stamp[1], file.stamp[2]) < self._started - FRESH_SECONDS * 1e9:
            self._new[file.path] = [*file.stamp, digest]

    def save(self, files: list[LocalFile], tree: str) -> None:
        """Keep what was learnt of `files`, and that they make `tree`."""
        kept = {file.path: line for file in files if (line := self._new.get(file.path, self._old.get(file.path)))}
        whole = all(_says(kept.get(file.path), file) for file in files)
        if not self._new and not (whole and self.tree(files) != tree):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not (ignore := self._path.parent / ".gitignore").exists():
            write_bytes(ignore, b"*\n")
        lines = json.dumps(kept, separators=(",", ":")).encode()
        head = self._summary(files, tree, lines) if whole else {}
        write_bytes(self._path, json.dumps(head).encode() + b"\n" + lines)

    def _summary(self, files: list[LocalFile], tree: str, lines: bytes) -> dict[str, object]:
        # marshal takes 3 ms for 16,000 files, json 30; it is never read back, and version 2 has no references.
        stamps = marshal.dumps([(file.path, file.stamp) for file in files], 2)
        return {"tree": tree, "stamps": sha256(stamps), "lines": sha256(lines)}


def _says(line: list[object] | None, file: LocalFile) -> bool:
    return line is not None and len(line) == 5 and tuple(line[:4]) == file.stamp
