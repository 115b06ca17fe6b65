"""`catsdogs backup`: SQLite databases, copied while programs write to them, into the bucket and back."""

import gzip
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import atomic_write
from catsdogs.settings.job import BackupSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Store

TIME = "%Y%m%dT%H%M%SZ"
LATEST = "latest"
BUSY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class BackupResult:
    bucket: str
    time: str
    copied: dict[str, int]  # object or file -> bytes
    removed: int  # older copies
    restored: bool

    def text(self) -> str:
        way = "restored from" if self.restored else "copied to"
        lines = [f"{name}  {size / 1e6:,.1f} MB" for name, size in self.copied.items()]
        return "\n".join([f"backup       {self.time}, {way} {self.bucket}", *lines,
                          *([f"removed      {self.removed} older copies"] if self.removed else [])])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def backup(settings: BackupSettings) -> BackupResult:
    """Copy every database, or with --restore bring one copy of each back. Raises CatsdogsError for what is missing."""
    store, prefix = open_store(settings), settings.prefix.rstrip("/")
    if len({path.name for path in settings.database}) < len(settings.database):
        raise UsageError("--database names two files of one name: their copies would overwrite each other.")
    if settings.restore is not None:
        return _restore(settings, store, prefix, settings.restore)
    if missing := [path for path in settings.database if not path.is_file()]:
        raise UsageError(f"{missing[0]} does not exist: name the databases with --database.")
    now, copied, removed = time.strftime(TIME, time.gmtime()), {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        for path in settings.database:
            packed = _copy(path, Path(scratch))
            key = f"{prefix}/{path.name}/{now}.gz"
            store.write(key, Content.file(packed))
            copied[key] = packed.stat().st_size
            for old in _copies(store, prefix, path)[:-settings.keep]:
                store.delete(_key(prefix, path, old))
                removed += 1
    return BackupResult(bucket=store.url, time=now, copied=copied, removed=removed, restored=False)


def _copy(path: Path, scratch: Path) -> Path:
    """A consistent copy, made by SQLite's own online backup, checked and compressed."""
    plain, packed = scratch / path.name, scratch / f"{path.name}.gz"
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as source, closing(sqlite3.connect(plain)) as copy:
            source.backup(copy, pages=1000, sleep=0.05)
            _check(copy, path)
    except sqlite3.Error as error:
        raise CatsdogsError(f"{path} cannot be copied ({error}): is it an SQLite database?") from None
    with plain.open("rb") as source_file, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source_file, target)
    plain.unlink()
    return packed


def _restore(settings: BackupSettings, store: Store, prefix: str, when: str) -> BackupResult:
    if there := [path for path in settings.database if path.exists()]:
        raise UsageError(f"{there[0]} exists and is not overwritten: stop its program and move it away first.")
    copied = {}
    for path in settings.database:
        copies = _copies(store, prefix, path)
        chosen = copies[-1] if when == LATEST and copies else when
        if chosen not in copies:
            raise CatsdogsError(f"{store.url}/{prefix}/{path.name}/ has no copy {when}: --restore takes "
                                f"{', '.join(copies[-3:]) or 'nothing, there is none'} or {LATEST}.")
        data = store.read(_key(prefix, path, chosen))
        with atomic_write(path) as file:
            try:
                file.write(gzip.decompress(data))
                file.flush()
                with closing(sqlite3.connect(file.name)) as copy:
                    _check(copy, path)
            except (OSError, EOFError, sqlite3.Error) as error:
                raise CatsdogsError(f"The copy {chosen} of {path.name} is damaged ({error}): name another.") from None
        copied[str(path)] = path.stat().st_size
    return BackupResult(bucket=store.url, time=when, copied=copied, removed=0, restored=True)


def _check(database: sqlite3.Connection, path: Path) -> None:
    verdict = database.execute("PRAGMA quick_check").fetchone()[0]
    if verdict != "ok":
        raise CatsdogsError(f"{path} is damaged ({verdict}): the copy was not stored.")


def _copies(store: Store, prefix: str, path: Path) -> list[str]:
    """Times of the copies of a database, oldest first."""
    folder = f"{prefix}/{path.name}/"
    found = (entry.key.removeprefix(folder).removesuffix(".gz") for entry in store.entries(folder))
    return sorted(name for name in found if re.fullmatch(r"\d{8}T\d{6}Z", name))


def _key(prefix: str, path: Path, when: str) -> str:
    return f"{prefix}/{path.name}/{when}.gz"
