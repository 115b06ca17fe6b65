"""`catsdogs doctor`: what the photos are like, what is wrong with them, and the lines that mend it."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from catsdogs.artifacts import MANIFEST, SPLITS, ManifestRow, SplitRow, Verdict, read_manifest, read_splits
from catsdogs.doctor.changes import changes, remember
from catsdogs.doctor.copies import exact_copies, near_copies
from catsdogs.doctor.labels import Views, check_labels, require
from catsdogs.doctor.measure import Measure, measure
from catsdogs.doctor.odd import oddities
from catsdogs.doctor.present import present
from catsdogs.doctor.report import DataReport, LabelCheck, Odd, Photo, Refused, Spread
from catsdogs.doctor.rules import judge
from catsdogs.errors import BadImage, CatsdogsError, UsageError
from catsdogs.files import atomic_write, digest_of
from catsdogs.fixes import Action, Fix, fix_line, read_fixes
from catsdogs.log import progress
from catsdogs.pool import chunked, in_processes
from catsdogs.settings.doctor import DoctorSettings

CHUNK = 64
PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class DoctorResult:
    output_dir: Path
    report: DataReport
    seconds: float

    @property
    def passed(self) -> bool:
        return self.report.passed

    def text(self) -> str:
        report = self.report
        lines = [
            "photos       " + "  ".join(f"{label}: {count:,}" for label, count in report.classes.items()),
            f"copies       {sum(len(group.photos) - 1 for group in report.copies):,} in {len(report.copies):,} groups, "
            f"{sum(bool(group.problems) for group in report.copies):,} of them with a problem",
            "odd          " + (", ".join(f"{count} {kind}" for kind, count in _kinds(report.odd)) or "none"),
            f"put aside    {len(report.refused):,}",
        ]
        if report.labels:
            check = report.labels
            lines.append(f"labels       {check.issues:,} of {check.photos:,} probably wrong" if check.learned else
                         f"labels       not judged: what agrees with only {check.accuracy:.0%} of them learned too "
                         "little; name another --label-backbone, or add photos")
        if report.changes:
            found = report.changes
            lines.append(f"changes      {len(found.added):,} added, {len(found.removed):,} removed, "
                         f"{len(found.relabelled):,} relabelled since {found.since[:12]}")
        lines += [
            f"BROKEN       {rule.words}: {rule.value:.4g}, and --{rule.name.replace('_', '-')} is {rule.limit:g}"
            for rule in report.rules if not rule.passed
        ]
        return "\n".join([*lines, f"rules        {'all kept' if self.passed else 'BROKEN'}",
                          f"report       {self.output_dir / PAGE}  ({self.seconds:.1f} s)"])

    def data(self) -> dict[str, Any]:
        return {"report": str(self.output_dir / PAGE), "seconds": self.seconds} | self.report.model_dump(mode="json")


def doctor(settings: DoctorSettings) -> DoctorResult:
    """Write `report.html` and `report.json`; the result has not passed where a rule is broken."""
    started = time.monotonic()
    if not settings.data_dir.is_dir():
        raise UsageError(f"{settings.data_dir} does not exist: run `catsdogs ingest` first, or name --data-dir.")
    if settings.labels:
        require(settings.processed_dir, settings.label_backbone)
    rows, fixes = read_manifest(settings.data_dir), read_fixes(settings.fixes)
    kept = [row for row in rows if row.verdict == Verdict.KEPT]
    split_rows = read_splits(settings.processed_dir) if (settings.processed_dir / SPLITS).exists() else []
    splits: dict[str, set[str]] = defaultdict(set)
    for row in split_rows:
        splits[row.digest].add(row.split)

    measures = _measured(settings.data_dir, kept, settings.workers)
    copies = exact_copies(rows, splits) + near_copies(kept, splits, fixes, settings.data_dir)
    copies.sort(key=lambda group: not group.problems)
    odd = _odd(kept, measures, splits, fixes)
    labels, views = _labels(settings, kept, splits, fixes)
    classes = dict(sorted(Counter(row.label for row in kept).items()))
    judged = [row for row in rows if row.reason != "system-file"]
    unusable = sum(row.verdict == Verdict.QUARANTINED for row in judged)
    rules = judge(settings, classes=classes, files=len(judged), unusable=unusable, copies=copies, odd=odd,
                  labels=labels)
    report = DataReport(
        passed=all(rule.passed for rule in rules),
        manifest_digest=digest_of(sorted([row.digest, row.label, row.group] for row in kept)),
        classes=classes,
        splits=_split_counts(split_rows),
        splits_current=not split_rows or {(row.digest, row.label) for row in split_rows} == {
            (row.digest, row.label) for row in kept},
        verdicts=dict(sorted(Counter(row.verdict.value for row in rows).items())),
        formats=dict(sorted(Counter(row.format for row in kept).items())),
        spreads=_spreads(kept, measures),
        rules=rules, copies=copies, odd=odd, labels=labels,
        refused=[_refused(row, classes) for row in rows if row.verdict not in (
            Verdict.KEPT, Verdict.DUPLICATE, Verdict.SURPLUS)],
        changes=changes(kept, settings.output_dir, settings.since),
    )
    with atomic_write(settings.output_dir / PAGE, "w", encoding="utf-8") as file:
        file.write(present(report, kept, measures, views, settings.data_dir))
    report.write(settings.output_dir / DataReport.FILE_NAME)
    remember(kept, settings.output_dir)
    return DoctorResult(output_dir=settings.output_dir, report=report, seconds=time.monotonic() - started)


def _measured(folder: Path, kept: list[ManifestRow], workers: int) -> list[Measure]:
    measures: list[Measure] = []
    with progress("doctor", len(kept)) as bar:
        for some in in_processes(_measure_chunk, folder, chunked(kept, CHUNK), workers):
            measures += some
            bar.advance(len(some))
    return measures


def _measure_chunk(folder: Path, rows: Sequence[ManifestRow]) -> list[Measure]:
    return [_measure(folder / row.path, row.digest) for row in rows]


def _measure(path: Path, digest: str) -> Measure:
    try:
        return measure(digest, path.read_bytes())
    except FileNotFoundError:
        raise CatsdogsError(f"The ingested photo {path} is missing: run `catsdogs ingest` again.") from None
    except BadImage as error:
        raise CatsdogsError(
            f"The ingested photo {path} has changed since {MANIFEST} was written ({error.reason}): remove it and run "
            "`catsdogs ingest` again."
        ) from None


def _odd(
    kept: list[ManifestRow], measures: list[Measure], splits: dict[str, set[str]], fixes: dict[str, Fix]
) -> list[Odd]:
    by_digest = {row.digest: row for row in kept}
    return [
        Odd(photo=Photo.of(row, "+".join(sorted(splits.get(row.digest, ()))) or None, row.path), kind=one.kind,
            value=one.value, words=one.words, fix=fix_line(row.digest, Action.DROP, f"{one.kind}: {one.words}"))
        for one in oddities(kept, measures) if (row := by_digest[one.digest])
        and not (row.digest in fixes and fixes[row.digest].action == Action.KEEP)
    ]


def _labels(
    settings: DoctorSettings, kept: list[ManifestRow], splits: dict[str, set[str]], fixes: dict[str, Fix]
) -> tuple[LabelCheck | None, Views]:
    if not settings.labels:
        return None, {}
    return check_labels(kept, splits, settings.processed_dir, fixes, settings.label_folds, settings.label_epochs,
                        settings.label_backbone)


def _refused(row: ManifestRow, classes: Iterable[str]) -> Refused:
    fixes = []
    if row.verdict == Verdict.CONFLICT:
        fixes = [fix_line(row.digest, Action.RELABEL, f"it shows a {label}", label) for label in classes]
    photo = Photo.of(row, path=row.quarantine_path if row.digest else "")
    return Refused(photo=photo, verdict=row.verdict.value, reason=row.reason, fixes=fixes)


def _split_counts(rows: list[SplitRow]) -> dict[str, dict[str, int]]:
    counts = Counter((row.split, row.label) for row in rows)
    splits = [split for split in ("train", "val", "test") if any(key[0] == split for key in counts)]
    labels = sorted({row.label for row in rows})
    return {split: {label: counts[split, label] for label in labels} for split in splits}  # type: ignore[index]


def _spreads(kept: list[ManifestRow], measures: list[Measure]) -> dict[str, Spread]:
    figures = {field.name: [float(getattr(one, field.name)) for one in measures] for field in fields(Measure)
               if field.name != "digest"}
    figures |= {"width": [float(row.width) for row in kept], "height": [float(row.height) for row in kept]}
    return {
        name: Spread(least=least, low=low, middle=middle, high=high, most=most)
        for name, values in figures.items() if values
        for least, low, middle, high, most in [np.quantile(values, (0, 0.05, 0.5, 0.95, 1)).tolist()]
    }


def _kinds(odd: list[Odd]) -> list[tuple[str, int]]:
    return Counter(one.kind for one in odd).most_common()
