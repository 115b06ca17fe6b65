"""Puts the bytes where the verdicts say: kept photos under their class, refused files into quarantine."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catsdogs.artifacts import QUARANTINE, ManifestRow, Verdict
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256, write_bytes
from catsdogs.ingest.sources import Source
from catsdogs.pool import chunked, in_processes

CHUNK = 64


@dataclass(frozen=True)
class Copy:
    name: str  # in the source
    digest: str
    target: Path


def store(source: Source, output: Path, rows: list[ManifestRow], found: list[ManifestRow], workers: int) -> None:
    """Write what is missing, then remove photos that an earlier run kept and this one refuses.

    A photo of an earlier run whose source is gone keeps its file: it moves instead of being copied.
    """
    readable = {(row.label, row.digest): row.source for row in found if row.digest}
    copies: dict[Path, Copy] = {}
    for row in rows:
        place = _place(row) if row.digest else None
        if place is None or (target := output / place).exists():
            continue
        if (name := readable.get((row.label, row.digest))) is not None:
            copies.setdefault(target, Copy(name, row.digest, target))
        elif row.phash and (earlier := output / row.path).exists() and row.verdict != Verdict.DUPLICATE:
            target.parent.mkdir(parents=True, exist_ok=True)
            earlier.rename(target)
    todo = list(copies.values())
    for _ in in_processes(_write, source, chunked(todo, CHUNK), workers):
        pass  # errors are raised here
    _remove_refused(output, rows)


def _place(row: ManifestRow) -> str | None:
    if row.verdict == Verdict.KEPT:
        return row.path
    if row.verdict in (Verdict.DUPLICATE, Verdict.SURPLUS):
        # Nothing is wrong with these: a duplicate's bytes are kept already, a surplus photo stays in the source.
        return None
    name = re.sub(r"[^\w.-]+", "_", row.source.rpartition("/")[2])[-80:]
    return f"{QUARANTINE}/{row.label}/{row.digest[:16]}-{name}"


def _write(source: Source, copies: Sequence[Copy]) -> None:
    for copy in copies:
        data = source.read(copy.name)
        if sha256(data) != copy.digest:
            raise CatsdogsError(f"{copy.name} changed while it was being ingested: run the same command again.")
        write_bytes(copy.target, data)


def _remove_refused(output: Path, rows: list[ManifestRow]) -> None:
    kept = {row.path for row in rows if row.verdict == Verdict.KEPT}
    for row in rows:
        if row.phash and row.path not in kept:
            (output / row.path).unlink(missing_ok=True)
