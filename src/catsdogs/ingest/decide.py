"""All examinations together -> one verdict a file. A pure function: the same files give the same manifest."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.fixes import Fix
from catsdogs.ingest.correct import BRIDGED, DUPLICATED, corrected, resolved_conflicts, uncorrected
from catsdogs.ingest.groups import Alike, assign_groups


def decide(
    previous: list[ManifestRow],
    found: list[ManifestRow],
    *,
    bits: int,
    max_per_class: int | None,
    alike: Alike | None = None,
    fixes: dict[str, Fix] | None = None,
) -> list[ManifestRow]:
    """Verdicts for the rows of earlier runs and those found now, in that order.

    `found` are rows as examined: verdict KEPT where `reason` is empty, no group yet. Groups of photos kept
    earlier stay as recorded; everything else is decided anew. `fixes` come last, on top of what would be without.
    """
    fixes = fixes or {}
    rows = _merged([uncorrected(row) for row in previous], found)
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
            decided[position] = _refused(row, Verdict.DUPLICATE, DUPLICATED)
        else:
            seen.add(row.digest)
            usable.append(row)

    surplus = _surplus(usable, max_per_class)
    recorded = {
        row.digest: (row.phash, row.group)
        for row in usable if row.verdict == Verdict.KEPT and row.group and row.digest not in surplus
    }
    resolved = resolved_conflicts([decided.get(position, row) for position, row in enumerate(rows)], fixes)
    recorded |= {
        row.digest: (row.phash, row.group) for row in previous if row.group and row.digest in resolved
    }
    new = {row.digest: row.phash for row in usable if row.digest not in surplus and row.digest not in recorded}
    groups = {digest: group for digest, (_, group) in recorded.items()} | assign_groups(recorded, new, bits, alike)
    primary = {id(row) for row in usable}
    plain = [
        _placed(row, surplus, groups) if id(row) in primary else decided[position]
        for position, row in enumerate(rows)
    ]
    return corrected(plain, fixes, _joining(resolved, plain, groups, bits, alike))


def _joining(
    resolved: dict[str, ManifestRow], rows: list[ManifestRow], groups: dict[str, str | None], bits: int,
    alike: Alike | None,
) -> dict[str, str | None]:
    """Groups for conflicts that a decision resolves: they join what is there, as photos added later would."""
    recorded = {row.digest: (row.phash, row.group) for row in rows if row.verdict == Verdict.KEPT}
    late = {digest: row.phash for digest, row in resolved.items() if digest not in groups}
    return assign_groups(recorded, late, bits, alike) | {digest: groups[digest] for digest in resolved.keys() - late}


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
        return _refused(row, Verdict.BRIDGE, BRIDGED)
    return replace(row, verdict=Verdict.KEPT, group=group, reason="")


def _refused(row: ManifestRow, verdict: Verdict, reason: str) -> ManifestRow:
    return replace(row, verdict=verdict, group="", reason=reason)
