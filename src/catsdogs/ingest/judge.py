"""Every file examined, wherever it lies and wherever the work is done, and one verdict a file."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from catsdogs.alike import Alike
from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.engine import Engine
from catsdogs.errors import BadImage, CatsdogsError
from catsdogs.files import sha256
from catsdogs.fixes import Fix, read_fixes, refuse_unknown
from catsdogs.ingest.decide import decide
from catsdogs.ingest.examine import Examination, examine
from catsdogs.ingest.journal import Journal
from catsdogs.ingest.sources import Reader, SourceFile, is_system_file
from catsdogs.log import progress
from catsdogs.settings.data import IngestSettings
from catsdogs.tables import write_table

REJECTED = "rejected.csv"


def examined(
    reader: Reader, tasks: Sequence[Sequence[SourceFile]], journal: Journal, engine: Engine,
    known: dict[str, Examination],
) -> list[ManifestRow]:
    """One row a file, in the order of the tasks, as far as its bytes alone decide it. What is `known` by digest is
    not decoded again."""
    found: list[ManifestRow] = []
    with journal, progress("ingest", sum(map(len, tasks)), unit="files") as bar:
        for rows in engine.map(_examine_chunk, (reader, known), tasks):
            journal.record(rows)
            found += rows
            bar.advance(len(rows))
    return found


def judged(
    settings: IngestSettings, previous: list[ManifestRow], found: list[ManifestRow], rejected: Path,
    read: Callable[[str], bytes | None],
) -> list[ManifestRow]:
    """The manifest. `read` gives the bytes of a digest, or None where they are gone; `rejected` is a folder for the
    list of what is unusable. Raises CatsdogsError where too much is, or a class is empty."""
    fixes: dict[str, Fix] = read_fixes(settings.fixes)
    _refuse_rotten(found, settings.max_bad_share, rejected)
    refuse_unknown(fixes, (row.digest for row in (*previous, *found)), (row.label for row in (*previous, *found)))
    rows = decide(
        previous, found, bits=settings.near_duplicate_bits, max_per_class=settings.max_per_class,
        alike=Alike(read) if settings.near_duplicate_bits else None, fixes=fixes,
    )
    _refuse_empty_class(rows)
    return rows


def kept_by_class(rows: list[ManifestRow]) -> dict[str, int]:
    return dict(sorted(Counter(row.label for row in rows if row.verdict == Verdict.KEPT).items()))


def _examine_chunk(
    shared: tuple[Reader, dict[str, Examination]], files: Sequence[SourceFile]
) -> list[ManifestRow]:
    reader, known = shared
    return [examined_row(file, _examination(known, file.name, data)) for file, data in reader.contents(files)]


def _examination(known: dict[str, Examination], name: str, data: bytes | BadImage) -> Examination:
    if isinstance(data, BadImage):
        return Examination(digest="", reason=data.reason)
    digest = sha256(data)
    if is_system_file(name):
        return Examination(digest=digest, reason="system-file")
    return known.get(digest) or examine(data, digest)


def examined_row(file: SourceFile, seen: Examination) -> ManifestRow:
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
    kept = kept_by_class(rows)
    for label in sorted({row.label for row in rows}):
        if not kept.get(label):
            raise CatsdogsError(f"No usable photo of the class {label!r} is left: every file of it was refused.")
