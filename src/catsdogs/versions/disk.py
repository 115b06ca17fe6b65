"""A stage's files on disk, and what is remembered of those that have not changed."""

import json
import marshal
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
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


Stamp = tuple[int, int, int, int]  # size, mtime and ctime in ns, inode: an edit changes one of them


class LocalFile(NamedTuple):
    path: str  # below the stage's folder, with "/"
    local: str
    size: int
    stamp: Stamp


@dataclass
class Found:
    """The files of a stage as they were seen. An unchanged push asks for their stamps alone: making `files` of them
    takes as long as half of the looking."""

    stamps: dict[str, Stamp]  # by path, in no order
    local: Callable[[str], str]  # path -> where it lies on disk

    @property
    def size(self) -> int:
        return sum(stamp[0] for stamp in self.stamps.values())

    @cached_property
    def files(self) -> list[LocalFile]:
        """Sorted by path."""
        return [LocalFile(path, self.local(path), self.stamps[path][0], self.stamps[path])
                for path in sorted(self.stamps, key=path_bytes)]


def model_files(settings: "TreeSettings") -> dict[str, Path]:
    """The files of the stage `models`, by their name in the bucket."""
    return {"model.pt": settings.models_dir / "model.pt", "model.onnx": settings.models_dir / "model.onnx",
            METRICS: settings.metrics}


def present(settings: "TreeSettings", stage: str) -> bool:
    if stage == "models":
        return model_files(settings)["model.pt"].exists()
    folder = settings.data_dir / stage
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def scan(settings: "TreeSettings", stage: str) -> Found:
    """Every file of a stage. Raises UsageError for what is unfinished or no plain file."""
    stamp_of: Callable[[os.stat_result], Stamp] = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
    stamps: dict[str, Stamp] = {}
    if stage == "models":
        places = model_files(settings)
        for name, path in places.items():
            if not path.is_file():
                raise UsageError(f"{path} is missing, so there is no model to push: `catsdogs train` writes it.")
            stamps[name] = stamp_of(path.stat())
        return Found(stamps, lambda name: str(places[name]))
    folder = settings.data_dir / stage
    if not present(settings, stage):
        raise UsageError(f"{folder} holds nothing to push: name another --data-dir or --stage.")
    mark, command = FINISHED.get(stage, ("", ""))
    if mark and not (folder / mark).is_file():
        raise UsageError(f"{folder / mark} is missing, so {folder} is unfinished: run `catsdogs {command}`.")
    _walk(str(folder), "", stamp_of, stamps)
    return Found(stamps, lambda path: os.path.join(folder, path))


def _walk(folder: str, prefix: str, stamp_of: Callable[[os.stat_result], Stamp], stamps: dict[str, Stamp]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):  # first, for nearly all are
                if not (entry.name.endswith(PARTIAL) and HALF_WRITTEN.search(entry.name)):
                    stamps[prefix + entry.name] = stamp_of(entry.stat(follow_symlinks=False))
            elif entry.is_dir(follow_symlinks=False):
                _walk(entry.path, f"{prefix}{entry.name}/", stamp_of, stamps)
            elif entry.is_symlink():
                raise UsageError(f"{entry.path!r} is a symbolic link: put the file itself there, links are not pushed.")
            else:
                raise UsageError(f"{entry.path!r} is no plain file: move it out of the folder.")


class Memory:
    """Digests of files by their stamp, kept in the cache folder; only spares reading, and may be deleted.

    The first line remembers the tree that all files made when none of them was fresh, so that an unchanged folder
    is recognised without reading the lines below, whose length and digest it names.
    """

    def __init__(self, settings: "TreeSettings", stage: str, *, forget: bool = False) -> None:
        where = str((settings.models_dir if stage == "models" else settings.data_dir / stage).absolute())
        self._path = settings.cache_dir / f"{stage}-{digest_of(where)[:16]}.json"
        self._started = time.time_ns()
        self._new: dict[str, list[object]] = {}
        self._forget = forget
        self._whole = {} if forget else self._head()

    def _head(self) -> dict[str, object]:
        """Empty where there is none, or where what follows it cannot be its own."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.readline())
                rest = os.fstat(file.fileno()).st_size - file.tell()
        except (OSError, ValueError):
            return {}  # no cache, no harm: everything is read
        return found if isinstance(found, dict) and found.get("length") == rest else {}

    @property
    def whole(self) -> bool:
        """Whether a tree is remembered."""
        return "stamps" in self._whole

    def tree(self, found: Found) -> str | None:
        """The digest of the tree that these files make, where it is remembered and none of them has changed."""
        known = self._whole.get("stamps")
        return str(self._whole["tree"]) if known and known == _stamps_digest(found) else None

    def digest(self, file: LocalFile) -> str | None:
        line = self._old.get(file.path)
        return str(line[4]) if line and _says(line, file.stamp) else None

    @cached_property
    def _old(self) -> dict[str, list[object]]:
        if self._forget:
            return {}
        try:
            lines = self._path.read_bytes().partition(b"\n")[2]
            found = json.loads(lines)
        except (OSError, ValueError):
            return {}
        damaged = self._whole.get("lines", sha256(lines)) != sha256(lines)
        return {} if damaged or not isinstance(found, dict) else found

    def learn(self, file: LocalFile, digest: str) -> None:
        if max(file.stamp[1], file.stamp[2]) < self._started - FRESH_SECONDS * 1e9:
            self._new[file.path] = [*file.stamp, digest]

    def save(self, found: Found, tree: str) -> None:
        """Keep what was learnt of these files, and that they make `tree`."""
        kept = {path: line for path in found.stamps if (line := self._new.get(path, self._old.get(path)))}
        whole = all(_says(kept.get(path), stamp) for path, stamp in found.stamps.items())
        if not self._new and not (whole and self.tree(found) != tree):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not (ignore := self._path.parent / ".gitignore").exists():
            write_bytes(ignore, b"*\n")
        lines = json.dumps(kept, separators=(",", ":")).encode()
        head: dict[str, object] = {"length": len(lines), "lines": sha256(lines)}
        if whole:
            head |= {"tree": tree, "stamps": _stamps_digest(found)}
        write_bytes(self._path, json.dumps(head).encode() + b"\n" + lines)


def _stamps_digest(found: Found) -> str:
    # marshal takes 3 ms for 16,000 files, json 30; it is never read back, and version 2 has no references.
    paths = sorted(found.stamps)
    return sha256(marshal.dumps((paths, [found.stamps[path] for path in paths]), 2))


def _says(line: list[object] | None, stamp: Stamp) -> bool:
    return line is not None and len(line) == 5 and tuple(line[:4]) == stamp
