"""Puts the bytes where the verdicts say: kept photos under their class, refused files into quarantine."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.engine import Engine
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256, write_bytes
from catsdogs.ingest.sources import Source
from catsdogs.pool import chunked

CHUNK = 64
MARK = ".catsdogs-ingest"  # in a folder that is ours


@dataclass(frozen=True)
class Copy:
    name: str  # in the source
    digest: str
    target: Path


def store(
    source: Source, output: Path, previous: list[ManifestRow], rows: list[ManifestRow], found: list[ManifestRow],
    engine: Engine,
) -> None:
    """Write what is missing, then remove what an earlier run put elsewhere.

    A photo of an earlier run whose source is gone keeps its file: it moves instead of being copied.
    """
    readable = {row.digest: row.source for row in found if row.digest}
    wanted = {place for row in rows if (place := placed(row)) is not None}
    stale: dict[str, set[str]] = defaultdict(set)  # digest -> where its file may lie and no longer should
    for row in (*previous, *rows):
        for place in _places(row) - wanted:
            stale[row.digest].add(place)
    copies: dict[Path, Copy] = {}
    for row in rows:
        place = placed(row)
        if place is None or (target := output / place).exists():
            continue
        if (name := readable.get(row.digest)) is not None:
            copies.setdefault(target, Copy(name, row.digest, target))
        elif earlier := next((path for old in sorted(stale[row.digest]) if (path := output / old).exists()), None):
            target.parent.mkdir(parents=True, exist_ok=True)
            earlier.rename(target)
    todo = list(copies.values())
    for _ in engine.map(_write, source, chunked(todo, CHUNK)):
        pass  # errors are raised here
    for place in sorted(set().union(*stale.values())):
        (output / place).unlink(missing_ok=True)


def _places(row: ManifestRow) -> set[str]:
    """Everywhere that an earlier run may have put this file."""
    if not row.digest:
        return set()
    places = {row.quarantine_path}
    if row.phash:
        places |= {row.path, replace(row, label=row.given or row.label).path}
    return places


def placed(row: ManifestRow) -> str | None:
    """Where the file belongs, if anywhere."""
    if not row.digest:
        return None
    if row.verdict == Verdict.KEPT:
        return row.path
    if row.verdict in (Verdict.DUPLICATE, Verdict.SURPLUS):
        # Nothing is wrong with these: a duplicate's bytes are kept already, a surplus photo stays in the source.
        return None
    return row.quarantine_path


def _write(source: Source, copies: Sequence[Copy]) -> None:
    for copy in copies:
        data = source.read(copy.name)
        if sha256(data) != copy.digest:
            raise CatsdogsError(f"{copy.name} changed while it was being ingested: run the same command again.")
        write_bytes(copy.target, data)
