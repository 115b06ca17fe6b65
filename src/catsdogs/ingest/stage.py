"""Stage 1: raw photos -> checked, de-duplicated, one folder per class, with a manifest."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.alike import Alike
from catsdogs.artifacts import MANIFEST, ManifestRow, Verdict, read_manifest, write_manifest
from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.files import claim_output, remove_partials, sha256
from catsdogs.fixes import read_fixes, refuse_unknown
from catsdogs.ingest.decide import decide
from catsdogs.ingest.examine import Examination, examine
from catsdogs.ingest.journal import Journal
from catsdogs.ingest.sources import Source, SourceFile, is_system_file, labelled, open_source
from catsdogs.ingest.store import store
from catsdogs.log import event, progress
from catsdogs.pool import chunked, in_processes
from catsdogs.settings.data import IngestSettings
from catsdogs.tables import write_table

CHUNK = 32  # files a task: the work of handing one over is then under 1 % of it
MARK = ".catsdogs-ingest"
REJECTED = "rejected.csv"


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    output_dir: Path
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
    a journal of finished examinations and goes on from there.
    """
    started = time.monotonic()
    output = settings.output_dir
    fixes = read_fixes(settings.fixes)
    source = open_source(settings.source_dir, settings.zip_path, output)
    files, outside = labelled(source.names())
    if outside:
        event("ignored", files=len(outside), because="outside the class folders", first=outside[:3])
    claim_output(output, MARK)
    remove_partials(output)
    previous = read_manifest(output) if (output / MANIFEST).exists() else []

    journal = Journal(output, previous)
    with journal, progress("ingest", len(files), unit="files") as bar:
        found = []
        shared = (source, journal.known)
        for rows in in_processes(_examine_chunk, shared, chunked(files, CHUNK), settings.workers):
            journal.record(rows)
            found += rows
            bar.advance(len(rows))
    _refuse_rotten(found, settings.max_bad_share, output)
    refuse_unknown(fixes, (row.digest for row in (*previous, *found)), (row.label for row in (*previous, *found)))
    rows = decide(
        previous, found, bits=settings.near_duplicate_bits, max_per_class=settings.max_per_class,
        alike=_alike(source, output, previous, found) if settings.near_duplicate_bits else None, fixes=fixes,
    )
    _refuse_empty_class(rows)
    store(source, output, previous, rows, found, settings.workers)
    write_manifest(output, rows)
    journal.remove()
    (output / REJECTED).unlink(missing_ok=True)
    return _result(output, rows, len(files), time.monotonic() - started)


def _alike(source: Source, output: Path, previous: list[ManifestRow], found: list[ManifestRow]) -> Alike:
    """Compares photos by their pixels, wherever they lie now: in the source, or in the output of an earlier run."""
    sources = {row.digest: row.source for row in found if row.phash}
    paths = {row.digest: output / row.path for row in previous if row.verdict == Verdict.KEPT}

    def read(digest: str) -> bytes | None:
        if digest in sources:
            return source.read(sources[digest])
        path = paths.get(digest)
        return path.read_bytes() if path is not None and path.exists() else None

    return Alike(read)


def _examine_chunk(
    shared: tuple[Source, dict[str, Examination]], files: Sequence[SourceFile]
) -> list[ManifestRow]:
    source, known = shared
    return [_row(file, _examine_file(source, known, file.name)) for file in files]


def _examine_file(source: Source, known: dict[str, Examination], name: str) -> Examination:
    try:
        data = source.read(name)
    except BadImage as error:
        return Examination(digest="", reason=error.reason)
    if is_system_file(name):
        return Examination(digest=sha256(data), reason="system-file")
    digest = sha256(data)
    return known.get(digest) or examine(data, digest)


def _row(file: SourceFile, seen: Examination) -> ManifestRow:
    return ManifestRow(
        digest=seen.digest, source=file.name, label=file.label, format=seen.format, width=seen.width,
        height=seen.height, phash=seen.phash, group="", reason=seen.reason,
        verdict=Verdict.QUARANTINED if seen.reason else Verdict.KEPT,
    )


def _refuse_rotten(found: list[ManifestRow], limit: float, output: Path) -> None:
    judged = [row for row in found if row.reason != "system-file"]
    bad = [row for row in judged if row.verdict == Verdict.QUARANTINED]
    if judged and len(bad) / len(judged) > limit:
        write_table(output / REJECTED, ManifestRow, bad)
        most = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in bad).most_common(3))
        raise CatsdogsError(
            f"{len(bad):,} of {len(judged):,} files are no usable photos ({most}), more than --max-bad-share "
            f"{limit:g}: {output / REJECTED} lists them; mend the source or raise the share."
        )


def _refuse_empty_class(rows: list[ManifestRow]) -> None:
    kept = _classes(rows)
    for label in sorted({row.label for row in rows}):
        if not kept.get(label):
            raise CatsdogsError(f"No usable photo of the class {label!r} is left: every file of it was refused.")


def _classes(rows: list[ManifestRow]) -> dict[str, int]:
    return dict(sorted(Counter(row.label for row in rows if row.verdict == Verdict.KEPT).items()))


def _result(output: Path, rows: list[ManifestRow], files: int, seconds: float) -> IngestResult:
    kept = [row for row in rows if row.verdict == Verdict.KEPT]
    sizes = Counter(row.group for row in kept)
    return IngestResult(
        output_dir=output,
        classes=_classes(rows),
        verdicts=dict(Counter(row.verdict.value for row in rows)),
        reasons=dict(Counter(row.reason for row in rows if row.verdict == Verdict.QUARANTINED)),
        groups=sum(size > 1 for size in sizes.values()),
        files=files,
        seconds=seconds,
    )
