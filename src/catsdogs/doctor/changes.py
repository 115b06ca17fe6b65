"""What changed since the last version of the photos."""

from dataclasses import dataclass
from pathlib import Path

from catsdogs.artifacts import ManifestRow, Verdict, read_manifest
from catsdogs.doctor.report import Changes, Relabelled
from catsdogs.errors import UsageError
from catsdogs.files import digest_of
from catsdogs.tables import read_table, write_table

NOW, BEFORE = "photos.csv", "photos-before.csv"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One kept photo, as the report saw it."""

    digest: str
    label: str


def version_of(photos: dict[str, str]) -> str:
    return digest_of(sorted(photos.items()))


def changes(kept: list[ManifestRow], output: Path, since: Path | None) -> Changes | None:
    """Against the folder `since`, or against the version before this one that was reported into `output`.

    A second report on the same photos compares with the same version again. None where there is no earlier one.
    Raises UsageError where `since` was not written by ingest.
    """
    now = {row.digest: row.label for row in kept}
    if since is not None:
        if not since.is_dir():
            raise UsageError(f"{since} does not exist: name a folder written by `catsdogs ingest` with --since.")
        before = {row.digest: row.label for row in read_manifest(since) if row.verdict == Verdict.KEPT}
        return _between(before, now)
    last = _read(output / NOW)
    if last is not None and last != now:
        return _between(last, now)
    earlier = _read(output / BEFORE)
    return None if earlier is None else _between(earlier, now)


def remember(kept: list[ManifestRow], output: Path) -> None:
    """Write down this version; the one it replaces becomes the one before."""
    now = {row.digest: row.label for row in kept}
    last = _read(output / NOW)
    if last == now:
        return
    if last is not None:
        (output / NOW).replace(output / BEFORE)
    write_table(output / NOW, Seen, [Seen(digest=digest, label=label) for digest, label in sorted(now.items())])


def _read(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    return {row.digest: row.label for row in read_table(path, Seen, "`catsdogs doctor` (after removing it)")}


def _between(before: dict[str, str], now: dict[str, str]) -> Changes:
    return Changes(
        since=version_of(before),
        added=sorted(now.keys() - before.keys()),
        removed=sorted(before.keys() - now.keys()),
        relabelled=[
            Relabelled(digest=digest, before=before[digest], after=now[digest])
            for digest in sorted(now.keys() & before.keys()) if now[digest] != before[digest]
        ],
    )
