"""A folder as an object store: on this disk, or on one that many machines mount."""

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catsdogs.errors import CatsdogsError
from catsdogs.files import PARTIAL
from catsdogs.stores.store import PIECE, Changed, Content, Entry, Exists, Missing


class FolderStore:
    """Objects are files; creation is a hard link, which fails where the name is taken."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    @property
    def requests(self) -> int:
        return 0

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                return file.read(-1 if length is None else length)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise Missing(key, self.url) from None

    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{threading.get_ident()}-{os.getpid()}{PARTIAL}")
        try:
            with content.open() as source, partial.open("wb") as file:
                while piece := source.read(PIECE):
                    file.write(piece)
                    content.sent(file.tell())
                file.flush()
                os.fsync(file.fileno())
            if not _holds(partial, content):
                raise CatsdogsError(f"{path} could not be written: the disk gave back other bytes than it was given.")
            if absent:
                os.link(partial, path)
            else:
                partial.replace(path)
        except FileExistsError:
            raise Exists(f"{path} exists already.") from None
        finally:
            partial.unlink(missing_ok=True)

    def current(self, key: str) -> tuple[bytes, str]:
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def replace(self, key: str, content: Content, generation: str) -> None:
        with self._locked(key):
            try:
                found = self.current(key)[1]
            except Missing:
                found = ""
            if found != generation:
                raise Changed(f"{self._path(key)} has been replaced meanwhile.")
            self.write(key, content)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Between looking and renaming nobody else may rename; the lock ends with the process that holds it."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock{PARTIAL}").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def holds(self, key: str, content: Content) -> bool:
        return _holds(self._path(key), content)

    def entries(self, prefix: str) -> list[Entry]:
        folder = self._path(prefix.rpartition("/")[0])
        found = []
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not name.endswith(PARTIAL):
                    try:
                        status = path.stat()
                    except FileNotFoundError:
                        continue  # deleted meanwhile
                    found.append(Entry(key, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.key)

    def folders(self, prefix: str) -> list[str]:
        folder = self._path(prefix)
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        for parent in path.parents:  # a bucket knows no empty folders
            if parent == self.root:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    def _path(self, key: str) -> Path:
        if ".." in key.split("/") or key.startswith("/"):
            raise CatsdogsError(f"{key!r} leads out of {self.url}.")
        return self.root / key


def _holds(path: Path, content: Content) -> bool:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != content.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == content.sha256
    except FileNotFoundError:
        return False
