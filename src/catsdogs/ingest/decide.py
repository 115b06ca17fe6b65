"""All examinations together -> one verdict a file. A pure function: the same files give the same manifest."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.ingest.groups import assign_groups


def decide(
    previous: list[ManifestRow], found: list[ManifestRow], *, bits: int, max_per_class: int | None
) -> list[ManifestRow]:
    """Verdicts for the rows of earlier runs and those found now, in that order.

    `found` are rows as examined: verdict KEPT where `reason` is empty, no group yet. Groups of photos kept
    earlier stay as recorded; everything else is decided anew.
    """
    rows = _merged(previous, found)
    labels_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.digest:
            labels_of[row.digest].add(row.label)

    seen: set[str] = set()
    usable: list[ManifestRow] = []
    decided: dict[int, ManifestRow] = {}
    for position, row in enumerate(rows):
        if row.reason and row.verdict == Verdict.QUARANTINED:
            decided[position] = row
        elif len(labels_of[row.digest]) > 1:
            others = ", ".join(sorted(labels_of[row.digest]))
            decided[position] = _refused(row, Verdict.CONFLICT, f"the same photo under {others}")
        elif row.digest in seen:
            decided[position] = _refused(row, Verdict.DUPLICATE, "the same bytes as another file")
        else:
            seen.add(row.digest)
            usable.append(row)

    surplus = _surplus(usable, max_per_class)
    recorded = {
        row.digest: (row.phash, row.group)
        for row in usable if row.verdict == Verdict.KEPT and row.group and row.digest not in surplus
    }
    new = {row.digest: row.phash for row in usable if row.digest not in surplus and row.digest not in recorded}
    groups = {digest: group for digest, (_, group) in recorded.items()} | assign_groups(recorded, new, bits)
    primary = {id(row) for row in usable}
    return [
        _placed(row, surplus, groups) if id(row) in primary else decided[position]
        for position, row in enumerate(rows)
    ]


def _merged(previous: list[ManifestRow], found: list[ManifestRow]) -> list[ManifestRow]:
    """Earlier rows, then the new ones by class and name; a file seen before, unchanged, stays one row."""
    again = {(row.source, row.label) for row in found}
    kept = [row for row in previous if row.digest or (row.source, row.label) not in again]
    known = {(row.source, row.label, row.digest) for row in kept}
    fresh = [row for row in found if (row.source, row.label, row.digest) not in known]
    return kept + sorted(fresh, key=lambda row: (row.label, row.source))


def _surplus(usable: Iterable[ManifestRow], max_per_class: int | None) -> set[str]:
    """Digests beyond the limit: a digest is as good as a random number, so the lowest are a fair, stable subset."""
    if max_per_class is None:
        return set()
    by_label: dict[str, list[str]] = defaultdict(list)
    for row in usable:
        by_label[row.label].append(row.digest)
    return {digest for digests in by_label.values() for digest in sorted(digests)[max_per_class:]}


def _placed(row: ManifestRow, surplus: set[str], groups: dict[str, str | None]) -> ManifestRow:
    if row.digest in surplus:
        return _refused(row, Verdict.SURPLUS, "beyond --max-per-class")
    group = groups[row.digest]
    if group is None:
        return _refused(row, Verdict.BRIDGE, "resembles photos of two groups")
    return replace(row, verdict=Verdict.KEPT, group=group, reason="")


def _refused(row: ManifestRow, verdict: Verdict, reason: str) -> ManifestRow:
    return replace(row, verdict=verdict, group="", reason=reason)
