"""Ingest on a version in a bucket: raw's tar shards are read where they lie, by any number of machines.

A kept photo has the bytes that it has in raw, so nothing is copied: the new stage is rows that name parts of raw's
shards, and one small shard with the manifest.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catsdogs.artifacts import MANIFEST, ManifestRow, read_manifest, write_manifest
from catsdogs.engine import Engine
from catsdogs.errors import BadImage
from catsdogs.ingest.journal import Journal
from catsdogs.ingest.judge import examined, examined_row, judged
from catsdogs.ingest.sources import MAX_FILE_BYTES, SourceFile, is_system_file, too_large
from catsdogs.ingest.store import MARK, placed
from catsdogs.pool import chunked
from catsdogs.settings.data import IngestSettings
from catsdogs.versions.cache import run_folder
from catsdogs.versions.stored import Bucket
from catsdogs.versions.tree import Row, digest_of_rows

CHUNK = 128  # files a task, mostly one request


@dataclass(frozen=True)
class ShardReader:
    bucket: Bucket

    def contents(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, bytes | BadImage]]:
        by_path = {file.name: file for file in files}
        rows = [file.row for file in files if file.row is not None]
        yield from ((by_path[row.path], too_large(row.length)) for row in rows if row.length > MAX_FILE_BYTES)
        for row, data in self.bucket.contents(row for row in rows if row.length <= MAX_FILE_BYTES):
            yield by_path[row.path], data


def ingest_version(
    settings: IngestSettings, engine: Engine, bucket: Bucket, commit: str, files: list[SourceFile],
    raw: dict[str, Row],
) -> list[ManifestRow]:
    """Examine the `files` of `raw` and publish the stage `ingested` of the same version. Returns its manifest."""
    with tempfile.TemporaryDirectory(prefix="catsdogs-") as temporary:
        folder = Path(temporary)
        before = bucket.rows(settings.previous, "ingested") if settings.previous else {}
        previous = []
        if settings.previous:
            (folder / MANIFEST).write_bytes(bucket.content(before[MANIFEST]))
            previous = read_manifest(folder)
        work = run_folder(settings.cache_dir, "ingest", [bucket.settings.bucket, digest_of_rows(raw.values())])
        journal = Journal(work, previous)
        sure = [file for file in files if _known(file, raw[file.name], journal)]
        rest = [file for file in files if not _known(file, raw[file.name], journal)]
        found = examined(ShardReader(bucket), _tasks(rest, raw), journal, engine, known={})
        found += [examined_row(file, journal.known[raw[file.name].digest]) for file in sure]
        found.sort(key=lambda row: row.source)  # the order in which files in a folder are found
        by_digest = {row.digest: row for row in (*before.values(), *raw.values())}

        def read(digest: str) -> bytes | None:
            return bucket.content(by_digest[digest]) if digest in by_digest else None

        rows = judged(settings, previous, found, work, read)
        write_manifest(folder, rows)
        (folder / MARK).touch()
        bucket.publish(commit, "ingested", _tree(rows, by_digest), folder)
    journal.remove()
    return rows


def _known(file: SourceFile, row: Row, journal: Journal) -> bool:
    """Whether reading it would tell nothing new."""
    return row.digest in journal.known and row.length <= MAX_FILE_BYTES and not is_system_file(file.name)


def _tasks(files: list[SourceFile], raw: dict[str, Row]) -> list[Sequence[SourceFile]]:
    """Neighbours in a shard together, so that one request brings them."""
    lying = sorted(files, key=lambda file: (raw[file.name].pack, raw[file.name].offset))
    return list(chunked([replace(file, row=raw[file.name]) for file in lying], CHUNK))


def _tree(rows: list[ManifestRow], by_digest: dict[str, Row]) -> list[Row]:
    places = {place: by_digest[row.digest] for row in rows
              if (place := placed(row)) is not None and row.digest in by_digest}
    return [source._replace(path=place) for place, source in places.items()]
