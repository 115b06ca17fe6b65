"""Decisions of `fixes.yaml` on top of ingest's own verdicts, such that no other photo's group, and so split, moves."""

from dataclasses import replace

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.errors import UsageError
from catsdogs.fixes import Action, Fix

BRIDGED = "resembles photos of two groups"
DUPLICATED = "the same bytes as another file"


def uncorrected(row: ManifestRow) -> ManifestRow:
    """A recorded row as it would be without any decision, so that a decision can be taken back."""
    if row.verdict == Verdict.DROPPED:
        return replace(row, verdict=Verdict.KEPT, reason="")
    if row.verdict == Verdict.KEPT:
        return replace(row, label=row.given or row.label, given="", reason="")
    return row


def corrected(rows: list[ManifestRow], fixes: dict[str, Fix], groups: dict[str, str | None]) -> list[ManifestRow]:
    """`rows` with the decisions applied. `groups` are for conflicts that a decision resolves.

    A dropped photo keeps its group: photos that resemble it stay where they are. Raises UsageError where a photo
    that ingest refused is to be kept or relabelled.
    """
    resolved = _chosen_of_conflicts(rows, fixes)
    answer = []
    for position, row in enumerate(rows):
        fix = fixes.get(row.digest)
        if fix is None or row.verdict in (Verdict.DUPLICATE, Verdict.SURPLUS):
            answer.append(row)
        elif fix.action == Action.DROP:
            answer.append(row if row.verdict == Verdict.QUARANTINED else _dropped(row, fix))
        elif row.verdict == Verdict.KEPT:
            answer.append(_relabelled(row, fix))
        elif row.verdict == Verdict.CONFLICT and fix.action == Action.RELABEL:
            answer.append(_resolved(row, fix, groups[row.digest]) if position == resolved[row.digest]
                          else replace(row, verdict=Verdict.DUPLICATE, reason=DUPLICATED))
        else:
            raise UsageError(
                f"The corrections {fix.action} {row.digest[:12]}… ({row.source}), which ingest refused "
                f"({row.verdict}: {row.reason}): {_way_out(row)}."
            )
    return answer


def resolved_conflicts(rows: list[ManifestRow], fixes: dict[str, Fix]) -> dict[str, ManifestRow]:
    """Digest -> row of the photos under two classes about which a decision says what they show."""
    return {rows[place].digest: rows[place] for place in _chosen_of_conflicts(rows, fixes).values()}


def _chosen_of_conflicts(rows: list[ManifestRow], fixes: dict[str, Fix]) -> dict[str, int]:
    """The row to keep: the first that lies in the right folder, else the first."""
    chosen: dict[str, int] = {}
    for place, row in enumerate(rows):
        fix = fixes.get(row.digest)
        if row.verdict == Verdict.CONFLICT and fix is not None and fix.action == Action.RELABEL:
            best = chosen.setdefault(row.digest, place)
            if row.label == fix.label and rows[best].label != fix.label:
                chosen[row.digest] = place
    return chosen


def _resolved(row: ManifestRow, fix: Fix, group: str | None) -> ManifestRow:
    if group is None:
        return replace(row, verdict=Verdict.BRIDGE, reason=BRIDGED)
    return _relabelled(replace(row, verdict=Verdict.KEPT, group=group), fix)


def _dropped(row: ManifestRow, fix: Fix) -> ManifestRow:
    return replace(row, verdict=Verdict.DROPPED, reason=f"dropped by {fix.text}")


def _relabelled(row: ManifestRow, fix: Fix) -> ManifestRow:
    if fix.label is None:
        return row
    given = "" if row.label == fix.label else row.label
    return replace(row, label=fix.label, given=given, reason=f"relabelled by {fix.text}")


def _way_out(row: ManifestRow) -> str:
    if row.verdict == Verdict.CONFLICT:
        return "relabel it, to say which class it is"
    return "such a photo can only be dropped"
