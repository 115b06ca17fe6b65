"""Stage 1: raw photos -> checked, de-duplicated, one folder per class, with a manifest."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.artifacts import MANIFEST, ManifestRow, Verdict, read_manifest, write_manifest
from catsdogs.engine import Engine, open_engine
from catsdogs.errors import UsageError
from catsdogs.files import claim_output, remove_partials
from catsdogs.fixes import read_fixes
from catsdogs.ingest.journal import Journal
from catsdogs.ingest.judge import REJECTED, examined, judged, kept_by_class
from catsdogs.ingest.sources import Source, SourceFile, labelled, open_source
from catsdogs.ingest.store import MARK, store
from catsdogs.ingest.versioned import ingest_version
from catsdogs.log import event
from catsdogs.pool import chunked
from catsdogs.settings.data import IngestSettings
from catsdogs.settings.versions import bucket_of
from catsdogs.versions.commit import resolved
from catsdogs.versions.stored import Bucket

CHUNK = 32  # files a task: the work of handing one over is then under 1 % of it


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    output_dir: Path | str  # or bucket and version
    classes: dict[str, int]  # kept photos
    verdicts: dict[str, int]
    reasons: dict[str, int]  # of quarantined files
    groups: int  # of kept photos that look the same
    files: int  # looked at in this run
    seconds: float

    def text(self) -> str:
        kept = "  ".join(f"{label}: {count:,}" for label, count in self.classes.items())
        others = ", ".join(f"{count:,} {verdict}" for verdict, count in self.verdicts.items() if verdict != "kept")
        lines = [f"ingested     {kept}  -> {self.output_dir}", f"left out     {others or 'nothing'}"]
        if self.reasons:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
            lines.append(f"quarantined  {reasons}")
        return "\n".join([*lines, f"speed        {self.files / self.seconds:,.0f} files/s, {self.seconds:.1f} s"])

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"files_per_second": self.files / self.seconds}


def ingest(settings: IngestSettings) -> IngestResult:
    """Check every file of the source, decide what to keep, and write photos, quarantine and manifest.

    Adds to what earlier runs left in the output folder. The manifest is written last; an interrupted run leaves
    a journal of finished examinations and goes on from there. With --bucket, source and output are versions there.
    """
    with open_engine(settings) as engine:
        return _on_versions(settings, engine) if settings.bucket else _on_folders(settings, engine)


def _on_folders(settings: IngestSettings, engine: Engine) -> IngestResult:
    started = time.monotonic()
    if settings.previous is not None:
        raise UsageError("--previous names a version in a bucket: add --bucket, or leave it out; a folder is added to.")
    output = settings.output_dir
    read_fixes(settings.fixes)  # what is wrong with them is said before the long work
    source = open_source(settings.source_dir, settings.zip_path, output)
    files = _labelled(source.names())
    claim_output(output, MARK)
    remove_partials(output)
    previous = read_manifest(output) if (output / MANIFEST).exists() else []
    journal = Journal(output, previous)
    found = examined(source, list(chunked(files, CHUNK)), journal, engine, journal.known)
    rows = judged(settings, previous, found, output, _bytes_on_disk(source, output, previous, found))
    store(source, output, previous, rows, found, engine)
    write_manifest(output, rows)
    journal.remove()
    (output / REJECTED).unlink(missing_ok=True)
    return _result(output, rows, len(files), time.monotonic() - started)


def _on_versions(settings: IngestSettings, engine: Engine) -> IngestResult:
    """The same on tar shards: kept photos stay where raw has them, only rows that name them are new."""
    started = time.monotonic()
    if settings.source_dir or settings.zip_path:
        raise UsageError("--bucket reads the stage raw of a version: leave out --source-dir and --zip-path.")
    read_fixes(settings.fixes)
    bucket, commit = Bucket(bucket_of(settings.bucket, settings.dataset)), resolved(settings.commit)
    raw = bucket.rows(commit, "raw")
    files = _labelled(list(raw))
    rows = ingest_version(settings, engine, bucket, commit, files, raw)
    return _result(f"{bucket.store.url} {commit}", rows, len(files), time.monotonic() - started)


def _labelled(names: list[str]) -> list[SourceFile]:
    files, outside = labelled(names)
    if outside:
        event("ignored", files=len(outside), because="outside the class folders", first=outside[:3])
    return files


def _bytes_on_disk(
    source: Source, output: Path, previous: list[ManifestRow], found: list[ManifestRow]
) -> Callable[[str], bytes | None]:
    """Photos by digest, wherever they lie now: in the source, or in the output of an earlier run."""
    sources = {row.digest: row.source for row in found if row.phash}
    paths = {row.digest: output / row.path for row in previous if row.verdict == Verdict.KEPT}

    def read(digest: str) -> bytes | None:
        if digest in sources:
            return source.read(sources[digest])
        path = paths.get(digest)
        return path.read_bytes() if path is not None and path.exists() else None

    return read


def _result(output: Path | str, rows: list[ManifestRow], files: int, seconds: float) -> IngestResult:
    kept = [row for row in rows if row.verdict == Verdict.KEPT]
    sizes = Counter(row.group for row in kept)
    return IngestResult(
        output_dir=output,
        classes=kept_by_class(rows),
        verdicts=dict(Counter(row.verdict.value for row in rows)),
        reasons=dict(Counter(row.reason for row in rows if row.verdict == Verdict.QUARANTINED)),
        groups=sum(size > 1 for size in sizes.values()),
        files=files,
        seconds=seconds,
    )
