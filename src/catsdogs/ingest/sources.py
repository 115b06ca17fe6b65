"""Where raw photos come from: a folder or a zip, each file with the class that its folder says."""

import os
import stat
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from catsdogs.errors import BadImage, CatsdogsError, UsageError
from catsdogs.versions.tree import Row

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_UNPACK_RATIO = 20  # photos hardly compress: 1.0 to 1.3 in real archives
SYSTEM_FILES = {"thumbs.db", ".ds_store", "desktop.ini"}
PLURALS = {"cats": "cat", "dogs": "dog"}


@dataclass(frozen=True)
class SourceFile:
    """One file below a class folder. `name` is its path in the source, with slashes."""

    name: str
    label: str
    row: Row | None = None  # where its bytes lie, of a file in a bucket


class Reader(Protocol):
    """What workers get of a source."""

    def contents(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, bytes | BadImage]]:
        """Each file with its bytes, or with why there are none; in any order."""


class FolderSource:
    """Photos in a folder on disk."""

    def __init__(self, root: Path) -> None:
        if not root.exists():
            raise UsageError(f"{root} does not exist: put one folder of photos per class there, or name --source-dir.")
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder: name a folder with --source-dir, or an archive with --zip-path.")
        self.root = root.resolve()

    def names(self) -> list[str]:
        found = []
        for folder, subfolders, files in os.walk(self.root, onerror=_refuse):
            links = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in (*files, *links)]
        return [name.replace(os.sep, "/") for name in found]

    def read(self, name: str) -> bytes:
        """Raises BadImage where this is no plain, readable file of a sensible size inside the source."""
        path = self.root / name
        if not path.resolve().is_relative_to(self.root):
            raise BadImage("link-outside", "A symbolic link that leads out of the source.")
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise BadImage("not-a-file", "Neither a plain file nor a link to one.")
            _check_bytes(facts.st_size)
            return path.read_bytes()
        except OSError as error:
            raise BadImage("unreadable", f"Cannot be read: {error.strerror}.") from None

    def contents(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, bytes | BadImage]]:
        return _one_by_one(self.read, files)


class ZipSource:
    """Photos in a zip archive, read in place: nothing is unpacked by its path."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"{path} does not exist: name a zip archive with --zip-path.")
        self.path = path
        self._check()

    @property
    def _archive(self) -> zipfile.ZipFile:
        return _open_archive(self.path, os.getpid())

    def _check(self) -> None:
        entries = self._archive.infolist()
        for entry in entries:
            parts = PurePosixPath(entry.filename.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts:
                raise CatsdogsError(
                    f"{self.path} holds the path {entry.filename!r}, which leaves the archive: refused."
                )
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MAX_UNPACK_RATIO * self.path.stat().st_size + MAX_FILE_BYTES:
            raise CatsdogsError(
                f"{self.path} would unpack to {unpacked / 1e9:,.1f} GB from {self.path.stat().st_size / 1e6:,.1f} MB: "
                "refused as a zip bomb."
            )

    def names(self) -> list[str]:
        return [entry.filename for entry in self._archive.infolist() if not entry.is_dir()]

    def read(self, name: str) -> bytes:
        """Raises BadImage where the entry is too large, encrypted or damaged."""
        entry = self._archive.getinfo(name)
        _check_bytes(entry.file_size)
        try:
            return self._archive.read(entry)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise BadImage("unreadable", f"The archive's entry cannot be read: {error}.") from None

    def contents(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, bytes | BadImage]]:
        return _one_by_one(self.read, files)


@lru_cache(maxsize=1)
def _open_archive(path: Path, process: int) -> zipfile.ZipFile:
    """`process` is part of the key: a forked process would share the file's position with its parent."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise CatsdogsError(f"{path} is not a zip archive, or is cut short: fetch it again.") from None


Source = FolderSource | ZipSource


def open_source(source_dir: Path | None, zip_path: Path | None, output_dir: Path) -> Source:
    """The one source that was named, either way; `data/raw` where none was.

    Raises UsageError also where the output lies inside the source: the next run would ingest it.
    """
    if source_dir and zip_path:
        raise UsageError("--source-dir and --zip-path exclude each other: name one of them.")
    if (zip_path and not zip_path.is_dir()) or (source_dir and zipfile.is_zipfile(source_dir)):
        return ZipSource(zip_path or source_dir or Path())
    source = FolderSource(zip_path or source_dir or Path("data/raw"))
    if output_dir.resolve().is_relative_to(source.root):
        raise UsageError(f"--output-dir {output_dir} lies inside the source {source.root}: name one outside of it.")
    return source


def _one_by_one(
    read: Callable[[str], bytes], files: Iterable[SourceFile]
) -> Iterator[tuple[SourceFile, bytes | BadImage]]:
    for file in files:
        try:
            data: bytes | BadImage = read(file.name)
        except BadImage as error:
            data = error
        yield file, data


def is_system_file(name: str) -> bool:
    """Litter of file managers; no photo was lost where one of these is refused."""
    file_name = name.rpartition("/")[2].lower()
    return file_name in SYSTEM_FILES or file_name.startswith("._")


def labelled(names: Iterable[str]) -> tuple[list[SourceFile], list[str]]:
    """Give each file the class of its folder, and list the files that lie in no class folder.

    The first level with more than one folder decides, so that `PetImages/Cat/1.jpg` is a cat. Raises UsageError
    where fewer than two classes are found, or where folders such as train/cat and test/cat leave it unclear.
    """
    paths = sorted(name for name in names if not _is_hidden(name))
    depth = 0
    while len(folders := {folder for name in paths if (folder := _part(name, depth))}) == 1:
        if not any(_part(name, depth + 1) for name in paths):
            break
        depth += 1
    if not folders:
        raise UsageError("The source holds no folder with photos: it needs one folder per class.")
    _refuse_unclear(paths, depth, folders)
    files = [SourceFile(name, class_name(folder)) for name in paths if (folder := _part(name, depth))]
    classes = sorted({file.label for file in files})
    if len(classes) < 2:
        raise UsageError(f"The source holds one class only ({classes[0]!r}): it needs two folders or more.")
    return files, [name for name in paths if not _part(name, depth)]


def class_name(folder: str) -> str:
    """`Cat`, `cats` and `CAT ` are all `cat`; other folders keep their name in lower case."""
    name = folder.strip().lower()
    if not name.isprintable() or name in (".", ".."):
        raise UsageError(f"{folder!r} cannot be the name of a class: rename the folder.")
    return PLURALS.get(name, name)


def _part(name: str, depth: int) -> str | None:
    """The folder at `depth`, None where the file itself stands there."""
    parts = name.split("/")
    return parts[depth] if depth < len(parts) - 1 else None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")[:-1])


def _refuse_unclear(paths: list[str], depth: int, folders: set[str]) -> None:
    holders: dict[str, set[str]] = defaultdict(set)
    for name in paths:
        if (folder := _part(name, depth)) and (inner := _part(name, depth + 1)):
            holders[class_name(inner)].add(folder)
    shared = sorted(inner for inner, outer in holders.items() if len(outer) > 1)
    if len(shared) > 1:
        raise UsageError(
            f"Unclear which folders are the classes: {', '.join(sorted(folders))} all hold {', '.join(shared)}; "
            "name one of them with --source-dir."
        )


def _check_bytes(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise too_large(size)


def too_large(size: int) -> BadImage:
    return BadImage("too-large", f"{size:,} bytes are more than {MAX_FILE_BYTES:,}.")


def _refuse(error: OSError) -> None:
    raise UsageError(f"{error.filename} cannot be listed: {error.strerror}.")
